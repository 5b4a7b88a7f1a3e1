"""Folders for fetched sources: private, locked by their owner, swept when it died.

Called by ``open.py``. A folder's lock is held as long as its process lives, so
what a killed process left is recognised and removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runners.model.errors import SystemFault

_LOCK = ".lock"


def base_folder(parent: Path) -> Path:
    """Return our folder below ``parent``, made if needed.

    Others may pass through it (the process that fetches is another user), but
    not list it.

    Raises:
        SystemFault: It is not ours, or can't be made.
    """
    base = _passable(parent) / _name()
    try:
        base.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = base.lstat()
    except OSError as exc:
        raise SystemFault(f"the folder for sources {base} cannot be made: {exc.strerror}") from exc
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SystemFault(
            f"the folder for sources {base} belongs to somebody else",
            hint="remove it, or point TMPDIR to another folder",
        )
    return base


def _name() -> str:
    return f"tasks-sources-{os.geteuid()}"


def _passable(parent: Path) -> Path:
    """Return ``parent``, or for root a usual place that another user can reach."""
    if os.geteuid() != 0:
        return parent
    for place in (parent, Path("/var/tmp"), Path("/tmp")):  # noqa: S108 - ours below it is private
        ways = (place.absolute(), *place.absolute().parents)
        if all(way.exists() and way.stat().st_mode & stat.S_IXOTH for way in ways):
            return place
    return parent


@contextlib.contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Yield a fresh folder that is removed afterwards."""
    base = base_folder(parent)
    sweep(parent)
    with _guard(base):
        holder = Path(tempfile.mkdtemp(prefix="s-", dir=base))
        holder.chmod(0o711)
        lock = os.open(holder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        inner = holder / "source"
        inner.mkdir(mode=0o700)
        yield inner
    finally:
        _remove(holder)
        os.close(lock)


def sweep(parent: Path) -> int:
    """Remove the folders of dead processes and return how many. Idempotent."""
    if not (_passable(parent) / _name()).exists():
        return 0
    base = base_folder(parent)
    removed = 0
    with _guard(base):
        for holder in base.glob("s-*"):
            if not _abandoned(holder):
                continue
            _remove(holder)
            removed += 1
    return removed


@contextlib.contextmanager
def _guard(base: Path) -> Iterator[None]:
    # Between the making of a folder and its lock nobody may sweep.
    guard = os.open(base / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
    finally:
        os.close(guard)


def _abandoned(holder: Path) -> bool:
    try:
        lock = os.open(holder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _remove(holder: Path) -> None:
    try:
        shutil.rmtree(holder)
    except OSError:
        # Trees may hold folders without write permission for their owner.
        for folder, names, _ in os.walk(holder):
            for name in names:
                path = Path(folder, name)
                if not path.is_symlink():
                    with contextlib.suppress(OSError):
                        path.chmod(0o700)
        shutil.rmtree(holder, ignore_errors=True)
