"""Files below a root that someone else filled: opened without leaving the root.

Used for the subdirectory of a source and for the task file of a remote one
(G6). Links are followed by hand, part by part, so that none can lead out.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from runners.model.errors import InvalidInput
from tasks_service.sources.errors import SourceNotFound

_MAX_LINKS = 40


def resolve_beneath(root: Path, relative: str, *, what: str) -> Path:
    """Return the real path of ``relative`` below ``root``.

    Links inside the root are followed; one that is absolute or climbs out of
    the root is refused.

    Args:
        root: A real directory.
        relative: A path with ``/`` between its parts.
        what: The noun for messages, such as ``task file``.

    Raises:
        InvalidInput: The path leaves the root.
        SourceNotFound: There is nothing there.
    """
    todo = [part for part in reversed(relative.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    if relative.startswith("/"):
        raise InvalidInput(f"{what} {relative!r} is an absolute path outside the source")
    while todo:
        part = todo.pop()
        if part == "..":
            if not done:
                raise InvalidInput(f"{what} {relative!r} points outside the source")
            done.pop()
            continue
        path = root.joinpath(*done, part)
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise SourceNotFound(f"{what} {relative!r} does not exist in the source") from None
        except OSError as exc:
            raise InvalidInput(f"{what} {relative!r} cannot be read: {exc.strerror}") from exc
        if not stat.S_ISLNK(mode):
            done.append(part)
            continue
        links += 1
        target = os.readlink(path)  # noqa: PTH115 - the raw text, not a Path made tidy
        if links > _MAX_LINKS or target.startswith("/"):
            raise InvalidInput(
                f"{what} {relative!r} is a link that leaves the source"
                if links <= _MAX_LINKS
                else f"{what} {relative!r} goes through more than {_MAX_LINKS} links"
            )
        todo += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
    return root.joinpath(*done)


def read_beneath(root: Path, relative: str, *, limit: int, what: str) -> bytes:
    """Return the bytes of a regular file below ``root``.

    Raises:
        InvalidInput: It leaves the root, is no regular file, or is larger
            than ``limit`` bytes.
        SourceNotFound: There is nothing there.
    """
    path = resolve_beneath(root, relative, what=what)
    try:
        return read_regular(path, limit=limit, what=f"{what} {relative!r}")
    except FileNotFoundError:
        raise SourceNotFound(f"{what} {relative!r} does not exist in the source") from None


def read_regular(path: Path, *, limit: int, what: str, follow: bool = False) -> bytes:
    """Return the bytes of a regular file, never waiting on a pipe or device.

    Raises:
        FileNotFoundError: It is not there.
        InvalidInput: It is no regular file, can't be read or is too large.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - opened by flags
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidInput(f"{what} is not a regular file")
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise InvalidInput(f"{what} cannot be read: {exc.strerror}") from exc
    if len(data) > limit:
        raise InvalidInput(f"{what} is larger than {limit // 1024} KiB")
    return data
