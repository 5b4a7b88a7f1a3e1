"""What we know of the outer engine: the one that holds the runners.

``DindBackend`` asks once; ``tasks doctor`` shows it. Nothing is changed here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runners.backends.dind import levels
from runners.backends.dind.engine_api import EngineApi, unix_dial
from runners.model.errors import Denied


@dataclass(frozen=True, slots=True)
class Outer:
    """One outer engine.

    Attributes:
        base: Ids that root of a remapped container has outside; (0, 0) where
            the engine does not remap.
        beside: The engine runs on this machine and we are root: its
            containers' namespaces, disks and control groups are in reach.
        security: Confining security modules besides seccomp.
        cgroup: Version of the control groups, 1 or 2.
    """

    api: EngineApi
    address: str
    version: str
    base: tuple[int, int]
    remaps: bool
    beside: bool
    security: tuple[str, ...]
    cgroup: int
    cpus: int
    memory_bytes: int


def describe(address: str) -> Outer:
    """Ask an engine what it is.

    Args:
        address: ``unix:///path``.

    Raises:
        Denied: the address is of another kind.
        Unavailable: it does not answer.
    """
    if not address.startswith("unix://"):
        raise Denied(
            f"runners can't be started at {address}",
            hint="name the Unix socket of an engine on this machine (unix:///…)",
        )
    api = EngineApi(unix_dial(address.removeprefix("unix://")), f"the engine at {address}")
    info = api.get("/info")
    root = Path(info.get("DockerRootDir") or "/nonexistent")
    remaps = levels.remaps_users(info)
    return Outer(
        api=api,
        address=address,
        version=info.get("ServerVersion") or "",
        base=_base(root) if remaps else (0, 0),
        remaps=remaps,
        beside=os.geteuid() == 0 and root.is_dir(),
        security=levels.security_modules(info.get("SecurityOptions") or []),
        cgroup=int(info.get("CgroupVersion") or 1),
        cpus=int(info.get("NCPU") or 1),
        memory_bytes=int(info.get("MemTotal") or 0),
    )


def require(outer: Outer, chosen: levels.Level) -> None:
    """Refuse a level that this engine can't give.

    Raises:
        Denied: what is missing, and what would choose the weaker level.
    """
    if chosen.user_namespaces and not outer.remaps:
        raise Denied(
            f"isolation {chosen.name} needs an engine with user namespaces, "
            f"and the one at {outer.address} has none",
            hint="run as root (a private engine is then started for runners), or start dockerd "
            f"with --userns-remap=default, or choose the weaker level with --isolation {levels.D2} "
            "for tasks you trust",
        )


def _base(root: Path) -> tuple[int, int]:
    # An engine that remaps keeps its data in a directory named for the ids.
    uid, dot, gid = root.name.partition(".")
    if dot and uid.isdigit() and gid.isdigit():
        return int(uid), int(gid)
    raise Denied(
        f"the engine remaps users, but its data root {root} does not tell to which ids",
        hint="use the private engine (run as root without DOCKER_HOST)",
    )
