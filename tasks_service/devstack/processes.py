"""Background processes of the stack: started, found again, and stopped for sure.

Each process writes its own record before it becomes the program, so that even
a stack that is killed at once knows what it started. A record names process
id, start time and boot: a number that was given to somebody else since is
never signalled.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from runners.model.errors import Unavailable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# $0 is the record's path. Becoming the program keeps id and start time.
_RECORD_THEN_BECOME = (
    f'cat /proc/$$/stat {_BOOT_ID} > "$0.partial" && mv "$0.partial" "$0" && exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Record:
    """One process, named so that it can't be mistaken for another."""

    pid: int
    start_time: str
    boot: str


def start(
    name: str,
    argv: Sequence[str],
    *,
    run: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a program that outlives us; its record is ``run/name.process``.

    Returns when the record is written; ``find`` tells from then on whether
    the program lives.

    Raises:
        Unavailable: the program can't be started.
    """
    run.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    record = run / f"{name}.process"
    record.unlink(missing_ok=True)
    with log.open("ab") as output:
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _RECORD_THEN_BECOME, str(record), *argv],
            {**os.environ, **(environment or {})},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
            ],
            # A Ctrl-C meant for the command in front must not reach it.
            setsid=True,
        )
    while not record.exists():
        if os.waitpid(pid, os.WNOHANG)[0]:
            raise Unavailable(f"cannot start {name}", hint=f"its log: {log}", detail=tail(log))
        time.sleep(0.005)


def become(
    name: str, argv: Sequence[str], *, run: Path, environment: Mapping[str, str] | None = None
) -> NoReturn:
    """Become a program in the foreground, with a record as ``start`` makes it."""
    run.mkdir(parents=True, exist_ok=True)
    record = run / f"{name}.process"
    words = ["sh", "-c", _RECORD_THEN_BECOME, str(record), *argv]
    os.execve("/bin/sh", words, {**os.environ, **(environment or {})})  # noqa: S606 - no shell reads them


def find(name: str, run: Path) -> Record | None:
    """Return the live process of that record, or None."""
    try:
        lines = (run / f"{name}.process").read_text().split("\n")
        record = Record(_pid(lines[0]), _start_time(lines[0]), lines[1].strip())
        alive = Path(f"/proc/{record.pid}/stat").read_text()
        same = _start_time(alive) == record.start_time and _state(alive) not in "ZX"
        return record if same and record.boot == _BOOT_ID.read_text().strip() else None
    except (OSError, ValueError, IndexError):
        return None


def stop(name: str, run: Path, *, grace_s: float = 20) -> bool:
    """Stop the process of that record: asked first, killed when it does not go.

    Returns:
        Whether there was one. Without one only the record is removed.
    """
    record = find(name, run)
    if record is not None:
        try:
            handle = os.pidfd_open(record.pid)
        except ProcessLookupError:
            handle = -1
        if handle >= 0:
            try:
                _end(handle, grace_s)
            finally:
                os.close(handle)
        # If it was our own child nobody else collects it.
        with suppress(ChildProcessError):
            os.waitpid(record.pid, os.WNOHANG)
    (run / f"{name}.process").unlink(missing_ok=True)
    return record is not None


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, or nothing."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def _end(handle: int, grace_s: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return
        # A process handle becomes readable when the process has ended.
        if select.select([handle], [], [], grace_s)[0]:
            return


def _fields(stat: str) -> list[str]:
    # The second field is the program's name in brackets and may hold anything.
    return stat.rpartition(")")[2].split()


def _pid(stat: str) -> int:
    return int(stat.split(" ", 1)[0])


def _state(stat: str) -> str:
    return _fields(stat)[0]


def _start_time(stat: str) -> str:
    return _fields(stat)[19]
