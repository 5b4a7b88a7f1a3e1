"""Compose file and systemd units say what the program understands."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from tasks_service.cli.main import tasks
from tasks_service.config import Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
COMPOSE = EXAMPLES / "compose" / "compose.yaml"
UNITS = sorted((EXAMPLES / "systemd").glob("*.service"))
SETTINGS = {f"TASKSD_{field.name.upper()}" for field in dataclasses.fields(Settings)}


def parsed(words: list[str]) -> None:
    """Have the command line read the words without doing anything."""
    with pytest.raises((click.exceptions.Exit, SystemExit)) as ended:
        tasks.main([*words, "--help"], standalone_mode=True)
    code = getattr(ended.value, "code", getattr(ended.value, "exit_code", None))
    assert code == 0, words


def services() -> dict[str, dict[str, object]]:
    body = yaml.safe_load(COMPOSE.read_text())
    return {name: one for name, one in body["services"].items() if one["image"] == "tasks-service"}


def test_compose_starts_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [one["command"] for one in services().values()]
    assert ["scheduler"] in commands
    for words in commands:
        assert isinstance(words, list)
        parsed(words)
    assert "Usage: " in capsys.readouterr().out


def variables(text: str) -> Iterator[str]:
    for name in re.findall(r"\bTASKSD_[A-Z0-9_]+", text):
        yield name.removesuffix("_FILE") if name.removesuffix("_FILE") in SETTINGS else name


@pytest.mark.parametrize("path", [COMPOSE, COMPOSE.parent / "Dockerfile", *UNITS], ids=str)
def test_variables_are_settings(path: Path) -> None:
    found = set(variables(path.read_text())) - {"TASKSD_CONFIG"}
    assert found <= SETTINGS


def test_compose_volumes_and_secrets_are_declared() -> None:
    body = yaml.safe_load(COMPOSE.read_text())
    for one in body["services"].values():
        assert set(one.get("secrets", ())) <= set(body["secrets"])
        for volume in one.get("volumes", ()):
            assert volume.partition(":")[0] in body["volumes"]
        for other in one.get("depends_on", ()):
            assert other in body["services"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_exist(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in path.read_text().splitlines() if line.startswith("ExecStart")]
    assert lines
    for line in lines:
        program, *words = shlex.split(line.partition("=")[2])
        assert Path(program).name == "tasks"
        parsed(words)
    assert "Usage: " in capsys.readouterr().out
