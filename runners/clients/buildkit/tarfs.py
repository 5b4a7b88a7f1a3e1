"""TarFS: a tar archive on disk as a build context, for trees whose files cannot be reached.

An uncompressed archive in, entries and contents out; called by filesync.py
through ContextFS. The archive is indexed once and never unpacked, so nothing
in it can reach outside. Later members replace earlier ones of the same path.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

from runners.clients.buildkit.contextfs import (
    MODE_CHAR_DEVICE,
    MODE_DEVICE,
    MODE_DIR,
    MODE_PIPE,
    MODE_SYMLINK,
    MODE_TYPE,
    Entry,
    FileUnreadable,
    go_mode,
)
from runners.model.errors import InvalidInput

_TYPES = {
    tarfile.DIRTYPE: MODE_DIR,
    tarfile.SYMTYPE: MODE_SYMLINK,
    tarfile.FIFOTYPE: MODE_PIPE,
    tarfile.BLKTYPE: MODE_DEVICE,
    tarfile.CHRTYPE: MODE_DEVICE | MODE_CHAR_DEVICE,
}
_XATTR = "SCHILY.xattr."


class TarFS:
    """The tree in an archive, see ContextFS.

    Args:
        file: A real file, open for reading; stays the caller's and must stay
            open and unchanged as long as this is used.
        identity: Stable name for incremental transfers.

    Raises:
        InvalidInput: it is no tar archive, or one with paths that lead out.
    """

    def __init__(self, file: BinaryIO, *, identity: str) -> None:
        self._descriptor = file.fileno()
        self._identity = identity
        self._entries: dict[bytes, Entry] = {}
        self._children: dict[bytes, set[bytes]] = {b"": set()}
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for number, member in enumerate(archive):
                    self._add(number, member)
        except (tarfile.TarError, OSError) as error:
            raise InvalidInput(f"The build context is no readable tar archive: {error}.") from error

    @property
    def identity(self) -> str:
        """See ContextFS."""
        return self._identity

    def _add(self, number: int, member: tarfile.TarInfo) -> None:
        path = _clean(member.name)
        if not path:
            return
        if member.islnk():
            self._link(path, _clean(member.linkname))
            return
        if member.issparse() or not (member.isreg() or member.type in _TYPES):
            raise InvalidInput(f"The build context has a member of unknown kind: {member.name}.")
        entry = _entry(path, number, member)
        if not entry.mode & MODE_TYPE and entry.identity is not None:
            self._places[entry.identity] = (member.offset_data, member.size)
        self._put(entry)

    def _link(self, path: bytes, target: bytes) -> None:
        found = self._entries.get(target)
        if found is None or found.is_dir:
            raise InvalidInput(
                f"The build context has a hard link to nothing: {os.fsdecode(path)}."
            )
        self._put(replace(found, path=path))

    def _put(self, entry: Entry) -> None:
        known = self._entries.get(entry.path)
        if known is not None and known.is_dir and not entry.is_dir:
            self._drop_below(entry.path)
        parent, _, name = entry.path.rpartition(b"/")
        above = self._entries.get(parent)
        if above is not None and not above.is_dir:
            raise InvalidInput(f"The build context has a file as directory: {os.fsdecode(parent)}.")
        if parent and above is None:
            self._put(Entry(parent, MODE_DIR | 0o755))
        self._entries[entry.path] = entry
        self._children.setdefault(parent, set()).add(name)

    def _drop_below(self, path: bytes) -> None:
        for name in self._children.pop(path, ()):
            child = path + b"/" + name
            self._drop_below(child)
            self._entries.pop(child, None)

    def walk(self, descend: Callable[[Entry], bool]) -> Iterator[Entry]:
        """See ContextFS."""
        levels = [iter(sorted(self._children[b""]))]
        prefixes = [b""]
        while levels:
            name = next(levels[-1], None)
            if name is None:
                levels.pop()
                prefixes.pop()
                continue
            entry = self._entries[prefixes[-1] + name]
            yield entry
            if entry.is_dir and descend(entry):
                levels.append(iter(sorted(self._children.get(entry.path, ()))))
                prefixes.append(entry.path + b"/")

    def names(self, path: bytes) -> list[bytes]:
        """See ContextFS."""
        return list(self._children.get(path, ()))

    def readlink(self, path: bytes) -> bytes | None:
        """See ContextFS."""
        entry = self._entries.get(path)
        return entry.linkname if entry is not None and entry.mode & MODE_SYMLINK else None

    def read(self, path: bytes, chunk: int) -> Iterator[bytes]:
        """See ContextFS."""
        entry = self._entries.get(path)
        place = self._places.get(entry.identity) if entry and entry.identity else None
        if place is None:
            raise FileUnreadable(f"{os.fsdecode(path)} is no file of the archive")
        offset, left = place
        while left:
            data = os.pread(self._descriptor, min(chunk, left), offset)
            if not data:
                raise FileUnreadable(f"the archive ends within {os.fsdecode(path)}")
            yield data
            offset += len(data)
            left -= len(data)


def _clean(name: str) -> bytes:
    parts = [part for part in os.fsencode(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise InvalidInput(f"The build context has a path that leads out of it: {name}.")
    return b"/".join(parts)


def _entry(path: bytes, number: int, member: tarfile.TarInfo) -> Entry:
    kind = _TYPES.get(member.type, 0)
    linkname = os.fsencode(member.linkname) if member.issym() else b""
    device = (member.devmajor, member.devminor) if kind & MODE_DEVICE else (0, 0)
    return Entry(
        path,
        go_mode(0o100000 | member.mode & 0o7777) | kind,
        len(linkname) if linkname else member.size,
        int(member.mtime * 1_000_000_000),
        linkname,
        None if member.isdir() else (0, number),
        device,
        {
            key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        },
    )
