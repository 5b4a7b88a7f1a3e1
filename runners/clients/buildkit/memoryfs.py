"""MemoryFS: a few generated files as a tree, for instance a Dockerfile made from a text.

Bytes in, entries out; called by filesync.py through ContextFS. Each instance
has a modification time no other has: daemons compare size and time only, and
two generated files of one size in one clock tick would pass for the same.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping

from runners.clients.buildkit.contextfs import MODE_DIR, Entry, FileUnreadable

_unique = itertools.count()


class MemoryFS:
    """Files of the root, and of directories made on the way; see ContextFS.

    Args:
        files: Relative path → content.
        identity: Stable name of the tree.
    """

    def __init__(self, files: Mapping[str, bytes], *, identity: str = "memory") -> None:
        self._identity = identity
        self._files = {os.fsencode(path): content for path, content in files.items()}
        self._mtime_ns = time.time_ns() + next(_unique)

    @property
    def identity(self) -> str:
        """See ContextFS."""
        return self._identity

    def _level(self, prefix: bytes) -> list[bytes]:
        below = [path.removeprefix(prefix) for path in self._files if path.startswith(prefix)]
        return sorted({path.partition(b"/")[0] for path in below})

    def walk(self, descend: Callable[[Entry], bool]) -> Iterator[Entry]:
        """See ContextFS."""
        yield from self._walk(b"", descend)

    def _walk(self, prefix: bytes, descend: Callable[[Entry], bool]) -> Iterator[Entry]:
        for name in self._level(prefix):
            path = prefix + name
            content = self._files.get(path)
            if content is not None:
                yield Entry(path, 0o644, len(content), self._mtime_ns)
                continue
            directory = Entry(path, MODE_DIR | 0o755, 0, self._mtime_ns)
            yield directory
            if descend(directory):
                yield from self._walk(path + b"/", descend)

    def names(self, path: bytes) -> list[bytes]:
        """See ContextFS."""
        return self._level(path + b"/" if path else b"")

    def readlink(self, path: bytes) -> bytes | None:
        """See ContextFS."""
        del path
        return None

    def read(self, path: bytes, chunk: int) -> Iterator[bytes]:
        """See ContextFS."""
        content = self._files.get(path)
        if content is None:
            raise FileUnreadable(f"there is no {os.fsdecode(path)}")
        for start in range(0, len(content), chunk):
            yield content[start : start + chunk]
