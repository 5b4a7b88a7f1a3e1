"""Control groups of a runner, seen from outside: hand down, thaw, read.

The runner may divide its own group; its limits stay with us, because only
directories and member lists change their owner, never a limit file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Owned by the runner's root afterwards; everything else stays root's.
_V1 = ("", "cgroup.procs", "tasks")
_V2 = ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")


def directories(pid: int, container: str) -> list[Path]:
    """Return the group directories of a container's first process.

    Empty if the process is gone or is not in a group of that container, so a
    number that was given to another process in between does no harm.
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
    points = dict(_hierarchies())
    found = []
    for line in lines:
        _, names, path = line.split(":", 2)
        point = points.get(names)
        if point is not None and container in path:
            found.append(point / path.lstrip("/"))
    return [path for path in found if path.is_dir()]


def delegate(paths: list[Path], base: tuple[int, int]) -> None:
    """Give the groups to the runner's root, limits apart."""
    for path in paths:
        unified = (path / "cgroup.controllers").exists()
        for name in _V2 if unified else _V1:
            with suppress(FileNotFoundError):
                os.chown(path / name, *base)


def thaw(paths: list[Path]) -> None:
    """Wake everything below: a frozen process can't be killed (F13)."""
    for path in paths:
        # Deepest first: a thawed parent of a frozen child stays frozen in part.
        for directory, _, names in os.walk(path, topdown=False):
            for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                if name in names:
                    with suppress(OSError):
                        Path(directory, name).write_text(value)


def limits_hit(paths: list[Path]) -> list[str]:
    """Return, in words, which limits of the run were run into so far."""
    hit = []
    for path in paths:
        if _counter(path, ("memory.oom_control", "memory.events"), "oom_kill"):
            hit.append("memory")
        if _counter(path, ("pids.events",), "max"):
            hit.append("processes")
    return sorted(set(hit))


def _counter(path: Path, files: tuple[str, ...], key: str) -> int:
    for name in files:
        with suppress(OSError, ValueError):
            for line in (path / name).read_text().splitlines():
                word, _, number = line.partition(" ")
                if word == key:
                    return int(number)
    return 0


def _hierarchies() -> Iterator[tuple[str, Path]]:
    """Yield (controller names as in /proc/pid/cgroup, mount point)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4])
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            yield "", point
        elif kind == "cgroup":
            words = options.split(",")
            named = [word for word in words if word.startswith("name=")]
            known = [word for word in words if word in _controllers()]
            yield ",".join(named or known), point


def _controllers() -> frozenset[str]:
    try:
        lines = Path("/proc/cgroups").read_text().splitlines()[1:]
    except FileNotFoundError:
        return frozenset()
    return frozenset(line.split()[0] for line in lines)
