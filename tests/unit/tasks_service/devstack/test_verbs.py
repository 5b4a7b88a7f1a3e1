"""What ``make`` calls: exit codes, messages, and the parts of the gate."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.devstack import gate
from tasks_service.devstack.layout import Layout, exclusive

verbs = importlib.import_module("tasks_service.devstack.__main__")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verbs, "CHECKOUT", tmp_path)
    return tmp_path


def raising(error: BaseException) -> dict[str, object]:
    def work(where: object, options: object) -> int:
        raise error

    return {"demo": (work, True, "")}


def test_a_missing_prerequisite_is_one_message_and_exit_code_2(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = Unavailable("no engine here", hint="install one", detail="its last words")
    monkeypatch.setattr(verbs, "_VERBS", raising(error))
    assert verbs.main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "\nerror: no engine here\nits last words\nhint: install one\n"
    )


def test_ctrl_c_says_how_to_clean_up(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "_VERBS", raising(KeyboardInterrupt()))
    assert verbs.main(["demo"]) == 130
    assert "make down" in capsys.readouterr().err


def test_a_second_command_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with exclusive(Layout(checkout), "make test"):
        assert verbs.main(["down"]) == 2
    assert "'make test'" in capsys.readouterr().err


def test_status_of_nothing_names_every_part(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.main(["status"]) == 0
    assert capsys.readouterr().out.count("not running") == 6


def test_every_part_of_the_gate_runs_though_an_earlier_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [
        gate.Check("first", ("sh", "-c", "echo what is wrong; exit 1")),
        gate.Check("second", ("true",)),
    ]
    monkeypatch.setattr(gate, "checks", lambda checkout: parts)
    assert not gate.run_checks(tmp_path)
    shown = capsys.readouterr().err
    assert "FAILED first" in shown
    assert "what is wrong" in shown
    assert "ok     second" in shown


def test_both_halves_of_the_tests_are_run_and_either_can_fail(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    python = programs / "python"
    for failing in ("docker", "not docker", "none"):
        # What stands for pytest says what it was asked, and by whom.
        python.write_text(
            "#!/bin/sh\n"
            'while [ "$1" != -m ] || [ "$2" = pytest ]; do shift; done\n'
            f'echo "$2 with $PART"\n[ "$2" != "{failing}" ]\n'
        )
        python.chmod(0o755)
        assert gate.run_tests(tmp_path, {"PART": "a registry"}) is (failing == "none")
        assert capfd.readouterr().out == "docker with a registry\nnot docker with a registry\n"
