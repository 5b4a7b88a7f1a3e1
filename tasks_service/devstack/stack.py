"""The stack: engine, registry, base images and Git server, up and down.

``up`` finds what runs, starts what does not, and may be called again at any
time, after a kill too. ``down`` removes all of it and nothing else.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runners.backends.dind import config, open_backend, places, private_engine
from runners.model.errors import Denied, RunnerError, Unavailable
from tasks_service.devstack import (
    databases,
    engines,
    images,
    packages,
    packet_filter,
    processes,
    progress,
    registry,
    second_engine,
)
from tasks_service.devstack.engines import Engine
from tasks_service.devstack.layout import Layout, load

GIT = "git-server"
SERVICE = "service"
DEMO_SERVICE, DEMO_REGISTRY = "demo-service", "demo-registry"
_DAEMONS = {
    SERVICE: "The service",
    DEMO_SERVICE: "The demo's service",
    DEMO_REGISTRY: "The demo's registry",
}
_GIT_START_S = 20
# What the next `make demo` has use for, and the results of measurements.
_KEPT = frozenset({"cache", "ports.json", "bench.json", "lock"})
_RUNNER_PROGRAMS = {"git": "git", "busybox": "busybox-static"}
_PROGRAMS = {
    "docker-registry": "docker-registry",
    "git": "git",
    "ssh": "openssh-client",
    "busybox": "busybox-static",
}
_ENGINE_PROGRAMS = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    # Bounds the disk of a run; small Debian 13 machines lack it.
    "mkfs.ext4": "e2fsprogs",
}


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        outer: Where a person pulls and runs what was pushed.
        runners: Where runners live; often the same.
        registry: ``host:port``.
        git_root: Folder of the served repositories.
        git_url: Base URL of the Git server, with a slash at the end.
        debian_image: Base of the runner image, in ``runners``.
        runner_image: Reference in ``runners``.
        base_image: Reference in ``registry``.
    """

    where: Layout
    outer: Engine
    runners: Engine
    registry: str
    git_root: Path
    git_url: str
    debian_image: str
    runner_image: str
    base_image: str


def up(where: Layout) -> Stack:
    """Bring everything up; quick when it is up already.

    Raises:
        Denied, Unavailable: a prerequisite can't be met; says what to do.
    """
    where.prepare()
    outer = engines.users_engine()
    hub = _ask_hub()
    runners = _engine(where, outer, _PROGRAMS)
    with progress.step("Registry"):
        address = registry.start(where)
    progress.note(f"registry at {address}")
    base = images.small(runners, address, hub=hub)
    debian = images.debian(where, runners, hub=hub)
    runner_image = _runner_image(where, runners, debian)
    git_root = where.state / "git"
    with progress.step("Git server"):
        git_url = _start_git(where, git_root)
    return Stack(
        where=where,
        outer=outer or runners,
        runners=runners,
        registry=address,
        git_root=git_root,
        git_url=git_url,
        debian_image=debian,
        runner_image=runner_image,
        base_image=base,
    )


def prepare_runners(where: Layout) -> Engine:
    """Make this machine ready for runs, and nothing else: an engine and the runner image.

    Idempotent; needed again after a restart of the machine if the engine is ours.

    Raises:
        Denied, Unavailable: a prerequisite can't be met; says what to do.
    """
    where.prepare()
    outer = engines.users_engine()
    hub = _ask_hub()
    runners = _engine(where, outer, {"git": "git"} if hub else _RUNNER_PROGRAMS)
    _runner_image(where, runners, images.debian(where, runners, hub=hub))
    return runners


def _ask_hub() -> bool:
    with progress.step("Docker Hub, is it there?"):
        hub = images.hub_answers()
    if not hub:
        progress.note("no: base images are made of Debian's packages")
    return hub


def _engine(where: Layout, outer: Engine | None, programs: Mapping[str, str]) -> Engine:
    with_engine = outer is None or not engines.remaps_users(outer)
    _install_missing({**programs, **(_ENGINE_PROGRAMS if with_engine else {})})
    with progress.step("Docker Engine"):
        packet_filter.remember(where)
        found = engines.runners_engine(where, outer)
    progress.note(f"runners live in {found.address}" + (" (ours)" if found.ours else ""))
    return found


def _runner_image(where: Layout, engine: Engine, base: str) -> str:
    image = images.runner(where, engine, base)
    # `tasks run` reads this back; without it it knows no engine and no image.
    config.save(config.DindConfig(where.state.resolve(), engine.address, image))
    return image


def down(where: Layout) -> None:
    """Stop and remove all that ``up`` started and made, the cache apart. Idempotent."""
    for name, title in _DAEMONS.items():
        if processes.find(name, where.run):
            with progress.step(title):
                processes.stop(name, where.run)
    with progress.step("Git server"):
        processes.stop(GIT, where.run)
    with progress.step("Registry"):
        registry.stop(where)
    with progress.step("Redis and PostgreSQL"):
        databases.stop(where)
    with progress.step("Runners"):
        _sweep_runners(where)
    _clean_users_engine(where)
    with progress.step("Engine of our own"):
        second_engine.forget(where)
        private_engine.stop(where.state, notice=engines.notice)
        packet_filter.restore(where, _bridges(where))
    busy = _mounts()
    for path in where.state.iterdir():
        if path.name in _KEPT:
            continue
        # Never reach into something that is mounted, whoever mounted it.
        if any(point.is_relative_to(path) for point in busy):
            progress.warn(f"{path} stays: something is mounted there")
        else:
            _remove(path)
    _remove(where.run)
    for place in (places.run_root(where.state), places.data_root(where.state)):
        if place != where.state.resolve():
            _remove(place)


def status(where: Layout) -> dict[str, str]:
    """Return what runs, by name, in words for a person."""
    private = private_engine.status(where.state)
    git = processes.find(GIT, where.run)
    return {
        "engine of our own": private.address if private else "not running",
        "registry": registry.running(where) or "not running",
        "Redis": _word(databases.running(where, databases.REDIS)),
        "PostgreSQL": _word(databases.running(where, databases.POSTGRES)),
        "service": _word(processes.find(SERVICE, where.run) is not None),
        "Git server": _git_url(where) if git else "not running",
    }


def with_databases(where: Layout) -> dict[str, str]:
    """Start Redis and PostgreSQL, too, and return their URLs by name.

    Raises:
        Unavailable: They can't be installed, or do not come up.
    """
    if names := databases.missing_packages():
        with progress.step(f"Debian packages: {' '.join(names)}") as shown:
            packages.install(names, shown)
    with progress.step("Redis and PostgreSQL"):
        return databases.start(where)


def _word(runs: bool) -> str:
    return "running" if runs else "not running"


def _bridges(where: Layout) -> tuple[str, ...]:
    """Return how the names of all bridges of ours begin."""
    default = private_engine.PrivateEngine(where.state).bridge
    return (default, private_engine.bridge_prefix(where.state), second_engine.bridge_name(where))


def _mounts() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4].encode().decode("unicode_escape")) for line in lines]


def _sweep_runners(where: Layout) -> None:
    """Remove what dead runs left; those that are alive end with their engine."""
    try:
        swept = open_backend(state_dir=where.state).sweep()
    except RunnerError:
        # Nothing was set up, or the engine is gone and its containers with it.
        return
    if swept:
        progress.note(f"{swept} of dead runs")


def _clean_users_engine(where: Layout) -> None:
    """Remove from the machine's own engine what we put there."""
    try:
        engine = engines.users_engine()
    except Denied:
        return
    if engine is None:
        return
    with progress.step("What we left in the machine's engine"):
        second_engine.stop(where, engine)
        ports = load(where.state / "ports.json")
        ours = [f"127.0.0.1:{ports[n]}/" for n in (registry.NAME, DEMO_REGISTRY) if n in ports]
        engines.remove_images(engine, ("tasks-service/", *ours))


def _install_missing(wanted: Mapping[str, str]) -> None:
    names = [package for program, package in wanted.items() if shutil.which(program) is None]
    if not names:
        return
    if "docker.io" in names:
        # The client is a package of its own from Debian 13 on.
        names.append("docker-cli")
    with progress.step(f"Debian packages: {' '.join(names)}") as shown:
        if "docker-cli" in names:
            packages.refresh(shown)
            if not packages.known("docker-cli"):
                names.remove("docker-cli")
        packages.install(names, shown)


def _git_url(where: Layout) -> str:
    return f"http://127.0.0.1:{load(where.state / 'ports.json').get(GIT)}/"


def _start_git(where: Layout, root: Path) -> str:
    root.mkdir(parents=True, exist_ok=True)
    if processes.find(GIT, where.run) is not None:
        return _git_url(where)
    port = registry.free_port(where, GIT)
    log = where.logs / f"{GIT}.log"
    python = str(where.checkout / ".venv" / "bin" / "python")
    words = [python, "-m", "tasks_service.devstack.git_server", str(root), "--port", str(port)]
    log.unlink(missing_ok=True)
    processes.start(GIT, words, run=where.run, log=log)
    deadline = time.monotonic() + _GIT_START_S
    # It says its address when it listens.
    while "http://" not in processes.tail(log):
        if processes.find(GIT, where.run) is None or time.monotonic() > deadline:
            raise Unavailable(
                "the Git server did not start", hint=f"its log: {log}", detail=processes.tail(log)
            )
        time.sleep(0.02)
    return _git_url(where)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
