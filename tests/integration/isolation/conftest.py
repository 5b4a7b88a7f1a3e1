"""A runner to attack, and the question whether anything of it is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runners.backends.base import Limits, SandboxRequest
from runners.backends.dind import firewall, levels, outer, probe
from runners.backends.dind.config import DindConfig
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.backends.dind.sweep import sweep
from runners.model.cancellation import Cancellation

Start = Callable[..., Runner]


@pytest.fixture(scope="session")
def config(state_dir: Path, engine_old: str, runner_image: str) -> Iterator[DindConfig]:
    """Runners of these tests: a state of their own in the engine of the stack."""
    settings = DindConfig((state_dir / "isolation-tests").resolve(), engine_old, runner_image)
    yield settings
    api = outer.describe(engine_old).api
    sweep(api, settings.runs, settings.state_dir, everything=True)
    firewall.remove(settings.chain, settings.bridge_prefix)
    shutil.rmtree(settings.runs, ignore_errors=True)
    with suppress(OSError):
        settings.runs.parent.rmdir()


@pytest.fixture(scope="session")
def outer_engine(config: DindConfig) -> Outer:
    """The engine that holds the runners."""
    return outer.describe(config.address)


@contextmanager
def started(
    config: DindConfig, engine: Outer, *, limits: Limits | None = None, ready: bool = True
) -> Iterator[Runner]:
    """Start a runner; destroy it at the end."""
    runner = Runner(config, engine, levels.level(config.level))
    try:
        runner.boot(SandboxRequest("test", limits=limits or Limits()))
        runner.await_root(Cancellation())
        if ready:
            runner.await_engine(Cancellation())
        yield runner
    finally:
        runner.destroy()


@pytest.fixture(scope="module")
def runner(config: DindConfig, outer_engine: Outer) -> Iterator[Runner]:
    """One runner for the tests of a module that leave it usable."""
    with started(config, outer_engine) as one:
        yield one


def inside(engine: Outer, runner: Runner, script: str) -> str:
    """Run a script as root of the runner and return what it prints."""
    said = probe.execute(engine.api, runner.container, ["bash", "-c", script])
    return said.decode(errors="replace")


def leftovers(config: DindConfig, engine: Outer) -> list[str]:
    """Return everything on this machine that belongs to runs of these tests."""
    mine = {"label": [f"io.tasks-service.state={config.state_dir}"]}
    found = [
        f"container {item['Names']}"
        for item in engine.api.get("/containers/json", {"all": True, "filters": mine})
    ]
    found += [f"network {item['Name']}" for item in engine.api.get("/networks", {"filters": mine})]
    found += [
        f"volume {item['Name']}"
        for item in engine.api.get("/volumes", {"filters": mine}).get("Volumes") or []
    ]
    if config.runs.exists():
        found += [f"directory {path}" for path in config.runs.iterdir()]
    mounts = Path("/proc/self/mountinfo").read_text()
    found += [f"mount {line}" for line in mounts.splitlines() if str(config.runs) in line]
    for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if str(config.runs) in loop.read_text():
                found.append(f"loop device {loop}")
    found += [
        f"interface {path.name}"
        for path in Path("/sys/class/net").iterdir()
        if path.name.startswith(config.bridge_prefix)
    ]
    return found
