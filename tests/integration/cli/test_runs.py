"""`tasks run` on the real engine, registry and Git server: results, codes, and nothing left."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Repository, Tasks

TASK = """\
version: v1.1.0
steps:
  - id: write
    cmd: {image} sh -c "cat greeting > /workspace/out; echo $ID at $Commit"
  - id: read
    cmd: {image} cat out
"""


@pytest.fixture
def app(new_repository: Callable[[str], Repository], base_image: str) -> Repository:
    repository = new_repository("app")
    task = TASK.format(image=base_image)
    repository.commit({"acb.yaml": task, "greeting": "hello from one\n"}, "one")
    repository.git("tag", "-a", "v1", "-m", "one")
    files = {"acb.yaml": task, "greeting": "hello from two\n"}
    files |= {"sub/acb.yaml": task, "sub/greeting": "hello from below\n"}
    repository.commit(files, "two")
    return repository


def one_command(image: str, text: str) -> tuple[str, ...]:
    return ("run", "/dev/null", "--cmd", f"{image} {text}")


def test_a_repository_at_a_tag_a_commit_and_a_directory(
    tasks: Tasks, app: Repository, registry: str
) -> None:
    first, second = app.git("rev-parse", "main~1"), app.git("rev-parse", "main")
    for fragment, commit, words in (
        ("", second, "two"),
        ("#v1", first, "one"),
        (f"#{first}", first, "one"),
        ("#:sub", second, "below"),
    ):
        code, out, err = tasks.run("run", app.url + fragment, "-r", registry)
        assert code == 0, err
        assert f"at {commit}" in out
        assert f"read  | hello from {words}" in out
    assert tasks.left() == []


def test_a_directory_with_a_task_file_from_standard_input(
    tasks: Tasks, base_image: str, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "greeting").write_text("hello from here\n")
    task = TASK.format(image=base_image)
    code, out, err = tasks.run("run", "context", "-f", "-", "--no-logs", text=task)
    assert (code, out) == (0, ""), err
    code, out, _ = tasks.run("run", "context", "-f", "-", text=task)
    assert "read  | hello from here" in out
    assert sorted(path.name for path in (tmp_path / "context").iterdir()) == ["greeting"]


def test_one_command_without_source_and_the_record(tasks: Tasks, base_image: str) -> None:
    code, record = tasks.record(*one_command(base_image, "echo hello"), "--id", "r1")
    assert code == 0
    assert (record["runId"], record["status"], record["error"]) == ("r1", "Succeeded", None)
    assert record["source"]["location"] == "/dev/null"
    (step,) = record["steps"]
    assert (step["status"], step["exitCode"], step["attempts"]) == ("Succeeded", 0, 1)
    assert record["startTime"] <= step["startTime"] <= step["finishTime"] <= record["finishTime"]


def test_a_failing_middle_step(tasks: Tasks, base_image: str) -> None:
    task = f"""\
version: v1.1.0
steps:
  - {{id: before, cmd: {base_image} true}}
  - {{id: bad, cmd: {base_image} sh -c "echo last words; exit 3"}}
  - {{id: after, cmd: {base_image} true}}
"""
    (tasks.folder / "bad.yaml").write_text(task)
    code, out, err = tasks.run("run", "/dev/null", "-f", "bad.yaml", "--no-logs", "-o", "json")
    assert code == 1
    record = json.loads(out)
    assert record["status"] == "Failed"
    assert [s["status"] for s in record["steps"]] == ["Succeeded", "Failed", "Skipped"]
    assert record["steps"][1]["exitCode"] == 3
    assert "Error: step 'bad' exited with code 3" in err
    assert "  last words" in err
    assert tasks.left() == []


def test_the_time_of_the_run_is_over(tasks: Tasks, base_image: str) -> None:
    task = f"steps:\n  - cmd: {base_image} sleep 60\n    timeout: 2\n"
    (tasks.folder / "slow.yaml").write_text(task)
    code, record = tasks.record("run", "/dev/null", "-f", "slow.yaml")
    assert (code, record["status"], record["steps"][0]["status"]) == (1, "Failed", "Timeout")
    words = one_command(base_image, "sleep 60")
    code, record = tasks.record(*words, "--timeout", "8")
    assert (code, record["status"], record["steps"][0]["status"]) == (7, "Timeout", "Timeout")
    assert tasks.left() == []


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed")


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ((signal.SIGINT,), 130),
        ((signal.SIGTERM,), 143),
        ((signal.SIGINT, signal.SIGINT), 130),
    ],
)
def test_signals_cancel_and_leave_nothing(
    tasks: Tasks, base_image: str, numbers: tuple[signal.Signals, ...], code: int
) -> None:
    words = one_command(base_image, 'sh -c "echo ready; sleep 60"')
    with tasks.start(*words) as process:
        wait_for(process, "ready")
        for number in numbers:
            process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "was canceled" in err
    assert "Traceback" not in err
    assert tasks.left() == []


def test_a_killed_run_is_swept_by_the_next(
    tasks: Tasks,
    new_repository: Callable[[str], Repository],
    base_image: str,
    registry: str,
    source_folder: Path,
) -> None:
    repository = new_repository("slow")
    task = f"steps:\n  - cmd: {base_image} sh -c 'echo ready; sleep 300'\n"
    repository.commit({"acb.yaml": task})
    with tasks.start("run", repository.url, "-r", registry) as process:
        wait_for(process, "ready")
        process.kill()
        process.communicate(timeout=60)
    assert tasks.left() != []
    assert list(source_folder.glob("tasks-sources-*/s-*")) != []
    code, _, err = tasks.run(*one_command(base_image, "true"))
    assert code == 0, err
    assert tasks.left() == []
    assert list(source_folder.glob("tasks-sources-*/s-*")) == []


BAD = [
    ("steps:\n  - cmd: [1\n", 2, "bad.yaml:"),
    ("steps:\n  - frob: x\n", 2, "bad.yaml:2:"),
    ("steps:\n  - cmd: BAD//name x\n", 2, "bad.yaml:2:"),
    ("steps:\n  - cmd: a | b\n", 2, "sh -c"),
    ("steps:\n  - cmd: {registry}/not/there:1 true\n", 1, "not/there"),
    ("steps:\n  - cmd: 127.0.0.1:9/no/registry:1 true\n", 5, "127.0.0.1:9"),
    ("steps:\n  - push: ['{registry}/never/built:1']\n", 1, "never/built"),
]


@pytest.mark.parametrize(("task", "code", "text"), BAD, ids=[t[:40] for t, _, _ in BAD])
def test_bad_input_is_one_clear_message_and_a_record(
    tasks: Tasks, registry: str, task: str, code: int, text: str
) -> None:
    (tasks.folder / "bad.yaml").write_text(task.format(registry=registry))
    found, out, err = tasks.run("run", "/dev/null", "-f", "bad.yaml", "-o", "json")
    assert found == code, err
    assert json.loads(out)["status"] == ("Error" if code == 5 else "Failed")
    assert err.count("Error:") == 1
    assert text in err
    assert tasks.left() == []


def test_a_fetched_task_file_reaches_no_port_of_this_machine(tasks: Tasks, app: Repository) -> None:
    code, record = tasks.record("run", app.url)
    assert (code, record["steps"][0]["exitCode"]) == (5, None)
    assert "does not answer" in record["error"]["message"]


def test_a_task_file_that_leads_out_of_a_repository(tasks: Tasks, app: Repository) -> None:
    (app.work / "leak.yaml").symlink_to("/etc/passwd")
    app.commit({})
    code, out, err = tasks.run("run", app.url, "-f", "leak.yaml")
    assert (code, out) == (2, ""), err
    assert "leaves the source" in err
    assert "root:" not in err


def test_quiet_and_json_progress(tasks: Tasks, base_image: str) -> None:
    words = one_command(base_image, "echo hello")
    assert tasks.run(*words, "-q") == (0, "", "")
    code, out, _ = tasks.run(*words, "--progress", "json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert events[0]["type"] == "RunStarted"
    assert any(e["type"] == "StepLog" and "hello" in e["data"] for e in events)
    assert events[-1]["step"]["status"] == "Succeeded"


def test_secret_values_are_masked(tasks: Tasks, base_image: str) -> None:
    task = f"steps:\n  - cmd: {base_image} echo value={{{{.Values.token}}}} plain\n"
    (tasks.folder / "secret.yaml").write_text(task)
    words = ("run", "/dev/null", "-f", "secret.yaml", "--set-secret", "token=s3cr3tvalue")
    code, out, err = tasks.run(*words)
    assert code == 0, err
    assert "plain" in out
    assert "s3cr3tvalue" not in out + err
