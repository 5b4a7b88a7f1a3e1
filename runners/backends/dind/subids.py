"""The system user whose subordinate ids runners are mapped to.

``private_engine`` calls ``ensure_user`` before it starts ``dockerd
--userns-remap``. Idempotent; safe when two processes do it at once.
"""

from __future__ import annotations

import fcntl
import pwd
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runners.backends.dind.programs import environment
from runners.model.errors import SystemFault

USER = "tasks-runner"
SIZE = 65536
_USERADD = (
    *("useradd", "--system", "--user-group", "--no-create-home"),
    *("--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"),
)
# Above what `useradd` gives out to people by default on a machine with a few
# hundred accounts, so that a user added later does not run into our range.
_FIRST = 200_000_000
_LAST = 4_000_000_000


def ensure_user(etc: Path = Path("/etc")) -> str:
    """Make the user and its ranges in subuid and subgid; return its name.

    Raises:
        SystemFault: the user can't be made, with what the tool said.
    """
    with _locked(etc):
        if etc == Path("/etc"):
            _ensure_account()
        start = None
        for name in ("subuid", "subgid"):
            start = _ensure_range(etc / name, start)
    return USER


def _ensure_account() -> None:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        pass
    else:
        return
    made = subprocess.run(
        [*_USERADD, USER],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if made.returncode != 0:
        raise SystemFault(
            f"the system user {USER!r} can't be made: {made.stderr.strip()}",
            hint="run as root, with the package `passwd` installed",
        )


def _ensure_range(path: Path, wanted: int | None) -> int:
    lines = path.read_text().splitlines() if path.exists() else []
    ranges = list(_parse(lines))
    for name, start, count in ranges:
        if name == USER and count >= SIZE:
            return start
    start = free_start(((start, count) for _, start, count in ranges), wanted)
    text = "".join(f"{line}\n" for line in [*lines, f"{USER}:{start}:{SIZE}"])
    fresh = path.with_name(path.name + ".tasks-service")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)
    return start


def free_start(taken: Iterable[tuple[int, int]], wanted: int | None = None) -> int:
    """Return the first start of a range that overlaps none of ``taken``."""
    spans = sorted(taken)
    start = _FIRST if wanted is None else wanted
    while start < _LAST:
        clash = [
            begin + count
            for begin, count in spans
            if begin < start + SIZE and start < begin + count
        ]
        if not clash:
            return start
        start = max(clash)
    raise SystemFault("no range of subordinate ids is free", hint="see /etc/subuid, /etc/subgid")


def _parse(lines: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    for line in lines:
        parts = line.split(":")
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            yield parts[0], int(parts[1]), int(parts[2])


@contextmanager
def _locked(etc: Path) -> Iterator[None]:
    # Our own lock: two starts of ours must not both pick the same range. Its
    # place is ours too, so that the tools' own lock files are left alone.
    lock = Path("/run/tasks-service.subids.lock") if etc == Path("/etc") else etc / ".lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
