"""The command line, a real server and a real worker; only the containers are scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.backends.fake import Scripted
from runners.sandbox import ContainerRequest
from tests.faults.service import Inside, check_invariants, inside
from tests.integration.service.conftest import CommandLine, Service
from tests.integration.service.hands import until

SLOW_S = 30.0


def script(request: ContainerRequest, _attempt: int) -> Scripted:
    """Say what the step was asked to say; ``false`` fails, ``sleep`` takes long."""
    words = " ".join(request.args)
    if "false" in words:
        return Scripted(exit_code=7, last_output=(("stderr", b"it went wrong\n"),))
    if "sleep" in words:
        return Scripted(output=(("stdout", b"sleeping\n"),), delay_s=SLOW_S)
    return Scripted(output=(("stdout", f"{words}\n".encode()),))


@pytest.fixture
def inner(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """A worker of the server's default pool."""
    monkeypatch.setattr("tasks_service.worker.worker.ALONE_POLL_S", 0.05)
    with inside(service.store, service.folder) as found:
        found.worker(script)
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a task file of two steps."""
    root = tmp_path / "app"
    root.mkdir()
    (root / "acb.yaml").write_text(
        "version: v1.1.0\n"
        "steps:\n"
        "- id: build\n  cmd: alpine echo {{.Values.color}} {{.Values.token}}\n"
        "- id: test\n  cmd: alpine echo tested\n"
    )
    return root


def test_a_directory_runs_on_a_worker_as_it_would_here(
    cli: CommandLine, inner: Inside, folder: Path
) -> None:
    said = cli("run", str(folder), "--set", "color=blue", "--set-secret", "token=canary-9")
    assert "blue" in said.out
    assert "canary-9" not in said.out + said.err
    assert said.out.index("blue") < said.out.index("tested")
    assert "succeeded" in said.err
    (run,) = cli.json("runs", "list", "--limit", "1")
    assert [step["status"] for step in run["steps"]] == ["Succeeded", "Succeeded"]
    check_invariants(inner, [run["id"]])
    assert "canary-9" not in cli("logs", run["id"]).out
    assert "canary-9" not in json.dumps(cli.json("runs", "show", run["id"]))


def test_a_step_that_fails_is_told_as_it_is_here(
    cli: CommandLine, inner: Inside, tmp_path: Path
) -> None:
    said = cli("run", "/dev/null", "--cmd", "alpine false", code=1)
    assert "it went wrong" in said.out
    assert "failed" in said.err
    assert said.err.count("Error:") == 1


def test_a_task_file_that_cannot_be_is_told_with_its_line(
    cli: CommandLine, inner: Inside, folder: Path
) -> None:
    (folder / "acb.yaml").write_text("steps:\n- cmmd: alpine\n")
    said = cli("run", str(folder), code=2)
    assert "acb.yaml:2:3" in said.err
    assert "did you mean 'cmd'?" in said.err
    assert "not whole" not in said.err


def test_a_stored_task_runs_and_runs_again(cli: CommandLine, inner: Inside, folder: Path) -> None:
    cli("create", "-n", "stored", "-c", "/dev/null", "-f", str(folder / "acb.yaml"),
        "--set", "color=red", "--set-secret", "token=canary-8")  # fmt: skip
    first = cli("run", "-n", "stored", "--set", "color=green", "-o", "json")
    record = json.loads(first.out)
    assert record["status"] == "Succeeded"
    assert "green" in first.err
    again = json.loads(cli("runs", "rerun", record["runId"], "-o", "json").out)
    assert again["cause"]["kind"] == "rerun"
    assert again["status"] == "Succeeded"
    assert "green" in cli("logs", again["runId"]).out
    check_invariants(inner, [record["runId"], again["runId"]])


def test_a_running_step_is_canceled_from_elsewhere(
    cli: CommandLine, service: Service, inner: Inside
) -> None:
    run_id = cli("run", "/dev/null", "--cmd", "alpine sleep 99", "--no-wait").out.strip()
    until(lambda: "sleeping" in inner.log(run_id))
    canceler = threading.Timer(
        0.3, lambda: service.store.runs.request_cancel(run_id, reason="asked")
    )
    canceler.start()
    followed = cli("logs", run_id, "-f")
    canceler.join()
    assert "sleeping" in followed.out
    assert cli("wait", run_id, code=6).out == f"{run_id} Canceled\n"
    check_invariants(inner, [run_id])


def test_runs_wait_their_turn_and_say_so(cli: CommandLine, inner: Inside) -> None:
    cli("create", "-n", "single", "-c", "/dev/null", "--cmd", "alpine sleep 99",
        "--max-concurrent", "1")  # fmt: skip
    first = cli("run", "-n", "single", "--no-wait").out.strip()
    until(lambda: "sleeping" in inner.log(first))
    second = cli("run", "-n", "single", "--no-wait").out.strip()
    assert "in the queue" in cli("runs", "show", second).out
    cli("runs", "cancel", second, first)
    assert cli("wait", first, second, code=6).out == f"{first} Canceled\n{second} Canceled\n"
