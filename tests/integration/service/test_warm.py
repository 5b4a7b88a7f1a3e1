"""Runners that wait, in the whole service: used once, counted, and gone with the worker."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.faults.parts import await_that
from tests.integration.service.up import Up


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    with Up(tmp_path, state_dir, "--registry", registry, concurrency="1") as service:
        yield service


def metric(up: Up, name: str) -> float:
    """Return the value of one series."""
    for line in httpx2.get(f"{up.url}/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return 0.0


def ready(up: Up) -> bool:
    return metric(up, 'tasks_warm_runners_ready{trust="trusted"}') == 1


def mine(up: Up, engine: str) -> list[str]:
    """Return the runners of the service's process."""
    words = ["docker", "-H", engine, "ps", "--format", "{{json .}}"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return [each["Names"] for each in found if f"/{up.pid}/" in each["Labels"]]


def test_a_run_gets_one_that_waited_and_the_next_another(
    up: Up, base_image: str, engine_old: str
) -> None:
    await_that(lambda: ready(up))
    (first,) = mine(up, engine_old)
    command = f"{base_image} sh -c 'echo here > /workspace/mark; sleep 2'"
    run = up.run(command, cpu=1.0, memory=1 << 30)
    up.wait(run, "Running")
    assert f"{first}-{run}" in mine(up, engine_old)
    record = up.wait(run)
    assert record["status"] == "Succeeded"
    assert record["runner"]["start"] == "warm"
    assert 0 < record["runner"]["seconds"] < 20
    await_that(lambda: ready(up))
    assert first not in " ".join(mine(up, engine_old))
    after = up.wait(up.run(f"{base_image} ls /workspace/mark"))
    assert after["status"] == "Failed"
    assert after["runner"]["start"] == "warm"
    assert metric(up, 'tasks_warm_runners_taken_total{result="hit"}') == 2
    assert metric(up, 'tasks_runner_start_seconds_count{start="warm"}') == 2


def test_term_removes_what_waits(up: Up, engine_old: str) -> None:
    await_that(lambda: ready(up))
    assert len(mine(up, engine_old)) == 1
    assert up.end(signal.SIGTERM) == 0
    assert mine(up, engine_old) == []


def test_a_killed_service_leaves_none_behind(up: Up, state_dir: Path, engine_old: str) -> None:
    await_that(lambda: ready(up))
    (before,) = mine(up, engine_old)
    up.end(signal.SIGKILL)
    up.start()
    await_that(lambda: ready(up))

    def left() -> str:
        networks = ["docker", "-H", engine_old, "network", "ls", "--format", "{{.Name}}"]
        listed = subprocess.run(networks, capture_output=True, text=True, check=True).stdout
        folders = [path.name for path in state_dir.rglob("runs/*")]
        return f"{mine(up, engine_old)} {listed} {folders}"

    await_that(lambda: before not in left())
