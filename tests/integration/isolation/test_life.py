"""From nothing to a runner and back: whatever ends it, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.backends.base import Limits, SandboxRequest
from runners.backends.dind import levels
from runners.backends.dind.backend import DindBackend
from runners.backends.dind.config import DindConfig
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerError, Unavailable
from runners.model.plan import WORKSPACE
from runners.sandbox import BuildRequest, ContainerRequest, Sandbox
from tests.integration.isolation.conftest import inside, leftovers, started

OWNER = """
import sys
from pathlib import Path
from runners.backends.base import SandboxRequest
from runners.backends.dind.backend import DindBackend
from runners.backends.dind.config import DindConfig
from runners.model.cancellation import Cancellation
state, address, image = sys.argv[1:]
sandbox = DindBackend(DindConfig(Path(state), address, image)).open(
    SandboxRequest("killed"), Cancellation()
)
print("open", flush=True)
sys.stdin.read()
"""


class Lines:
    """Collects what a step prints."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, stream: str, data: bytes) -> None:
        self.text += data

    def vertex(self, **_: object) -> None:
        """No build here."""


def until(happened: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def backend(config: DindConfig, outer_engine: Outer) -> Iterator[DindBackend]:
    made = DindBackend(config)
    made.sweep()
    assert leftovers(config, outer_engine) == []
    yield made
    assert leftovers(config, outer_engine) == []


def exists(engine: Outer, path: str) -> bool:
    try:
        engine.api.get(path)
    except RunnerError:
        return False
    return True


def run(sandbox: Sandbox, image: str, *words: str, name: str = "step") -> tuple[int, str]:
    lines = Lines()
    code = sandbox.run_container(ContainerRequest(name, image, words), lines, Cancellation())
    return code, lines.text.decode()


def test_a_step_runs_an_image_of_this_machines_registry(
    backend: DindBackend, registry: str, base_image: str, tmp_path: Path
) -> None:
    (tmp_path / "hello").write_text("from the source")
    (tmp_path / "secrets").symlink_to("/etc/passwd")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o750)
    request = SandboxRequest("life", source=tmp_path, registries=(registry,))
    sandbox = backend.open(request, Cancellation())
    try:
        assert sandbox.isolation == "D3"
        script = "cat /workspace/hello; ls -ln /workspace/run.sh; ls -l /workspace/secrets"
        code, text = run(sandbox, base_image, "sh", "-c", script)
    finally:
        sandbox.close()
    assert code == 0
    assert "from the source" in text
    assert "-rwxr-x---" in text
    assert " 0        0 " in text or " 0 0 " in " ".join(text.split())
    assert "-> /etc/passwd" in text


def test_a_runner_that_may_only_read_a_registry_pulls_and_stores_neither_image_nor_cache(
    backend: DindBackend, registry: str, base_image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\nRUN echo hello > /hello\n")
    tag, cache = f"{registry}/read-only/app:1", f"{registry}/read-only/app:cache"
    request = SandboxRequest("reader", source=tmp_path, registries=(registry,), read_only=True)
    sandbox = backend.open(request, Cancellation())
    to = {"type": "registry", "ref": cache, "mode": "max"}
    try:
        lines = Lines()
        sandbox.build(BuildRequest(".", WORKSPACE, tags=(tag,)), lines, Cancellation())
        with pytest.raises(RunnerError, match=r"(?i)denied|forbidden|403"):
            sandbox.push(tag, lines, Cancellation())
        with pytest.raises(RunnerError, match=r"(?i)denied|forbidden|403"):
            sandbox.build(BuildRequest(".", WORKSPACE, cache_to=(to,)), lines, Cancellation())
    finally:
        sandbox.close()
    url = f"http://{registry}/v2/read-only/app/tags/list"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url, timeout=10)


def test_closing_twice_is_harmless(backend: DindBackend) -> None:
    sandbox = backend.open(SandboxRequest("twice"), Cancellation())
    sandbox.close()
    sandbox.close()


def test_a_cancel_while_opening_leaves_nothing(backend: DindBackend) -> None:
    cancel = Cancellation()
    timer = threading.Timer(0.15, cancel.cancel)
    timer.start()
    try:
        with pytest.raises(Canceled):
            backend.open(SandboxRequest("cancelled"), cancel)
    finally:
        timer.join()


def test_a_missing_runner_image_is_named(config: DindConfig, backend: DindBackend) -> None:
    other = DindBackend(DindConfig(config.state_dir, config.address, "no/such:image"))
    with pytest.raises(Unavailable, match="no/such"):
        other.open(SandboxRequest("x"), Cancellation())


def test_a_run_whose_owner_was_killed_is_swept(
    config: DindConfig, backend: DindBackend, outer_engine: Outer
) -> None:
    words = [str(config.state_dir), config.address, config.image]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        assert backend.sweep() == 0
        assert any(left.startswith("container") for left in leftovers(config, outer_engine))
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    # The runner hangs on a stream of its owner's, and goes without any sweep.
    assert until(
        lambda: not any(left.startswith("container") for left in leftovers(config, outer_engine))
    )
    assert backend.sweep() == 1
    assert backend.sweep() == 0


def test_a_paused_container_does_not_keep_its_runner(
    backend: DindBackend, registry: str, base_image: str
) -> None:
    sandbox = backend.open(SandboxRequest("paused", registries=(registry,)), Cancellation())
    request = ContainerRequest("svc", base_image, ("sleep", "600"), detach=True)
    sandbox.run_container(request, Lines(), Cancellation())
    client = sandbox._client  # type: ignore[attr-defined]
    client.call("POST", "/containers/svc/pause", "pausing")
    began = time.monotonic()
    sandbox.close()
    assert time.monotonic() - began < 10


def test_a_runner_ends_with_the_engine_inside(config: DindConfig, outer_engine: Outer) -> None:
    with started(config, outer_engine) as one:
        path = f"/containers/{one.container}/json"
        inside(outer_engine, one, "kill -9 $(cat /run/docker.pid)")
        assert until(lambda: not one.engine.ping(timeout_s=1))
        assert until(lambda: not exists(outer_engine, path))


def test_a_full_disk_stops_the_step_and_not_the_machine(
    config: DindConfig, outer_engine: Outer
) -> None:
    limits = Limits(disk_bytes=64 << 20)
    with started(config, outer_engine, limits=limits, ready=False) as one:
        # In one go: an engine that starts on a full disk ends soon, and the
        # runner with it.
        fill = "dd if=/dev/zero of={} bs=1M count=200 2>&1"
        both = f"{fill.format('/var/lib/runner/fill')}; {fill.format('/fill')}"
        said = inside(outer_engine, one, both)
        image = config.runs / one.name / "disk.img"
        assert image.stat().st_size == 64 << 20
    assert said.count("No space left on device") == 2


def test_memory_and_processes_of_a_run_are_bounded(config: DindConfig, outer_engine: Outer) -> None:
    limits = Limits(memory_bytes=300 << 20, pids=150)
    with started(config, outer_engine, limits=limits) as one:
        said = inside(outer_engine, one, "tail /dev/zero; echo code $?")
        assert "code 137" in said
        assert one.explain() == "the run reached its limit of memory"
        forks = "for i in $(seq 300); do sleep 3 & done 2>&1; jobs | wc -l"
        assert "fork" in inside(outer_engine, one, f"({forks}) 2>&1")
        assert "processes" in one.explain()


def test_what_a_runner_prints_at_a_bad_start_is_told(
    config: DindConfig, outer_engine: Outer
) -> None:
    broken = Runner(config, outer_engine, levels.level(config.level))
    try:
        broken.boot(SandboxRequest("tiny", limits=Limits(pids=16)))
        with pytest.raises(Unavailable) as told:
            broken.await_engine(Cancellation())
    finally:
        broken.destroy()
    assert told.value.detail
    assert leftovers(config, outer_engine) == []
