"""What this machine can do for runners, fact by fact: the substance of ``tasks doctor``.

Nothing is installed, started or changed, one runner apart, which is started
for the probe and destroyed after it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runners.backends.dind import disk, firewall, levels, outer, syscalls
from runners.backends.dind.config import DindConfig
from runners.backends.dind.engine_api import NotFound
from runners.backends.dind.outer import Outer
from runners.backends.dind.probe import Examination, examine
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError

OK, WARNING, MISSING = "ok", "warning", "missing"

# The first releases with the fixes of CVE-2025-31133, -52565 and -52881 (runc)
# and of CVE-2024-23650 to -23653 (the builder in the engine).
_RUNC_FIXED = ((1, 2, 8), (1, 3, 3))
_ENGINE_FIXED = (25, 0, 2)


@dataclass(frozen=True, slots=True)
class Check:
    """One fact.

    Attributes:
        name: What was looked at.
        status: ``ok``, ``warning`` (weaker or slower) or ``missing`` (the
            asked level can't be had).
        found: What is there, in words.
        hint: What to do about it, or empty.
    """

    name: str
    status: str
    found: str
    hint: str = ""


def diagnose(config: DindConfig, cancel: Cancellation, *, probing: bool = True) -> list[Check]:
    """Return all facts, in an order that explains itself; never raises for a bad machine.

    ``probing`` starts a runner and tries the known escapes in it.
    """
    checks = list(_machine())
    try:
        found = outer.describe(config.address)
    except RunnerError as exc:
        hint = exc.hint or "`tasks setup` starts one"
        return [*checks, Check("engine of the runners", MISSING, exc.message, hint)]
    checks += _engine(found, config)
    if probing and not any(check.status == MISSING for check in checks):
        checks += _probe(config, cancel)
    return checks


def without_setup() -> list[Check]:
    """Return the facts of a machine on which nothing was set up."""
    return [
        *_machine(),
        Check("engine of the runners", MISSING, "nothing was set up yet", "`tasks setup` does it"),
    ]


def _machine() -> Iterator[Check]:
    root = os.geteuid() == 0
    yield (
        Check("root", OK, "yes")
        if root
        else Check(
            "root",
            WARNING,
            "no: disk use is not limited, and a private engine can't be started",
            "run as root",
        )
    )
    dockerd = shutil.which("dockerd")
    yield Check(
        "dockerd for a private engine",
        OK if dockerd else WARNING,
        dockerd or "not installed",
        "" if dockerd else "apt-get install docker.io",
    )
    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1
    yield Check("control groups", OK, f"version {version}")
    problem = disk.available()
    yield Check(
        "loop disks",
        WARNING if problem else OK,
        problem or "yes, disk use of a run is limited",
        "apt-get install e2fsprogs mount" if problem else "",
    )
    closed = root and firewall.available()
    yield Check(
        "packet filter",
        OK if closed else WARNING,
        "runners reach the internet, not this machine" if closed else "iptables can't be used",
        "" if closed else "run as root with the package iptables installed",
    )
    beneath = _has_openat2()
    yield Check(
        "openat2",
        OK if beneath else MISSING,
        "yes" if beneath else "the kernel is older than 5.6",
        "" if beneath else "use a newer kernel",
    )


def _engine(found: Outer, config: DindConfig) -> Iterator[Check]:
    yield Check("engine of the runners", OK, f"{found.version} at {found.address}")
    yield from _age(found)
    options = found.api.get("/info").get("SecurityOptions") or []
    filters = any("name=seccomp" in option for option in options)
    yield Check(
        "system call filter",
        OK if filters else MISSING,
        "seccomp, with our own list" if filters else "the engine has no seccomp",
        "" if filters else "use an engine and a kernel with seccomp",
    )
    chosen = levels.level(config.level)
    try:
        outer.require(found, chosen)
    except RunnerError as exc:
        yield Check("user namespaces", MISSING, exc.message, exc.hint)
    else:
        text = f"root in a runner is {found.base[0]} here" if found.remaps else "none"
        yield Check("user namespaces", OK if found.remaps else WARNING, text)
    try:
        found.api.get(f"/images/{config.image}/json")
    except NotFound:
        hint = "`tasks setup` builds it"
        yield Check("runner image", MISSING, f"{config.image} is not there", hint)
    else:
        yield Check("runner image", OK, config.image)


def _age(found: Outer) -> Iterator[Check]:
    components = found.api.get("/version").get("Components") or []
    for component in components:
        if component.get("Name") == "runc":
            yield _runc(str(component.get("Version") or ""))


def _runc(text: str) -> Check:
    version = numbers(text)
    minor = [fixed for fixed in _RUNC_FIXED if fixed[:2] == version[:2]]
    old = version < (minor[0] if minor else _RUNC_FIXED[0])
    return Check(
        "runc of the engine",
        WARNING if old else OK,
        text + (", older than the fixes of CVE-2025-31133, -52565 and -52881" if old else ""),
        "your distribution may have patched it; take its updates" if old else "",
    )


def _probe(config: DindConfig, cancel: Cancellation) -> Iterator[Check]:
    try:
        seen = examine(config, cancel)
    except RunnerError as exc:
        detail = f"{exc.message} {exc.detail[-500:]}".strip()
        yield Check("a runner", MISSING, detail, exc.hint)
        return
    start = seen.timings["booted"] + seen.timings["ready"]
    yield Check("a runner", OK, f"its engine answered after {start:.2f} s")
    old = numbers(seen.engine) < _ENGINE_FIXED
    yield Check(
        "engine in the runner",
        WARNING if old else OK,
        f"{seen.engine}, BuildKit {seen.buildkit or 'of unknown version'}"
        + (", older than the fixes of CVE-2024-23650 to -23653" if old else ""),
        "make the runner image anew on a newer base" if old else "",
    )
    yield from _verdicts(seen)


def _verdicts(seen: Examination) -> Iterator[Check]:
    for where in ("runner", "nested"):
        tried = [verdict for verdict in seen.verdicts if verdict.where == where]
        place = "root of a runner" if where == "runner" else "a step's container"
        bad = [verdict for verdict in tried if not verdict.refused]
        if not bad:
            yield Check(f"escapes from {place}", OK, f"all {len(tried)} refused")
        for verdict in bad:
            yield Check(f"escapes from {place}", MISSING, f"{verdict.name}: {verdict.detail}")


def numbers(text: str) -> tuple[int, ...]:
    """Return the first three numbers of a version, for comparing."""
    return tuple(int(word) for word in re.findall(r"\d+", text)[:3])


def _has_openat2() -> bool:
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(syscalls.openat2(fd, ".", os.O_PATH, resolve=syscalls.RESOLVE_IN_ROOT))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
