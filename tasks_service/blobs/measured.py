"""Blocks on their way into a store: counted and hashed as they pass."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator

from tasks_service.blobs.base import DigestMismatch, TooLarge


class Measured:
    """Passes blocks on and refuses them once they are too many or wrong.

    The last check comes after the last block: whoever stores must do so only
    when the iteration ended without an error.
    """

    def __init__(self, blocks: Iterable[bytes], *, digest: str, max_bytes: int | None) -> None:
        self._blocks = blocks
        self._digest = digest
        self._max_bytes = max_bytes
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        found = hashlib.sha256()
        for block in self._blocks:
            self.size += len(block)
            if self._max_bytes is not None and self.size > self._max_bytes:
                raise TooLarge(
                    f"more than {self._max_bytes} bytes came, which is the limit",
                    hint="leave out what the build does not need (.dockerignore)",
                )
            found.update(block)
            yield block
        if self._digest and not hmac.compare_digest(found.hexdigest(), self._digest):
            raise DigestMismatch(
                f"the {self.size} bytes that came have the SHA-256 {found.hexdigest()},"
                f" not {self._digest[:64]}",
                hint="send it again; if it stays so, something on the way changes it",
            )
