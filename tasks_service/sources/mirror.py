"""Mirrors: what earlier fetches of a repository brought, so that the next brings the rest.

In: a key (a repository and the login it was read with) and the Git folder of a
fetch. Out: that folder filled beforehand, and kept afterwards. Nothing here
looks into a pack: files are moved, and a fetch that fails with them is done
again without. Called by ``git.py``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks_service.process_log import get_logger

_PACK = re.compile(r"pack-[0-9a-f]{40,64}\.(pack|idx)")
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MAX_PACKS = 40
_MAX_COMMITS = 32
_MAX_LIST = 1 << 20
_LOCK = "lock"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lent:
    """What a fetch got: names of pack files; empty if there was nothing."""

    names: frozenset[str] = frozenset()
    size: int = 0


class Mirrors:
    """All mirrors below one folder. Several processes may use it.

    Args:
        folder: Of ours alone; made when needed.
        limit: Bytes of all mirrors; those not used for longest go first.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def key(self, url: str, *secrets: str) -> str:
        """Return the key of a repository as one login sees it (G5)."""
        text = "\0".join((url, *secrets))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def lend(self, key: str, git: Path) -> Lent:
        """Fill the Git folder of a fetch that has not begun; it may be of another user later.

        A mirror that can't be read is none.
        """
        place = self._folder / key
        if not place.is_dir():
            return Lent()
        try:
            with _locked(place, fcntl.LOCK_SH):
                return _fill(place, git)
        except OSError as error:
            _log.warning("mirror_not_read", error=str(error))
            shutil.rmtree(git, ignore_errors=True)
            self.drop(key)
            return Lent()

    def keep(self, key: str, git: Path, commit: str, lent: Lent) -> int:
        """Take over what a fetch brought and return how many bytes that was.

        Args:
            key: As for ``lend``.
            git: The folder of a fetch that has ended, and whose user we distrust.
            commit: What was fetched.
            lent: What it had.
        """
        fresh = [name for name in _packs(git / "objects" / "pack") if name not in lent.names]
        size = sum((git / "objects" / "pack" / name).lstat().st_size for name in fresh)
        place = self._folder / key
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(place, fcntl.LOCK_EX):
                _take(place, git, commit, fresh)
                if len(_packs(place)) > 2 * _MAX_PACKS:
                    _empty(place)
            self._trim(but=key)
        except OSError as error:
            _log.warning("mirror_not_kept", error=str(error))
            self.drop(key)
        return size

    def drop(self, key: str) -> None:
        """Forget a mirror; it is made anew by the next fetch. Idempotent."""
        with contextlib.suppress(OSError), _locked(self._folder / key, fcntl.LOCK_EX):
            _empty(self._folder / key)

    def _trim(self, *, but: str) -> None:
        sizes = {place: _size(place) for place in self._folder.iterdir() if place.is_dir()}
        total = sum(sizes.values())
        for place in sorted(sizes, key=lambda one: one.stat().st_mtime):
            if total <= self._limit:
                return
            if place.name != but or sizes[place] > self._limit:
                self.drop(place.name)
                total -= sizes[place]


def _fill(place: Path, git: Path) -> Lent:
    names = _packs(place)
    commits = _ids(place / "commits")
    if not names or not commits:
        return Lent()
    packs = git / "objects" / "pack"
    packs.mkdir(mode=0o755, parents=True)
    size = 0
    for name in names:
        size += (place / name).stat().st_size
        _give(place / name, packs / name)
    shallow = _ids(place / "shallow")
    (git / "shallow").write_text("".join(f"{one}\n" for one in shallow))
    refs = (f"{one} refs/mirror/{number}\n" for number, one in enumerate(commits))
    (git / "packed-refs").write_text("# pack-refs with: sorted \n" + "".join(refs))
    os.utime(place)
    return Lent(frozenset(names), size)


def _give(source: Path, target: Path) -> None:
    # A link to a file that is root's: the other user can read it and no more.
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def _take(place: Path, git: Path, commit: str, fresh: list[str]) -> None:
    # Only a shallow fetch: what has all history would need other books.
    shallow = _ids(git / "shallow")
    if not shallow:
        return
    for name in sorted(fresh, reverse=True):
        # The pack before its index: a pack without one is not there yet.
        _copy(git / "objects" / "pack" / name, place / name)
    _write(place / "shallow", dict.fromkeys((*_ids(place / "shallow"), *shallow)))
    commits = [one for one in _ids(place / "commits") if one != commit]
    _write(place / "commits", dict.fromkeys((*commits[-_MAX_COMMITS + 1 :], commit)))
    os.utime(place)


def _copy(source: Path, target: Path) -> None:
    partial = target.with_suffix(target.suffix + ".partial")
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as reader:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{source.name} is no file")
        with partial.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
    partial.chmod(0o444)
    partial.replace(target)


def _write(path: Path, lines: dict[str, None]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in lines))
    partial.replace(path)


def _ids(path: Path) -> list[str]:
    """Return the ids in a file that somebody else may have written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        lines = file.read(_MAX_LIST).decode("ascii", "replace").split()
    if not all(_ID.fullmatch(line) for line in lines):
        raise OSError(f"{path.name} holds what is no id")
    return lines


def _packs(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    found = {name for name in names if _PACK.fullmatch(name)}
    both = {name.partition(".")[0] for name in found}
    return sorted(
        f"{stem}.{end}"
        for stem in both
        for end in ("idx", "pack")
        if {f"{stem}.idx", f"{stem}.pack"} <= found
    )


def _size(place: Path) -> int:
    return sum((place / name).stat().st_size for name in _packs(place))


def _empty(place: Path) -> None:
    for entry in os.scandir(place):
        if entry.name != _LOCK:
            Path(entry.path).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    descriptor = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
