"""Blobs as files of one folder, spread over 256 folders by the hash of their key.

Written beside, synced, renamed: a power cut leaves the old state or the new
one. Several processes may share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runners.model.errors import Unavailable
from tasks_service.blobs.base import BLOCK, BlobStat, check_key, missing
from tasks_service.blobs.measured import Measured

_PART = ".part-"
_ABANDONED_S = 86_400.0


class FileBlobs:
    """Blobs below ``root``, readable by their owner only. See BlobStore."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(
        self,
        key: str,
        blocks: Iterable[bytes],
        *,
        digest: str = "",
        max_bytes: int | None = None,
    ) -> BlobStat:
        """See BlobStore."""
        path = self._path(key)
        measured = Measured(blocks, digest=digest, max_bytes=max_bytes)
        with self._translated(key):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=_PART, dir=path.parent)
        part = Path(name)
        try:
            # Only what the disk does is the store's fault: an error of the
            # sender passes as it is.
            with os.fdopen(handle, "wb", buffering=0) as file:
                for block in measured:
                    with self._translated(key):
                        _write(file.fileno(), block)
                with self._translated(key):
                    os.fsync(file.fileno())
            with self._translated(key):
                part.replace(path)
                _sync_folder(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return BlobStat(key, measured.size, path.stat().st_mtime)

    @contextmanager
    def open(self, key: str) -> Iterator[Iterator[bytes]]:
        """See BlobStore."""
        try:
            file = self._path(key).open("rb", buffering=0)
        except FileNotFoundError:
            raise missing(key) from None
        with file, self._translated(key):
            yield iter(lambda: file.read(BLOCK), b"")

    def stat(self, key: str) -> BlobStat | None:
        """See BlobStore."""
        with self._translated(key):
            try:
                found = self._path(key).stat()
            except FileNotFoundError:
                return None
        return BlobStat(key, found.st_size, found.st_mtime)

    def delete(self, key: str) -> None:
        """See BlobStore."""
        with self._translated(key):
            self._path(key).unlink(missing_ok=True)

    def list(self) -> Iterator[BlobStat]:
        """See BlobStore. Parts that a process left when it died are removed on the way."""
        for path in self._root.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                if not path.name.startswith(_PART):
                    yield BlobStat(path.name, found.st_size, found.st_mtime)
                elif found.st_mtime < time.time() - _ABANDONED_S:
                    path.unlink()

    def _path(self, key: str) -> Path:
        folder = hashlib.sha256(check_key(key).encode()).hexdigest()[:2]
        return self._root / folder / key

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Unavailable(
                f"blob {key[:80]!r}: {(error.strerror or str(error)).lower()}",
                hint=f"look at the disk that holds {self._root}",
            ) from error


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
