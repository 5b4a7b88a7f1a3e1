"""Isolation levels by name, and the container settings each one means.

``D3`` is the default: root in the runner is an unprivileged user outside. ``D2``
is the same container in an engine without user namespaces: accidents stop
there, attackers don't. The names of runtimes stand for themselves. What each
stops is told in docs/isolation.md.

Pure; called by ``outer`` and ``runner``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runners.backends.base import Limits
from runners.backends.dind import seccomp
from runners.model.errors import InvalidInput

D3 = "D3"
D2 = "D2"
RUNTIMES = ("sysbox-runc", "runsc", "kata")
NAMES = (D3, D2, *RUNTIMES)

# An engine gives its containers the fourteen that it has itself by default,
# so it must hold them; SYS_ADMIN mounts and NET_ADMIN makes bridges, both
# inside the runner's own namespaces. Nothing else was needed to build, run
# and push.
CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_CHROOT",
)

DISK = "/var/lib/runner"
"""Where the runner's data disk is mounted; everything that grows is on it."""
WORKSPACE = f"{DISK}/workspace"
"""Where the run's workspace volume keeps its files."""


@dataclass(frozen=True, slots=True)
class Level:
    """One isolation level.

    Attributes:
        name: As a person chooses it and the run record shows it.
        user_namespaces: The outer engine must remap users.
        runtime: OCI runtime to ask the outer engine for, or None for its own.
        warning: What a person must be told who chose it, or empty.
    """

    name: str
    user_namespaces: bool
    runtime: str | None = None
    warning: str = ""


def level(name: str) -> Level:
    """Return the level of that name.

    Raises:
        InvalidInput: there is none.
    """
    if name == D3:
        return Level(D3, user_namespaces=True)
    if name == D2:
        return Level(
            D2,
            user_namespaces=False,
            warning="isolation D2: code of this task can take over this machine; "
            "use it only for tasks you trust as much as yourself",
        )
    if name in RUNTIMES:
        return Level(
            name,
            user_namespaces=False,
            runtime=name,
            warning=f"isolation {name}: passed to the engine as it is, not probed here",
        )
    raise InvalidInput(
        f"there is no isolation level {name!r}", hint=f"choose one of {', '.join(NAMES)}"
    )


def host_config(chosen: Level, limits: Limits, security: tuple[str, ...]) -> dict[str, Any]:
    """Return the isolation and limits part of the container's host settings.

    ``security`` holds the further security modules that the outer engine
    confines containers with (``apparmor``, ``selinux``): their stock profiles
    forbid every mount, so they are lifted; the user namespace, the capability
    list and our filter of system calls stay.
    """
    options = [f"seccomp={seccomp.text()}"]
    if "apparmor" in security:
        options.append("apparmor=unconfined")
    if "selinux" in security:
        options.append("label=disable")
    settings: dict[str, Any] = {
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": options,
        "CgroupnsMode": "private",
        # The kernel lets nobody mount a fresh /proc who sees a masked one, and
        # every nested container needs its own. In a user namespace the masked
        # files are closed by their owner anyway; `tasks doctor` tries.
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "ReadonlyRootfs": True,
        **bounds(limits),
    }
    if chosen.runtime:
        settings["Runtime"] = chosen.runtime
        # These bring their own way to give a container its /proc and filter.
        for key in ("SecurityOpt", "MaskedPaths", "ReadonlyPaths", "CgroupnsMode"):
            del settings[key]
    return settings


def bounds(limits: Limits) -> dict[str, int]:
    """Return the limits in the engine's words."""
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "NanoCpus": int(limits.cpus * 1e9),
        "PidsLimit": limits.pids,
    }


def security_modules(options: list[str]) -> tuple[str, ...]:
    """Return the confining modules named in an engine's security options."""
    return tuple(
        module
        for module in ("apparmor", "selinux")
        if any(f"name={module}" in option for option in options)
    )


def remaps_users(info: Mapping[str, Any]) -> bool:
    """Return whether an engine's ``/info`` says that it remaps users."""
    return any("name=userns" in option for option in info.get("SecurityOptions") or [])
