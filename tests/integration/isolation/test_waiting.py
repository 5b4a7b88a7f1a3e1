"""Runners that wait for a run, on a real engine: whole, bounded, and gone with their owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.backends.base import Limits, Prepared, SandboxRequest
from runners.backends.dind.backend import DindBackend
from runners.backends.dind.config import DindConfig
from runners.backends.dind.outer import Outer
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerLost, SystemFault
from tests.integration.isolation.conftest import leftovers
from tests.integration.isolation.test_life import run, until

OWNER = """
import sys
from pathlib import Path
from runners.backends.base import Limits
from runners.backends.dind.backend import DindBackend
from runners.backends.dind.config import DindConfig
from runners.model.cancellation import Cancellation
state, address, image = sys.argv[1:]
waiting = DindBackend(DindConfig(Path(state), address, image)).prepare(Limits(), Cancellation())
print("waits", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def backend(config: DindConfig, outer_engine: Outer) -> Iterator[DindBackend]:
    made = DindBackend(config)
    made.sweep()
    assert leftovers(config, outer_engine) == []
    yield made
    assert leftovers(config, outer_engine) == []


@pytest.fixture
def waiting(backend: DindBackend) -> Iterator[Prepared]:
    made = backend.prepare(Limits(), Cancellation())
    assert made is not None
    yield made
    made.close()


def containers(engine: Outer, config: DindConfig) -> list[dict[str, object]]:
    mine = {"label": [f"io.tasks-service.state={config.state_dir}"]}
    found: list[dict[str, object]] = engine.api.get("/containers/json", {"filters": mine})
    return found


def test_it_takes_what_its_run_brings(
    waiting: Prepared,
    config: DindConfig,
    outer_engine: Outer,
    registry: str,
    base_image: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "hello").write_text("from the source")
    limits = Limits(memory_bytes=300 << 20, pids=200, cpus=1.0)
    request = SandboxRequest(
        "taken", source=tmp_path, registries=(registry,), limits=limits, shared_volume="given"
    )
    assert waiting.usable()
    assert waiting.fits(request)
    sandbox = waiting.open(request, Cancellation())
    try:
        assert sandbox.warm
        assert sandbox.isolation == "D3"
        code, text = run(sandbox, base_image, "cat", "/workspace/hello")
        assert (code, text.splitlines()[-1]) == (0, "from the source")
        (container,) = containers(outer_engine, config)
        assert str(container["Names"][0]).endswith("-taken")  # type: ignore[index]
        made = outer_engine.api.get(f"/containers/{container['Id']}/json")["HostConfig"]
        assert (made["Memory"], made["PidsLimit"], made["NanoCpus"]) == (300 << 20, 200, 10**9)
        script = "tail /dev/zero; echo code $?"
        _, text = run(sandbox, base_image, "sh", "-c", script, name="hungry")
        assert text.splitlines()[-1] == "code 137"
        with pytest.raises(RunnerLost):
            waiting.open(request, Cancellation())
    finally:
        sandbox.close()
    assert not waiting.usable()


def test_another_size_of_disk_does_not_fit(waiting: Prepared) -> None:
    assert not waiting.fits(SandboxRequest("x", limits=Limits(disk_bytes=1 << 30)))


def test_one_made_for_trusted_runs_is_destroyed_rather_than_given_to_another(
    waiting: Prepared,
) -> None:
    request = SandboxRequest("pull", read_only=True)
    assert not waiting.fits(request)
    with pytest.raises(SystemFault):
        waiting.open(request, Cancellation())
    assert not waiting.usable()


def test_its_death_is_noticed(waiting: Prepared, config: DindConfig, outer_engine: Outer) -> None:
    (container,) = containers(outer_engine, config)
    outer_engine.api.post(f"/containers/{container['Id']}/kill")
    assert until(lambda: not waiting.usable())


def test_one_whose_engine_hangs_is_not_used(
    waiting: Prepared, config: DindConfig, outer_engine: Outer
) -> None:
    (container,) = containers(outer_engine, config)
    outer_engine.api.post(f"/containers/{container['Id']}/pause")
    assert not waiting.usable()


def test_a_cancel_while_it_is_made_leaves_nothing(backend: DindBackend) -> None:
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(Canceled):
        backend.prepare(Limits(), cancel)


def test_it_goes_with_its_owner(
    config: DindConfig, backend: DindBackend, outer_engine: Outer
) -> None:
    words = [str(config.state_dir), config.address, config.image]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"waits\n"
        assert backend.sweep() == 0
        assert containers(outer_engine, config)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    assert until(lambda: not containers(outer_engine, config))
    assert backend.sweep() == 1
