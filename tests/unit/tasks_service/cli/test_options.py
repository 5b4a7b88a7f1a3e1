"""Shared options: what they accept, and the message that names a wrong one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runners.model.errors import InvalidInput
from tasks_service.cli.execute import new_run_id
from tasks_service.cli.options import (
    machine_architecture,
    parse_platforms,
    parse_registry,
    parse_run_options,
    parse_size,
    state_directory,
)

DEFAULTS: dict[str, Any] = {
    "registry": None, "output": None, "no_logs": False, "quiet": False, "progress": "auto",
    "colour": "auto", "timeout": 3600, "platform": (), "isolation": None, "backend": None,
    "run_id": None, "logins": (), "cpus": None, "memory": None, "disk": None, "pids": None,
}  # fmt: skip


def test_defaults_make_options() -> None:
    options = parse_run_options(DEFAULTS)
    assert (options.registry, options.timeout_s, options.logs) == ("", 3600, True)


def test_run_ids_are_short_lower_case_and_grow() -> None:
    first = datetime(2026, 11, 24, tzinfo=UTC)
    ids = [new_run_id(first + timedelta(seconds=n)) for n in range(40)]
    assert sorted(ids) == ids
    assert all(i.isalnum() and i == i.lower() and len(i) <= 10 for i in ids)
    assert parse_run_options({**DEFAULTS, "run_id": ids[0]}).run_id == ids[0]


@pytest.mark.parametrize("run_id", ["A", "x", "a-b", "é", "x" * 33, "../x"])
def test_a_run_id_must_be_a_plain_word(run_id: str) -> None:
    with pytest.raises(InvalidInput, match="--id"):
        parse_run_options({**DEFAULTS, "run_id": run_id})


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost:5000", "localhost:5000"),
        ("Registry.Example", "registry.example"),
        ("[::1]:5000", "[::1]:5000"),
        ("", ""),
    ],
)
def test_registries(text: str, host: str) -> None:
    assert parse_registry(text, "-r") == host


@pytest.mark.parametrize("text", ["https://h", "h/path", "h:port", "-h", "h h", "u@h", "h..x"])
def test_a_registry_is_a_host_alone(text: str) -> None:
    with pytest.raises(InvalidInput, match="-r"):
        parse_registry(text, "-r")


@pytest.mark.parametrize(
    ("text", "count"),
    [("4g", 4 << 30), ("512m", 512 << 20), ("1.5GiB", 3 << 29), ("2048k", 2 << 20)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text, "--memory") == count


@pytest.mark.parametrize("text", ["", "4", "x", "-4g", "4gg", "1e9"])
def test_a_size_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(InvalidInput, match="--memory"):
        parse_size(text, "--memory")


@pytest.mark.parametrize(
    ("texts", "platforms"),
    [
        (("linux/amd64",), ("linux/amd64",)),
        (("Linux/ARM64",), ("linux/arm64",)),
        (("linux/x86",), ("linux/386",)),
        (("linux/arm/v7,linux/amd64", "linux/amd64"), ("linux/arm/v7", "linux/amd64")),
        (("linux",), (f"linux/{machine_architecture()}",)),
    ],
)
def test_platforms(texts: tuple[str, ...], platforms: tuple[str, ...]) -> None:
    assert parse_platforms(texts) == platforms


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("plan9/amd64", "operating system"),
        ("windows/amd64", "not supported"),
        ("linux/mips", "architecture"),
        ("linux/arm/v9", "variant"),
    ],
)
def test_a_wrong_platform_names_its_part(text: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        parse_platforms((text,))


def test_state_lives_where_the_user_says(tmp_path: Path) -> None:
    assert state_directory({"TASKS_STATE_DIR": str(tmp_path)}) == tmp_path


def test_a_set_up_of_the_user_comes_before_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "runner.json").write_text("{}")
    assert state_directory({}) == tmp_path / "tasks"
