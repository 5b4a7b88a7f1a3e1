"""ContextFS: a tree of files that a build may ask for.

Implemented by localfs.py (a directory), tarfs.py (an archive) and memoryfs.py
(a few generated files); read by walk.py and filesync.py. Paths are bytes,
relative, ``/``-separated and clean; the root itself is ``b""``.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

# Bits of Go's os.FileMode, which is what travels; POSIX's are other numbers.
MODE_DIR = 1 << 31
MODE_SYMLINK = 1 << 27
MODE_DEVICE = 1 << 26
MODE_PIPE = 1 << 25
MODE_SOCKET = 1 << 24
MODE_SETUID = 1 << 23
MODE_SETGID = 1 << 22
MODE_CHAR_DEVICE = 1 << 21
MODE_STICKY = 1 << 20
MODE_IRREGULAR = 1 << 19
MODE_TYPE = (
    MODE_DIR | MODE_SYMLINK | MODE_DEVICE | MODE_PIPE | MODE_SOCKET
    | MODE_CHAR_DEVICE | MODE_IRREGULAR
)  # fmt: skip

_TYPES = {
    stat.S_IFREG: 0,
    stat.S_IFDIR: MODE_DIR,
    stat.S_IFLNK: MODE_SYMLINK,
    stat.S_IFBLK: MODE_DEVICE,
    stat.S_IFCHR: MODE_DEVICE | MODE_CHAR_DEVICE,
    stat.S_IFIFO: MODE_PIPE,
    # A socket is sent with its bit cleared, as an empty regular file.
    stat.S_IFSOCK: 0,
}


class FileUnreadable(Exception):
    """A file of the tree cannot be read as the file that was announced."""


@dataclass(slots=True)
class Entry:
    """One file, directory or link.

    Attributes:
        path: Relative path; unique in the tree.
        mode: Go's mode bits (see ``go_mode``).
        size: Bytes; for a symbolic link the length of its target.
        mtime_ns: Modification time.
        linkname: Target of a symbolic link, as it is.
        identity: Equal for entries that are one file (hard links); None for
            those that cannot have a second name.
        readable: False for a socket, whose content is empty.
    """

    path: bytes
    mode: int
    size: int = 0
    mtime_ns: int = 0
    linkname: bytes = b""
    identity: tuple[int, int] | None = None
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    readable: bool = True

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return bool(self.mode & MODE_DIR)


@runtime_checkable
class ContextFS(Protocol):
    """A tree to send. Read by several threads at once."""

    @property
    def identity(self) -> str:
        """A name that stays the same as long as it is the same directory."""
        ...

    def walk(self, descend: Callable[[Entry], bool]) -> Iterator[Entry]:
        """Yield all entries: a directory right before its contents, names in byte order.

        ``descend`` is asked about each directory after it was yielded; False
        leaves its contents out. What vanishes while walking is left out.
        """
        ...

    def names(self, path: bytes) -> list[bytes]:
        """Return the names in a directory; empty when there is no such directory."""
        ...

    def readlink(self, path: bytes) -> bytes | None:
        """Return the target of the symbolic link at ``path``; None for anything else."""
        ...

    def read(self, path: bytes, chunk: int) -> Iterator[bytes]:
        """Yield the content of a regular file in pieces of at most ``chunk`` bytes.

        Links are never followed, in no part of the path.

        Raises:
            FileUnreadable: vanished, not a regular file any more, or an
                error of the disk.
        """
        ...


def go_mode(st_mode: int) -> int:
    """Translate POSIX mode bits into Go's."""
    mode = st_mode & 0o777 | _TYPES.get(stat.S_IFMT(st_mode), MODE_IRREGULAR)
    if st_mode & 0o7000:
        if st_mode & stat.S_ISUID:
            mode |= MODE_SETUID
        if st_mode & stat.S_ISGID:
            mode |= MODE_SETGID
        if st_mode & stat.S_ISVTX:
            mode |= MODE_STICKY
    return mode


def parent_of(path: bytes) -> bytes:
    """Return the directory part of ``path``, empty for a name in the root."""
    return path.rpartition(b"/")[0]
