"""The whole service in one process, on real parts: runs, cancels, drains, sudden deaths."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.service.up import Up


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


def test_a_run_is_done_and_told(up: Up, base_image: str, engine_old: str) -> None:
    run = up.run(f"{base_image} echo hello from inside")
    record = up.wait(run)
    assert (record["status"], record["isolation"], record["attempt"]) == ("Succeeded", "D3", 1)
    assert "hello from inside" in up.text(f"/runs/{run}/logs")
    events = up.text(f"/runs/{run}/logs/stream")
    assert events.index("hello from inside") < events.index("event: end")
    assert containers(run, engine_old) == ""


def test_a_build_is_pushed_and_listed_by_image(up: Up, base_image: str, registry: str) -> None:
    content = (
        "version: v1.1.0\n"
        "steps:\n"
        f"  - cmd: {base_image} sh -c 'mkdir x && echo FROM {base_image} > x/Dockerfile'\n"
        "  - build: -t $Registry/up-test:$ID x\n"
        '  - push: ["$Registry/up-test:$ID"]\n'
    )
    run = str(up.call("POST", "/runs", json={"content": content})["id"])
    record = up.wait(run)
    assert record["status"] == "Succeeded", record
    (image,) = record["outputImages"]
    assert image["reference"] == f"{registry}/up-test:{run}"
    found = up.call("GET", f"/runs?image={image['digest']}")["items"]
    assert [item["id"] for item in found] == [run]


def test_a_failing_step_is_told_with_its_code(up: Up, base_image: str) -> None:
    record = up.wait(up.run(f"{base_image} sh -c 'echo broken; exit 3'"))
    assert record["status"] == "Failed"
    assert record["steps"][0]["exitCode"] == 3
    assert record["error"]["code"] == "step_failed"
    assert "broken" in up.text(f"/runs/{record['id']}/logs")


def test_a_running_run_is_canceled_soon(up: Up, base_image: str, engine_old: str) -> None:
    run = up.run(f"{base_image} sleep 300")
    up.wait(run, "Running")
    up.call("POST", f"/runs/{run}/cancel")
    assert up.wait(run, within_s=30)["status"] == "Canceled"
    assert containers(run, engine_old) == ""


def test_term_lets_runs_end_and_exits_with_zero(up: Up, base_image: str) -> None:
    run = up.run(f"{base_image} sh -c 'sleep 3; echo last words'")
    up.wait(run, "Running")
    assert up.end(signal.SIGTERM) == 0
    up.start()
    record = up.call("GET", f"/runs/{run}")
    assert (record["status"], record["attempt"]) == ("Succeeded", 1)
    assert "last words" in up.text(f"/runs/{run}/logs")


def test_everything_killed_at_once_during_five_runs(
    tmp_path: Path, state_dir: Path, registry: str, base_image: str, engine_old: str
) -> None:
    flags = ("--registry", registry, "--concurrency", "3")
    with Up(tmp_path, state_dir, *flags) as up:
        runs = [up.run(f"{base_image} sh -c 'sleep 4; echo done'") for _ in range(5)]
        up.wait(runs[2], "Running")
        up.end(signal.SIGKILL)
        up.start()
        for run in runs:
            record = up.wait(run)
            assert record["status"] == "Succeeded", record
            assert up.text(f"/runs/{run}/logs").count("done\n") == 1
            assert record["logState"] == "complete"
        attempts = [up.call("GET", f"/runs/{run}")["attempt"] for run in runs]
        assert sorted(attempts) == [1, 1, 2, 2, 2]
        for run in runs:
            assert containers(run, engine_old) == ""


def test_two_services_do_not_share_a_folder(up: Up, state_dir: Path) -> None:
    second = subprocess.run(
        [*up_words(up, state_dir)], capture_output=True, text=True, check=False, timeout=30
    )
    assert second.returncode != 0
    assert "runs already" in second.stderr


def up_words(up: Up, state_dir: Path) -> list[str]:
    import sys

    words = [sys.executable, "-m", "tasks_service.cli.main", "up", "--listen", "127.0.0.1:0"]
    return [*words, "--state-dir", str(up.folder / "state"), "--runner-state-dir", str(state_dir)]
