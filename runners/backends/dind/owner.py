"""Who made a thing: labels that let a later process tell live owners from dead.

Written on every container, network and run directory by ``runner``; read back
by ``sweep``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PREFIX = "io.tasks-service."
RUN = PREFIX + "run"
OWNER = PREFIX + "owner"
STATE = PREFIX + "state"


@dataclass(frozen=True, slots=True)
class Owner:
    """One process, told apart from any other that later gets its number."""

    boot_id: str
    pid_namespace: str
    pid: int
    start: int
    """Clock ticks after boot at which the process started."""

    def __str__(self) -> str:
        return f"{self.boot_id}/{self.pid_namespace}/{self.pid}/{self.start}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Return the owner written in ``text``, or None if it is not one."""
        parts = text.split("/")
        if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))

    @property
    def alive(self) -> bool:
        """False only if the process is known to be gone.

        A process of another PID namespace can't be looked up from here, so it
        counts as alive until the machine restarts.
        """
        here = me()
        if self.boot_id != here.boot_id:
            return False
        if self.pid_namespace != here.pid_namespace:
            return True
        return process_start(self.pid) == self.start


def me() -> Owner:
    """Return the owner that stands for this process."""
    # Not cached across a fork: the child is an owner of its own.
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> Owner:
    return Owner(
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]"),
        pid,
        process_start(pid) or 0,
    )


def process_start(pid: int) -> int | None:
    """Return the start time of a process in clock ticks, None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and brackets; all else comes after it.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def labels(run_id: str, state_dir: Path) -> dict[str, str]:
    """Return the labels of everything made for a run by this process."""
    return {RUN: run_id, OWNER: str(me()), STATE: str(state_dir)}


def is_dead(found: Mapping[str, str] | None) -> bool:
    """Return True if labels name an owner that is known to be gone."""
    owner = Owner.parse((found or {}).get(OWNER, ""))
    return owner is not None and not owner.alive
