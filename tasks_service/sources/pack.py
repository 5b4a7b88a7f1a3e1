"""Pack a directory of this machine for upload, as Docker packs a build context (C-030 to C-035).

In: a directory, and perhaps a Dockerfile from anywhere. Out: a ``tar.gz`` and
its SHA-256. The same content gives the same bytes on every machine: entries are
sorted, belong to nobody, and carry no time (the unpacked files have the time
of the unpacking, as those of a Git checkout have). Called by the command line.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, cast

from runners.model.errors import InvalidInput
from tasks_service.sources.ignore import Ignore, read_ignore

Progress = Callable[[int, int], None]
"""Called with the bytes packed and the bytes there are, often and in order."""

_BLOCK = 1 << 18
_LARGEST = 5
# Above 6 costs time and saves nearly nothing.
_LEVEL = 5


@dataclass(frozen=True, slots=True)
class PackedContext:
    """A context as one file.

    Attributes:
        path: The ``tar.gz``.
        sha256: Of its bytes, hexadecimal; equal for equal content.
        size: In bytes, packed.
        unpacked: In bytes, of all files.
        entries: Files, links and directories.
        dockerfile: Its name in the context; empty where none was given.
        largest: The largest files, largest first, with their sizes.
        skipped: Sockets, pipes and devices, which no archive can carry.
    """

    path: Path
    sha256: str
    size: int
    unpacked: int
    entries: int
    dockerfile: str
    largest: tuple[tuple[str, int], ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    path: Path
    mode: int
    size: int


def pack_directory(
    directory: Path,
    target: Path,
    *,
    dockerfile: Path | None = None,
    progress: Progress | None = None,
    max_bytes: int = 4 << 30,
    max_entries: int = 500_000,
) -> PackedContext:
    """Write the context to ``target`` and say what it is.

    ``.dockerignore`` of the directory is honoured, or in its place
    ``<name>.dockerignore`` beside the Dockerfile. Files of version control are
    left out unless a ``!`` pattern names them, ``.venv`` always. Both ignore
    file and Dockerfile are packed whatever they say. A Dockerfile from outside
    the directory is added as ``<12 digits of its SHA-256>_<name>``, with an
    ignore file that keeps it out of the image.

    Args:
        directory: The context.
        target: The file to write; replaced if it is there.
        dockerfile: The Dockerfile, or the task file, that must be in it.
        progress: Called while packing.
        max_bytes, max_entries: What a server would refuse anyway.

    Raises:
        InvalidInput: The directory or a file can't be read, a pattern is
            wrong, a file changed meanwhile, or a limit is passed.
    """
    root = _root(directory)
    inside = _inside(root, dockerfile)
    ignore = read_ignore(root, dockerfile)
    entries, skipped = _collect(root, ignore, _always(inside, ignore), max_entries)
    total = sum(entry.size for entry in entries)
    largest = heapq.nlargest(_LARGEST, entries, key=lambda entry: entry.size)
    if total > max_bytes:
        shown = ", ".join(f"{e.name} ({e.size / (1 << 20):.0f} MiB)" for e in largest)
        raise InvalidInput(
            f"context {str(directory)!r} is larger than {max_bytes / (1 << 30):g} GiB",
            hint=f"leave files out by .dockerignore; the largest are {shown}",
        )
    extra = _outside(dockerfile, ignore) if dockerfile is not None and inside is None else {}
    try:
        sha256 = _write(target, entries, extra, total, progress)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return PackedContext(
        target,
        sha256,
        target.stat().st_size,
        total,
        len(entries) + len(extra),
        inside or next(iter(extra), ""),
        tuple((entry.name, entry.size) for entry in largest if entry.size),
        tuple(skipped),
    )


def _root(directory: Path) -> Path:
    try:
        root = directory.resolve(strict=True)
    except OSError as exc:
        raise InvalidInput(f"directory {str(directory)!r} cannot be read: {exc.strerror}") from exc
    if not root.is_dir():
        raise InvalidInput(f"{str(directory)!r} is not a directory")
    return root


def _inside(root: Path, dockerfile: Path | None) -> str | None:
    if dockerfile is None:
        return None
    if not dockerfile.is_file():
        raise InvalidInput(f"file {str(dockerfile)!r} does not exist, or is no regular file")
    # The name as it was typed: a link in the context stays that link.
    place = dockerfile.parent.resolve() / dockerfile.name
    if dockerfile.is_symlink() and not dockerfile.resolve().is_relative_to(root):
        return None
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None


def _always(inside: str | None, ignore: Ignore) -> frozenset[str]:
    return frozenset(name for name in (inside, ignore.file) if name)


def _collect(
    root: Path, ignore: Ignore, always: frozenset[str], limit: int
) -> tuple[list[_Entry], list[str]]:
    entries: list[_Entry] = []
    skipped: list[str] = []
    held: list[_Entry] = []
    for entry in _walk(root, ignore, always):
        if stat.S_IFMT(entry.mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            skipped.append(entry.name)
            continue
        while held and not entry.name.startswith(held[-1].name + "/"):
            held.pop()
        if entry.name not in always and ignore.excludes(entry.name):
            # A directory comes along if something below it does.
            if stat.S_ISDIR(entry.mode):
                held.append(entry)
            continue
        entries += [*held, entry]
        held.clear()
        if len(entries) > limit:
            raise InvalidInput(
                f"the context holds more than {limit} entries",
                hint="leave files out by .dockerignore",
            )
    return entries, skipped


def _walk(root: Path, ignore: Ignore, always: frozenset[str]) -> Iterator[_Entry]:
    stack = _listed(root, "")
    while stack:
        entry = stack.pop()
        if not entry.name.isprintable() and "\0" in entry.name:
            continue
        yield entry
        if not stat.S_ISDIR(entry.mode):
            continue
        needed = any(name.startswith(entry.name + "/") for name in always)
        if needed or ignore.may_hold(entry.name):
            stack += _listed(entry.path, entry.name + "/")


def _listed(folder: Path, prefix: str) -> list[_Entry]:
    found = []
    try:
        with os.scandir(folder) as listing:
            for item in listing:
                if item.name == ".venv":
                    continue
                info = item.stat(follow_symlinks=False)
                size = info.st_size if stat.S_ISREG(info.st_mode) else 0
                found.append(_Entry(prefix + item.name, Path(item.path), info.st_mode, size))
    except OSError as exc:
        raise InvalidInput(f"directory {str(folder)!r} cannot be read: {exc.strerror}") from exc
    # The last is taken first. As bytes, so that no locale changes the order.
    return sorted(found, key=lambda entry: os.fsencode(entry.name), reverse=True)


def _outside(dockerfile: Path, ignore: Ignore) -> dict[str, bytes]:
    try:
        data = dockerfile.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"file {str(dockerfile)!r} cannot be read: {exc.strerror}") from exc
    name = f"{hashlib.sha256(data).hexdigest()[:12]}_{dockerfile.name}"
    listed = f"{name}.dockerignore"
    lines = [*ignore.patterns, name, listed, ""]
    return {name: data, listed: "\n".join(lines).encode("utf-8", "surrogateescape")}


def _write(
    target: Path,
    entries: list[_Entry],
    extra: dict[str, bytes],
    total: int,
    progress: Progress | None,
) -> str:
    digest = hashlib.sha256()
    done = 0
    with target.open("wb") as file:
        hashed = cast("IO[bytes]", _Hashed(file, digest))
        # No name and no time in the header either.
        with (
            gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=hashed, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry in entries:
                _add(tar, entry)
                done += entry.size
                if progress is not None and entry.size:
                    progress(done, total)
            for name, data in extra.items():
                info = _info(name, stat.S_IFREG | 0o644)
                info.size = len(data)
                tar.addfile(info, BytesIO(data))
    return digest.hexdigest()


def _info(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    # Set-id bits stay here: the server would drop them anyway.
    info.mode = stat.S_IMODE(mode) & 0o777
    info.type = {stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE}.get(
        stat.S_IFMT(mode), tarfile.REGTYPE
    )
    return info


def _add(tar: tarfile.TarFile, entry: _Entry) -> None:
    info = _info(entry.name, entry.mode)
    try:
        if stat.S_ISLNK(entry.mode):
            info.mode = 0o777
            info.linkname = str(entry.path.readlink())
            tar.addfile(info)
        elif stat.S_ISDIR(entry.mode):
            tar.addfile(info)
        else:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(entry.path, flags), "rb") as file:  # noqa: PTH123 - opened by flags
                info.size = entry.size
                tar.addfile(info, file)
                if file.read(1):
                    raise InvalidInput(f"file {entry.name!r} grew while it was packed")
    except OSError as exc:
        # tarfile reports a file that ends early as an OSError without a number.
        why = f"cannot be read: {exc.strerror}" if exc.errno else "shrank while it was packed"
        raise InvalidInput(f"file {entry.name!r} of the context {why}") from exc


class _Hashed:
    def __init__(self, file: IO[bytes], digest: hashlib._Hash) -> None:
        self._file = file
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
