"""The whole service on real parts: runs, cancels, drains, sudden deaths.

Each test twice: in one process on SQLite, and as many processes on PostgreSQL
and Redis with two workers on machines (network namespaces) of their own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.parts import await_that
from tests.integration.service.many import Many, many
from tests.integration.service.up import Service, Up


@contextmanager
def started(kind: str, folder: Path, state_dir: Path, registry: str) -> Iterator[Service]:
    if kind == "many":
        with many(folder, state_dir, registry) as service:
            yield service
        return
    with Up(folder, state_dir, "--registry", registry, heartbeat="1s") as service:
        yield service


@pytest.fixture(scope="module", params=["up", "many"])
def service(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    state_dir: Path,
    registry: str,
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp(request.param)
    with started(request.param, folder, state_dir, registry) as service:
        yield service


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    with Up(tmp_path, state_dir, "--registry", registry) as service:
        yield service


def containers(run: str, engine: str) -> str:
    """Return what an engine still has of a run."""
    done = subprocess.run(
        ["docker", "-H", engine, "ps", "-a", "--format", "{{.Names}} {{.Labels}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line for line in done.stdout.splitlines() if run in line)


def test_a_run_is_done_and_told(service: Service, base_image: str, engine_old: str) -> None:
    run = service.run(f"{base_image} echo hello from inside")
    record = service.wait(run)
    assert (record["status"], record["isolation"], record["attempt"]) == ("Succeeded", "D3", 1)
    assert "hello from inside" in service.text(f"/runs/{run}/logs")
    events = service.text(f"/runs/{run}/logs/stream")
    assert events.index("hello from inside") < events.index("event: end")
    assert containers(run, engine_old) == ""


def test_a_build_is_pushed_and_listed_by_image(
    service: Service, base_image: str, registry: str
) -> None:
    content = (
        "version: v1.1.0\n"
        "steps:\n"
        f"  - cmd: {base_image} sh -c 'mkdir x && echo FROM {base_image} > x/Dockerfile'\n"
        "  - build: -t $Registry/up-test:$ID x\n"
        '  - push: ["$Registry/up-test:$ID"]\n'
    )
    run = str(service.call("POST", "/runs", json={"content": content})["id"])
    record = service.wait(run)
    assert record["status"] == "Succeeded", record
    (image,) = record["outputImages"]
    assert image["reference"] == f"{registry}/up-test:{run}"
    found = service.call("GET", f"/runs?image={image['digest']}")["items"]
    assert [item["id"] for item in found] == [run]


def test_a_failing_step_is_told_with_its_code(service: Service, base_image: str) -> None:
    record = service.wait(service.run(f"{base_image} sh -c 'echo broken; exit 3'"))
    assert record["status"] == "Failed"
    assert record["steps"][0]["exitCode"] == 3
    assert record["error"]["code"] == "step_failed"
    assert "broken" in service.text(f"/runs/{record['id']}/logs")


def test_a_running_run_is_canceled_soon(service: Service, base_image: str, engine_old: str) -> None:
    run = service.run(f"{base_image} sleep 300")
    service.wait(run, "Running")
    service.call("POST", f"/runs/{run}/cancel")
    assert service.wait(run, within_s=30)["status"] == "Canceled"
    assert containers(run, engine_old) == ""


def test_term_lets_runs_end_and_exits_with_zero(service: Service, base_image: str) -> None:
    run = service.run(f"{base_image} sh -c 'sleep 3; echo last words'")
    service.wait(run, "Running")
    assert service.end(signal.SIGTERM) == 0
    service.start()
    record = service.call("GET", f"/runs/{run}")
    assert (record["status"], record["attempt"]) == ("Succeeded", 1)
    assert "last words" in service.text(f"/runs/{run}/logs")


def test_everything_killed_at_once_during_five_runs(
    service: Service, base_image: str, engine_old: str
) -> None:
    runs = [service.run(f"{base_image} sh -c 'sleep 4; echo done'") for _ in range(5)]
    service.wait(runs[1], "Running")
    service.end(signal.SIGKILL)
    service.start()
    for run in runs:
        record = service.wait(run)
        assert record["status"] == "Succeeded", record
        assert service.text(f"/runs/{run}/logs").count("done\n") == 1
        assert record["logState"] == "complete"
    attempts = [service.call("GET", f"/runs/{run}")["attempt"] for run in runs]
    assert max(attempts) == 2
    assert attempts[-1] == 1
    for run in runs:
        assert containers(run, engine_old) == ""


def test_every_worker_takes_its_part(service: Service, base_image: str) -> None:
    workers = len(service.call("GET", "/workers")["items"])
    assert workers == (2 if isinstance(service, Many) else 1)
    runs = [service.run(f"{base_image} sleep 8") for _ in range(2 * workers)]
    await_that(
        lambda: [w["active"] for w in service.call("GET", "/workers")["items"]] == [2] * workers
    )
    for run in runs:
        record = service.wait(run)
        assert (record["status"], record["attempt"]) == ("Succeeded", 1)


def test_two_services_do_not_share_a_folder(up: Up, state_dir: Path) -> None:
    second = subprocess.run(
        [*up_words(up, state_dir)], capture_output=True, text=True, check=False, timeout=30
    )
    assert second.returncode != 0
    assert "runs already" in second.stderr


def up_words(up: Up, state_dir: Path) -> list[str]:
    words = [sys.executable, "-m", "tasks_service.cli.main", "up", "--listen", "127.0.0.1:0"]
    return [*words, "--state-dir", str(up.folder / "state"), "--runner-state-dir", str(state_dir)]
