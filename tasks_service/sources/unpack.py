"""Unpack one tarball in the throw-away process, entry by entry, by own rules.

In: a file ``archive`` in the current folder, or an open file that was handed
down; or the layers of an artifact. Out: their content below ``tree``.
The standard library reads the headers only; its extraction is not used, since
its filters were got around more than once (G7). Nothing is written through a
link: every folder on the way is opened without following one.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Self, cast

import zstandard

from tasks_service.sources.confine import Answer, Refusal, Request

_BLOCK = 1 << 20
_MAX_DEPTH = 128
_SLACK = 64 << 20
# Below this a high ratio is no bomb: an empty disk image in a test folder.
_RATIO_FROM = 256 << 20
# Long names are 4 KiB at most; what a header says beyond that is read by nobody.
_MAX_HEADER = 1 << 20
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW = 128 << 20
_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf", "7z"),
)
_BROKEN = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    RecursionError,
    MemoryError,
    OverflowError,
    zstandard.ZstdError,
)


def unpack_archive(request: Request) -> Answer:
    """Unpack the archive into ``tree``; answer with the number of entries."""
    unpacker = _Unpacker(Path("tree"), request)
    fd = request.get("archive_fd")
    try:
        _unpack(Path("archive") if fd is None else fd, unpacker, request)
    finally:
        unpacker.close()
    return {"ok": True, "entries": unpacker.entries}


def unpack_artifact(request: Request) -> Answer:
    """Unpack or place the files ``layer-0``, ``layer-1``… into ``tree``, in this order."""
    unpacker = _Unpacker(Path("tree"), request)
    try:
        for number, layer in enumerate(request["layers"]):
            path = Path(f"layer-{number}")
            if layer["unpack"]:
                _unpack(path, unpacker, request)
            else:
                unpacker.put(layer["name"], path)
            path.unlink()
    finally:
        unpacker.close()
    return {"ok": True, "entries": unpacker.entries}


def _unpack(archive: Path | int, unpacker: _Unpacker, request: Request) -> None:
    try:
        with open(archive, "rb") as file:  # noqa: PTH123 - may be a number
            plain, cut = _plain(file)
            packed = os.fstat(file.fileno()).st_size
            stream = _Counted(plain, request["max_bytes"] + _SLACK, packed, request["max_ratio"])
            with tarfile.open(
                fileobj=cast("IO[bytes]", stream), mode="r|", errorlevel=2, tarinfo=_Info
            ) as tar:
                for member in tar:
                    unpacker.take(tar, member)
            # To the end, so that a cut or damaged file is noticed.
            while stream.read(_BLOCK):
                pass
            if cut and stream.last.strip(b"\0"):
                raise Refusal("bad_archive", error="it ends too early")
    except _BROKEN as exc:
        raise Refusal("bad_archive", error=str(exc) or type(exc).__name__) from exc
    except OSError as exc:
        # bz2 reports damage as an OSError without a number.
        if exc.errno is None:
            raise Refusal("bad_archive", error=str(exc)) from exc
        raise


def _plain(file: IO[bytes]) -> tuple[IO[bytes], bool]:
    """Return the tar inside, and whether its end must be looked for by hand."""
    start = file.read(512)
    file.seek(0)
    for magic, name in _MAGIC:
        if start.startswith(magic):
            raise Refusal("format", format=name)
    for magic, opener in _COMPRESSED.items():
        if start.startswith(magic):
            return cast("IO[bytes]", opener(file, mode="rb")), False
    if start.startswith(_ZSTD):
        reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        # It does not tell a frame that ends early.
        return reader.stream_reader(file, read_across_frames=True), True
    if start[257:262] != b"ustar":
        raise Refusal("not_archive")
    return file, False


def _gzip(file: IO[bytes], mode: str) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode=mode)


_COMPRESSED: dict[bytes, Callable[..., object]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class _Info(tarfile.TarInfo):
    """A header that may not be followed by an extension of any size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _HEADERS and not 0 <= info.size <= _MAX_HEADER:
            raise Refusal("entry", name=info.name, rule="has a header larger than 1 MiB")
        return info


class _Counted:
    """A reader that ends a decompression bomb, wherever in the tar it sits."""

    def __init__(self, file: IO[bytes], limit: int, packed: int, max_ratio: int) -> None:
        self._file = file
        self._limit = limit
        self._by_ratio = max(_RATIO_FROM, packed * max_ratio)
        self._count = 0
        self.last = b""

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self._count += len(block)
        if self._count > self._limit:
            raise Refusal("too_large")
        if self._count > self._by_ratio:
            raise Refusal("ratio")
        if block:
            self.last = block[-512:]
        return block


class _Unpacker:
    def __init__(self, tree: Path, request: Request) -> None:
        self._root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._bytes_left = request["max_bytes"]
        self._max_entries = request["max_entries"]
        # A context is what its owner sees: permissions, and links to places
        # that only exist in the image. Nothing here or later follows them.
        self._as_packed = bool(request.get("as_packed"))
        self.entries = 0

    def close(self) -> None:
        os.close(self._root)

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self.entries += 1
        if self.entries > self._max_entries:
            raise Refusal("too_many")
        parts = _parts(member.name)
        if member.isdir():
            with self._folder(parts, member.name) as folder:
                if self._as_packed and parts:
                    os.fchmod(folder, member.mode & 0o777 | 0o700)
                return
        if not parts:
            raise Refusal("entry", name=member.name, rule="names the root of the archive")
        with self._folder(parts[:-1], member.name) as parent:
            try:
                self._place(tar, member, parts, parent)
            except FileExistsError:
                raise Refusal("entry", name=member.name, rule="appears twice") from None

    def put(self, name: str, path: Path) -> None:
        """Place a whole file under a name."""
        self.entries += 1
        if self.entries > self._max_entries:
            raise Refusal("too_many")
        parts = _parts(name)
        if not parts:
            raise Refusal("entry", name=name, rule="names the root of the archive")
        with path.open("rb") as source, self._folder(parts[:-1], name) as parent:
            self._bytes_left -= os.fstat(source.fileno()).st_size
            if self._bytes_left < 0:
                raise Refusal("too_large")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            try:
                target = os.open(parts[-1], flags, 0o644, dir_fd=parent)
            except FileExistsError:
                raise Refusal("entry", name=name, rule="appears twice") from None
            with open(target, "wb") as file:  # noqa: PTH123 - opened by flags
                shutil.copyfileobj(source, file, _BLOCK)

    def _place(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str], parent: int
    ) -> None:
        if member.issym():
            if not self._as_packed:
                _check_target(member, parts)
            elif not member.linkname or "\0" in member.linkname:
                raise Refusal("entry", name=member.name, rule="is a link to nothing")
            os.symlink(member.linkname, parts[-1], dir_fd=parent)
        elif member.islnk():
            self._link(member, parts[-1], parent)
        elif member.isreg() and not member.issparse():
            self._file(tar, member, parts[-1], parent)
        else:
            raise Refusal("entry", name=member.name, rule="is a device, pipe or sparse file")

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, parent: int) -> None:
        if member.size < 0 or member.size > self._bytes_left:
            raise Refusal("too_large")
        self._bytes_left -= member.size
        source = tar.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        # Set-id bits never leave the archive.
        mode = 0o755 if member.mode & 0o100 else 0o644
        target = os.open(name, flags, mode, dir_fd=parent)
        with open(target, "wb") as file:  # noqa: PTH123 - opened by flags
            if self._as_packed:
                os.fchmod(target, member.mode & 0o777 | 0o600)
            if source is not None:
                _copy(source, file, member)

    def _link(self, member: tarfile.TarInfo, name: str, parent: int) -> None:
        target = _parts(member.linkname)
        if not target:
            raise Refusal("entry", name=member.name, rule="is a hard link to a folder")
        with self._folder(target[:-1], member.name, make=False) as folder:
            try:
                found = os.stat(target[-1], dir_fd=folder, follow_symlinks=False)
            except OSError:
                raise Refusal("entry", name=member.name, rule="is a hard link to nothing") from None
            if not stat.S_ISREG(found.st_mode):
                raise Refusal("entry", name=member.name, rule="is a hard link to a link or folder")
            os.link(target[-1], name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)

    @contextlib.contextmanager
    def _folder(self, parts: list[str], name: str, *, make: bool = True) -> Iterator[int]:
        here = os.dup(self._root)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=here)
                try:
                    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                except OSError:
                    raise Refusal("entry", name=name, rule="goes through a link or file") from None
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


def _copy(source: IO[bytes], file: IO[bytes], member: tarfile.TarInfo) -> None:
    left = member.size
    while left:
        block = source.read(min(left, _BLOCK))
        if not block:
            raise Refusal("bad_archive", error=f"it ends inside {member.name!r}")
        left -= len(block)
        file.write(block)


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    rules = (
        (name.startswith("/"), "is an absolute path"),
        (".." in parts, "points outside the archive"),
        (len(parts) > _MAX_DEPTH, f"is nested deeper than {_MAX_DEPTH} folders"),
        (
            any(len(os.fsencode(part)) > 255 for part in parts) or len(os.fsencode(name)) > 4095,
            "has a name that is too long",
        ),
        ("\0" in name, "has a NUL in its name"),
    )
    for broken, rule in rules:
        if broken:
            raise Refusal("entry", name=name, rule=rule)
    return parts


def _check_target(member: tarfile.TarInfo, parts: list[str]) -> None:
    target = member.linkname
    depth = len(parts) - 1
    escapes = target.startswith("/") or not target
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        escapes = escapes or depth < 0
    if escapes:
        raise Refusal("entry", name=member.name, rule=f"is a link out of the archive ({target!r})")
