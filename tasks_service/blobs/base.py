"""What a blob store does: whole blobs in, whole blobs out, by key.

Every kind passes the same contract suite (``tests/contract/test_blobs.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from runners.model.errors import InvalidInput
from tasks_service.errors import NotFound

BLOCK = 1 << 20
"""Bytes moved at once."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,127}")


class TooLarge(InvalidInput):
    """More bytes came than may be stored."""

    code = "too_large"


class DigestMismatch(InvalidInput):
    """The bytes that came are not those that were announced."""

    code = "digest_mismatch"


@dataclass(frozen=True, slots=True)
class BlobStat:
    """A blob that is there: its size in bytes, and when it was written (epoch seconds)."""

    key: str
    size: int
    modified: float


class BlobStore(Protocol):
    """Named blobs that are written once and never changed. Thread-safe.

    A blob is there whole or not at all, whoever dies meanwhile: readers never
    see half of one. Keys are one name of letters, digits, ``.``, ``_`` and ``-``;
    any other raises InvalidInput. What the store itself can't do raises
    Unavailable.
    """

    def put(
        self,
        key: str,
        blocks: Iterable[bytes],
        *,
        digest: str = "",
        max_bytes: int | None = None,
    ) -> BlobStat:
        """Store ``blocks`` under ``key``; a blob of that key is replaced.

        An error from ``blocks`` passes through. After any error the store
        is as it was before.

        Args:
            key: Its name.
            blocks: The bytes, in order.
            digest: Hexadecimal SHA-256 the bytes must have; empty checks none.
            max_bytes: Most that is taken.

        Raises:
            TooLarge: There is more than ``max_bytes``.
            DigestMismatch: The bytes have another digest.
            Unavailable: The store is full, or does not answer.
        """
        ...

    def open(self, key: str) -> AbstractContextManager[Iterator[bytes]]:
        """Return the blob's bytes in blocks, within a ``with`` statement.

        Raises:
            NotFound: There is no such blob.
        """
        ...

    def stat(self, key: str) -> BlobStat | None:
        """Return what is known of a blob, or None."""
        ...

    def delete(self, key: str) -> None:
        """Remove a blob. One that is not there is no error."""
        ...

    def list(self) -> Iterator[BlobStat]:
        """Return all blobs, in no order; those that come or go meanwhile may be among them."""
        ...


def check_key(key: str) -> str:
    """Return ``key`` if it may name a blob."""
    if not _KEY.fullmatch(key) or ".." in key:
        raise InvalidInput(f"{key[:80]!r} can't name a blob")
    return key


def missing(key: str) -> NotFound:
    """Return the error for a blob that is not there."""
    return NotFound(f"there is no blob {key[:80]!r} in the store")
