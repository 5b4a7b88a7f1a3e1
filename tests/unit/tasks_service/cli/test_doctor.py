"""What ``tasks doctor`` prints, and its exit code, on a machine without a set-up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runners.model.errors import InvalidInput
from tasks_service.cli.doctor import run_doctor


def test_without_a_set_up_the_level_cannot_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor(tmp_path) == 1
    text = capsys.readouterr().out
    assert "nothing was set up yet" in text
    assert "`tasks setup` does it" in text
    assert "Isolation D3 can't be had here" in text


def test_the_json_form_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_doctor(tmp_path, output="json", isolation="D2") == 1
    body = json.loads(capsys.readouterr().out)
    assert (body["isolation"], body["available"]) == ("D2", False)
    assert {check["status"] for check in body["checks"]} <= {"ok", "warning", "missing"}


def test_an_unknown_level_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        run_doctor(tmp_path, isolation="D9")
