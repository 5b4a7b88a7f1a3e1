"""The command itself: fast help, clear errors, the documented exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runners.model import errors
from runners.model.status import RunStatus
from tasks_service.cli import exit_codes, main
from tasks_service.sources.errors import SourceNotFound

HEAVY = {
    "docker", "grpc", "google.protobuf", "rich", "yaml", "httpx2", "celery", "redis", "git",
    "pydantic", "gotpl", "platformdirs", "asyncio", "http.client", "email", "ssl",
    "importlib.metadata",
}  # fmt: skip


def tasks(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasks_service.cli.main", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def imported(*words: str, cwd: Path | None = None) -> set[str]:
    program = (
        "import sys; from tasks_service.cli.main import main; "
        "main(sys.argv[1:]); print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["build", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    loaded = imported(*words)
    assert "tasks_service.cli.main" in loaded
    assert loaded & HEAVY == set()


def test_top_level_help_loads_no_command() -> None:
    loaded = imported("--help")
    assert {name for name in loaded if name.startswith(("runners", "tasks_service"))} <= {
        "tasks_service",
        "tasks_service.cli",
        "tasks_service.cli.main",
        "tasks_service.cli.exit_codes",
        "tasks_service.cli.lazy",
        "tasks_service.cli.remote",
        "tasks_service.cli.service",
        "runners",
        "runners.model",
        "runners.model.errors",
        "runners.model.status",
    }


def test_bad_arguments_load_nothing_heavy(tmp_path: Path) -> None:
    for words in (["run"], ["run", "--nope"], ["build"], ["run", ".", "--memory", "x"]):
        assert imported(*words, cwd=tmp_path) & HEAVY == set()


def test_every_command_of_the_table_is_there_or_left_out() -> None:
    done = tasks("--help")
    assert done.returncode == 0
    assert "Exit codes: 0 succeeded, 1 a step failed" in done.stdout
    for name in ("run", "build", "version", "completion"):
        assert f"\n  {name} " in done.stdout


def test_a_command_without_module_does_not_break_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ghosts = {"ghost": ("tasks_service.ghosts.cli", "Not there.")}
    monkeypatch.setitem(main.TOPICS, "Ghosts", ghosts)
    assert main.main(["--help"]) == 0
    assert "host" not in capsys.readouterr().out
    assert main.main(["ghost"]) == exit_codes.USAGE


USAGE = [
    (["frob"], "No such command 'frob'"),
    (["run", "--frob"], "No such option"),
    (["run", ".", "--cmd", "x", "-f", "y"], "exclude each other"),
    (["run", ".", "--timeout", "0"], "--timeout"),
    (["run", ".", "-r", "https://x"], "not a registry"),
    (["run", ".", "--set-secret", "NOT_THERE"], "no environment variable NOT_THERE"),
    (["build"], "Missing argument 'SOURCE'"),
    (["build", "/dev/null"], "needs a source"),
    (["build", ".", "--label", "x"], "has no '='"),
    (["build", ".", "--secret", "src=x"], "id=ID,src=FILE"),
    (["build", ".", "--secret", "id=a,src=nope"], "no file 'nope'"),
    (["build", ".", "--build-arg", "NOT_THERE"], "no environment variable NOT_THERE"),
    (["run", "ext::sh -c x"], "scheme 'ext' is not allowed"),
    (["run", "https://h/r.git#--upload-pack=x"], "is not a valid branch"),
]


@pytest.mark.parametrize(("words", "text"), USAGE, ids=[" ".join(w) for w, _ in USAGE])
def test_bad_input_is_one_message_and_exit_2(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == exit_codes.USAGE
    shown = capsys.readouterr()
    assert text in shown.err
    assert shown.err.count("Error:") == 1
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_a_missing_directory_is_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "./not-there"]) == exit_codes.NOT_FOUND
    assert "there is no directory 'not-there'" in capsys.readouterr().err


def test_an_unexpected_error_is_exit_5_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fall(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(main.tasks, "main", fall)
    assert main.main(["run"]) == exit_codes.FAULT
    shown = capsys.readouterr().err
    assert "unexpected KeyError: 'surprise'" in shown
    assert "What to do:" in shown
    assert "Traceback" not in shown
    assert main.main(["--debug", "run"]) == exit_codes.FAULT
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("x"), 2),
        (SourceNotFound("x"), 3),
        (errors.Denied("x"), 4),
        (errors.StepFailed("x"), 1),
        (errors.StepTimedOut("x"), 1),
        (errors.Canceled("x"), 6),
        (errors.RunTimedOut("x"), 7),
        (errors.Unavailable("x"), 5),
        (errors.RunnerLost("x"), 5),
        (errors.SystemFault("x"), 5),
    ],
)
def test_every_error_has_its_exit_code(error: errors.RunnerError, code: int) -> None:
    assert exit_codes.of_error(error) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus.SUCCEEDED, 0),
        (RunStatus.FAILED, 1),
        (RunStatus.ERROR, 5),
        (RunStatus.CANCELED, 6),
        (RunStatus.TIMEOUT, 7),
    ],
)
def test_every_status_has_its_exit_code(status: RunStatus, code: int) -> None:
    assert exit_codes.of_run(status) == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    assert "_TASKS_COMPLETE" in capsys.readouterr().out


def test_version_is_json_on_wish(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["version", "-o", "json"]) == 0
    assert '"version"' in capsys.readouterr().out
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tasks ")
