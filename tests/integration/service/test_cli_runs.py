"""Runs by the command line on a real server; a test's own hands are the worker."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tests.integration.service.conftest import CommandLine, Service
from tests.integration.service.hands import IMAGE, Hands, until

QUICK = ("run", "/dev/null", "--cmd", "alpine echo hi")


@pytest.fixture
def pool(request: pytest.FixtureRequest) -> str:
    """Name of a pool of this test's own, so that no other test takes its runs."""
    name = request.node.name.removeprefix("test_").replace("_", "-")
    return name[:40].strip("-")


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do ``work`` in a thread meanwhile; its failure is the test's."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
    if failed:
        raise failed[0]


def test_a_quick_run_is_followed_to_its_end(cli: CommandLine, service: Service, pool: str) -> None:
    def work() -> None:
        hands = Hands(service.store, pool)
        hands.begin("build", "test")
        hands.say("build", "compiling\nlinking\n")
        hands.step("build", "Succeeded", 0)
        hands.step("test", "Running")
        hands.say("test", "1 passed\n")
        hands.step("test", "Succeeded", 0)
        hands.end(images=[IMAGE])

    with beside(work):
        said = cli(*QUICK, "--pool", pool)
    assert said.out.index("compiling") < said.out.index("linking") < said.out.index("1 passed")
    assert "Queued a run with ID:" in said.err
    assert "succeeded" in said.err
    assert IMAGE[0] in said.err


def test_a_failed_run_exits_1_and_shows_the_last_lines(
    cli: CommandLine, service: Service, pool: str
) -> None:
    def work() -> None:
        hands = Hands(service.store, pool)
        hands.begin("test")
        hands.say("test", "assertion failed: 1 != 2\n")
        hands.step("test", "Failed", 7)
        hands.end(RunStatus.FAILED)

    with beside(work):
        said = cli(*QUICK, "--pool", pool, "--no-logs", code=1)
    assert "exit code 7" in said.err
    assert "assertion failed" in said.err
    assert "assertion failed" not in said.out


@pytest.mark.parametrize(
    ("status", "code"),
    [(RunStatus.CANCELED, 6), (RunStatus.TIMEOUT, 7), (RunStatus.ERROR, 5)],
)
def test_exit_codes_tell_how_it_ended(
    cli: CommandLine, service: Service, status: RunStatus, code: int
) -> None:
    pool = f"codes-{code}"
    run_id = cli(*QUICK, "--pool", pool, "--no-wait").out.strip()
    hands = Hands(service.store, pool)
    hands.begin("a")
    from tasks_service.model.run import RunEnd

    end = RunEnd(status, {"steps": []}, error_code="system_fault", error="broke")
    service.store.leases.finish(run_id, hands.claim.fence, end)
    assert cli("wait", run_id, code=code).out == f"{run_id} {status}\n"


def test_the_record_is_the_same_as_that_of_a_run_here(
    cli: CommandLine, service: Service, pool: str
) -> None:
    def work() -> None:
        hands = Hands(service.store, pool)
        hands.begin("a")
        hands.step("a", "Succeeded", 0)
        hands.end(images=[IMAGE])

    with beside(work):
        record = json.loads(cli(*QUICK, "--pool", pool, "-o", "json").out)
    assert record["status"] == "Succeeded"
    assert record["runId"]
    assert [step["id"] for step in record["steps"]] == ["a"]
    assert record["outputImages"][0]["reference"] == IMAGE[0]


def test_a_directory_is_sent_once_and_as_docker_would_pack_it(
    cli: CommandLine, service: Service, tmp_path: Path, pool: str
) -> None:
    (tmp_path / "acb.yaml").write_text("steps:\n- cmd: alpine true\n")
    (tmp_path / ".dockerignore").write_text("*.log\n")
    (tmp_path / "noise.log").write_text("x")
    (tmp_path / "main.py").write_text("print()")
    first = cli("run", str(tmp_path), "--pool", pool, "--no-wait")
    again = cli("run", str(tmp_path), "--pool", pool, "--no-wait")
    assert "Sending the context" in first.err
    assert "not sent again" in again.err
    source = cli.json("runs", "show", first.out.strip())["request"]["source"]
    with service.uploads.open(source.removeprefix("upload:")) as blocks:
        packed = b"".join(blocks)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
    assert "main.py" in names
    assert "noise.log" not in names


def test_a_context_that_is_too_large_names_its_largest_files(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "acb.yaml").write_text("steps:\n- cmd: alpine true\n")
    (folder / "large.bin").write_bytes(os.urandom(8 << 20))
    small = Service(tmp_path, max_upload=1 << 20)
    try:
        monkeypatch.setenv("TASKS_SERVER", small.url)
        monkeypatch.setenv("TASKS_TOKEN", small.token)
        said = cli("run", str(folder), code=2)
    finally:
        small.close()
    assert "large.bin" in said.err
    assert ".dockerignore" in said.err


def test_overrides_of_a_stored_task_are_for_one_run(
    cli: CommandLine, service: Service, tmp_path: Path, pool: str
) -> None:
    cli("create", "-n", "over", "-c", "https://git.example/app.git", "-f", "Dockerfile",
        "-t", "app:v1", "--arg", "A=1", "--arg", "B=2", "--pool", pool)  # fmt: skip
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    said = cli("run", "-n", "over", "-c", str(tmp_path), "--arg", "B=3", "--target", "test",
               "--secret-arg", "T=canary-5", "--no-wait")  # fmt: skip
    run_id = said.out.strip()
    request = cli.json("runs", "show", run_id)["request"]
    assert request["source"].startswith("upload:")
    assert request["build"]["target"] == "test"
    assert request["build"]["images"] == ["app:v1"]
    arguments = {entry["name"]: entry.get("value") for entry in request["build"]["buildArgs"]}
    assert arguments == {"A": "1", "B": "3", "T": None}
    claim = Hands(service.store, pool).claim
    assert claim.secrets.build_args == ("T=canary-5",)
    assert cli.json("show", "over")["build"].get("target") is None


def test_lists_are_filtered(cli: CommandLine, service: Service, pool: str) -> None:
    cli("create", "-n", "listed", "-c", "/dev/null", "--cmd", "alpine true", "--pool", pool)
    ids = [cli("run", "-n", "listed", "--no-wait").out.strip() for _ in range(3)]
    hands = Hands(service.store, pool)
    hands.begin("a")
    hands.end(images=[IMAGE])
    assert cli("runs", "list", "-n", "listed", "-o", "name").out.split() == ids[::-1]
    done = cli("runs", "list", "-n", "listed", "--status", "succeeded", "-o", "name").out.split()
    assert done == [ids[0]]
    assert (
        cli("runs", "list", "--image", IMAGE[0], "-n", "listed", "-o", "name").out.split() == done
    )
    assert (
        cli("runs", "list", "-n", "listed", "--limit", "2", "-o", "name").out.split() == ids[:0:-1]
    )
    assert cli("runs", "list", "-n", "listed", "--until", "1h", "-o", "name").out == ""
    table = cli("task", "list-runs", "-n", "listed", "--top", "1").out
    assert table.splitlines()[0].split()[:2] == ["RUN", "ID"]
    shown = cli("runs", "show", ids[2]).out
    assert "in the queue" in shown


def test_a_queued_run_is_canceled_at_once_and_can_be_run_again(
    cli: CommandLine, service: Service, pool: str
) -> None:
    run_id = cli(*QUICK, "--pool", pool, "--no-wait").out.strip()
    assert "is Canceled" in cli("runs", "cancel", run_id).err
    cli("runs", "cancel", run_id)
    again = cli("runs", "rerun", run_id, "--no-wait").out.strip()
    assert again != run_id
    found = cli.json("runs", "show", again)
    assert found["cause"]["kind"] == "rerun"
    assert found["cause"]["detail"]["run"] == run_id
    assert "no run" in cli("runs", "show", "zzzzzzz", code=3).err


def test_a_run_is_kept_and_no_longer(cli: CommandLine, service: Service, pool: str) -> None:
    run_id = cli(*QUICK, "--pool", pool, "--no-wait").out.strip()
    cli("runs", "archive", run_id)
    assert cli.json("runs", "show", run_id)["archived"] is True
    cli("task", "update-run", "--run-id", run_id, "--no-archive", "true")
    assert cli.json("runs", "show", run_id)["archived"] is False


def test_logs_of_a_run_by_step_tail_and_task(cli: CommandLine, service: Service, pool: str) -> None:
    cli("create", "-n", "talks", "-c", "/dev/null", "--cmd", "alpine true", "--pool", pool)
    run_id = cli("run", "-n", "talks", "--no-wait").out.strip()
    hands = Hands(service.store, pool)
    hands.begin("a", "b")
    hands.say("a", "".join(f"line {n}\n" for n in range(100)))
    hands.say("b", "other\n")
    hands.say("a", "\x1b[31mlast\x1b[0m\x07\n", "stderr")
    for state in ("running", "ended"):
        assert cli("logs", run_id, "--step", "a", "--tail", "2", "--no-prefix").out == (
            "line 99\nlast\n"
        ), state
        assert "b | other\n" in cli("logs", "-n", "talks").out
        if state == "running":
            hands.end()
    stamped = cli("logs", run_id, "--step", "b", "-t", "--no-prefix").out
    assert stamped.endswith("Z other\n")
    followed = cli("logs", run_id, "-f", "--step", "b", "--no-prefix").out
    assert followed == "other\n"
    assert cli("logs", run_id, "-f", "--tail", "1", "--no-prefix").out.splitlines()[-1] == "last"


def test_wait_gives_up_in_time(cli: CommandLine, pool: str) -> None:
    run_id = cli(*QUICK, "--pool", pool, "--no-wait").out.strip()
    assert "has not ended" in cli("wait", run_id, "--timeout", "0.3", code=7).err


def test_pools_show_what_waits(cli: CommandLine, pool: str) -> None:
    cli(*QUICK, "--pool", pool, "--no-wait")
    found = {item["name"]: item for item in cli.json("pools")}
    assert found[pool]["queued"] == 1
    assert cli.json("workers") == []


def test_a_server_that_is_not_there_is_told_within_seconds(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("TASKS_SERVER", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("tasks_service.client.transport.FIRST_PAUSE_S", 0.01)
    said = cli("runs", "list", code=5)
    assert "can't be reached" in said.err


def test_a_disabled_task_says_how_to_enable_it(cli: CommandLine) -> None:
    cli("create", "-n", "off", "-c", "/dev/null", "--cmd", "alpine true", "--status", "disabled")
    said = cli("run", "-n", "off", code=2)
    assert "--status Enabled" in said.err
    assert cli.json("runs", "list", "-n", "off") == []


def test_every_problem_of_a_task_file_is_told_by_the_server_too(
    cli: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("steps:\n- cmd: a\n  push: [b]\n- nothing: 1\n")
    said = cli("run", "/dev/null", "-f", str(tmp_path / "bad.yaml"), "--pool", "BAD POOL", code=2)
    assert "pool" in said.err


# Signals, in a process of its own.


def start(service: Service, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tasks_service.cli.main", *words],
        env={**os.environ, "TASKS_SERVER": service.url, "TASKS_TOKEN": service.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} was not said")


def test_ctrl_c_stops_watching_and_the_run_goes_on(service: Service, pool: str) -> None:
    with start(service, *QUICK, "--pool", pool) as process:
        hands = Hands(service.store, pool)
        hands.begin("a")
        hands.say("a", "hello\n")
        read_until(process, "hello")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "goes on" in err
    assert f"tasks logs {hands.id} -f" in err
    assert "Traceback" not in err
    assert hands.cancel_reason() == ""


def test_ctrl_c_cancels_if_it_was_asked_to(service: Service, pool: str) -> None:
    with start(service, *QUICK, "--pool", pool, "--cancel-on-interrupt") as process:
        hands = Hands(service.store, pool)
        hands.begin("a")
        hands.say("a", "hello\n")
        read_until(process, "hello")
        process.send_signal(signal.SIGINT)
        until(hands.cancel_reason)
        hands.step("a", "Canceled")
        hands.end(RunStatus.CANCELED)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "was canceled" in err


def test_a_follower_goes_on_when_the_server_comes_back(service: Service, pool: str) -> None:
    with start(service, *QUICK, "--pool", pool) as process:
        hands = Hands(service.store, pool)
        hands.begin("a")
        for number in range(50):
            hands.say("a", f"before {number}\n")
        read_until(process, "before 49")
        service.restart()
        for number in range(50):
            hands.say("a", f"after {number}\n")
        hands.step("a", "Succeeded", 0)
        hands.end()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    lines = [line for line in out.splitlines() if "after" in line or "before" in line]
    assert [line.rpartition("|")[2].strip() for line in lines] == [f"after {n}" for n in range(50)]


def test_all_runs_that_are_not_there_are_named_and_the_others_canceled(
    cli: CommandLine, pool: str
) -> None:
    there = cli(*QUICK, "--no-wait", "--pool", pool).out.strip()
    said = cli("runs", "cancel", "nope1", there, "nope2", code=3)
    assert "'nope1'" in said.err
    assert "'nope2'" in said.err
    assert cli.json("runs", "show", there)["status"] == "Canceled"
