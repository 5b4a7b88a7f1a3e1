"""LocalFS: a directory of this machine as a build context, opened strictly beneath its root.

A path or directory descriptor in, entries and file contents out; called by
filesync.py through ContextFS. The root may lie inside a hostile container's
mount namespace (``/proc/<pid>/root/…``) and be read as the host's root: no
link is ever followed, not even inside the root, nothing outside is reachable
whatever is renamed meanwhile, and only regular files are opened for reading.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from runners.clients.buildkit.contextfs import Entry, FileUnreadable, go_mode
from runners.model.errors import InvalidInput

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = _READ | os.O_DIRECTORY
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


@functools.cache
def _beneath() -> Callable[[int, bytes, int], int]:
    from runners.clients.buildkit.beneath import best_open

    return best_open()


class LocalFS:
    """A directory tree, see ContextFS. Close it, or use it in a ``with``.

    Args:
        root: The directory. Links in the path *to* it are followed; give
            ``root_fd`` where that path is not trusted.
        root_fd: An open directory descriptor, duplicated; ``root`` is then
            only its name.
        identity: Stable name for incremental transfers; by default the
            absolute path.
    """

    def __init__(self, root: str | Path, *, root_fd: int | None = None, identity: str = "") -> None:
        self._identity = identity or str(Path(root).absolute())
        self._lock = threading.Lock()
        try:
            self._root = (
                os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                if root_fd is None
                else os.dup(root_fd)
            )
        except OSError as error:
            raise InvalidInput(
                f"The build context {root} cannot be opened: {error.strerror}.",
                hint="Give an existing directory.",
            ) from error

    @property
    def identity(self) -> str:
        """See ContextFS."""
        return self._identity

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory. Idempotent."""
        with self._lock:
            root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    def _open(self, root: int, path: bytes, flags: int) -> int:
        # One name, not followed, cannot lead out: and a small build needs no ctypes.
        if b"/" not in path:
            return os.open(path, flags, dir_fd=root)
        return _beneath()(root, path, flags)

    def _open_directory(self, path: bytes) -> int:
        return self._open(self._root, path or b".", _DIRECTORY)

    def names(self, path: bytes) -> list[bytes]:
        """See ContextFS."""
        try:
            directory = self._open_directory(path)
        except OSError:
            return []
        try:
            return [os.fsencode(name) for name in os.listdir(directory)]  # noqa: PTH208 - a descriptor has no path
        finally:
            os.close(directory)

    def readlink(self, path: bytes) -> bytes | None:
        """See ContextFS."""
        parent, _, name = path.rpartition(b"/")
        try:
            directory = self._open_directory(parent)
        except OSError:
            return None
        try:
            return os.readlink(name, dir_fd=directory)
        except OSError:
            return None
        finally:
            os.close(directory)

    def walk(self, descend: Callable[[Entry], bool]) -> Iterator[Entry]:
        """See ContextFS."""
        # Whole directories are read at once: no descriptor stays open while the
        # consumer is busy, however deep the tree is.
        levels = [iter(self._entries(b""))]
        while levels:
            entry = next(levels[-1], None)
            if entry is None:
                levels.pop()
                continue
            yield entry
            if entry.is_dir and descend(entry):
                levels.append(iter(self._entries(entry.path)))

    def _entries(self, path: bytes) -> list[Entry]:
        try:
            directory = self._open_directory(path)
        except OSError as error:
            if path and error.errno in _GONE:
                return []
            raise FileUnreadable(
                f"cannot list {os.fsdecode(path) or 'the root'}: {error.strerror}"
            ) from error
        try:
            prefix = path + b"/" if path else b""
            with os.scandir(directory) as found:
                named = sorted([(os.fsencode(item.name), item) for item in found], key=_by_name)
            entries = []
            for name, item in named:
                with contextlib.suppress(FileNotFoundError):
                    entries.append(_entry(directory, prefix + name, name, item))
            return entries
        finally:
            os.close(directory)

    def read(self, path: bytes, chunk: int) -> Iterator[bytes]:
        """See ContextFS."""
        try:
            descriptor = self._open(self._root, path, _READ)
        except OSError as error:
            raise FileUnreadable(
                f"cannot open {os.fsdecode(path)}: {os.strerror(error.errno or 0)}"
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileUnreadable(f"{os.fsdecode(path)} is no regular file any more")
            while data := os.read(descriptor, chunk):
                yield data
                if len(data) < chunk:
                    return
        except OSError as error:
            raise FileUnreadable(f"cannot read {os.fsdecode(path)}: {error.strerror}") from error
        finally:
            os.close(descriptor)


def _by_name(pair: tuple[bytes, os.DirEntry[str]]) -> bytes:
    return pair[0]


def _entry(directory: int, path: bytes, name: bytes, item: os.DirEntry[str]) -> Entry:
    found = item.stat(follow_symlinks=False)
    kind = stat.S_IFMT(found.st_mode)
    linkname = os.readlink(name, dir_fd=directory) if kind == stat.S_IFLNK else b""
    is_dir = kind == stat.S_IFDIR
    device = kind in (stat.S_IFBLK, stat.S_IFCHR)
    return Entry(
        path,
        go_mode(found.st_mode),
        0 if is_dir else found.st_size,
        found.st_mtime_ns,
        linkname,
        None if is_dir or found.st_nlink < 2 else (found.st_dev, found.st_ino),
        (os.major(found.st_rdev), os.minor(found.st_rdev)) if device else (0, 0),
        _xattrs(directory, item.name),
        kind != stat.S_IFSOCK,
    )


def _xattrs(directory: int, name: str) -> dict[str, bytes]:
    # The directory is held by its descriptor and the last name is not followed.
    path = f"/proc/self/fd/{directory}/{name}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    if not names:
        return {}
    found = {}
    for key in names:
        with contextlib.suppress(OSError, UnicodeEncodeError):
            key.encode()
            if not key.startswith("com.apple."):
                found[key] = os.getxattr(path, key, follow_symlinks=False)
    return found
