"""Environment variables and files: what a task file may name, and what not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from tasks_service.secrets.base import Access, parse_location
from tasks_service.secrets.environment import Environment
from tasks_service.secrets.errors import SecretRefused
from tasks_service.secrets.file import Files


def variable(name: str, environ: dict[str, str], *, local: bool = False) -> str:
    provider = Environment(Access(environ, local))
    return provider.fetch(parse_location(f"env:{name}"), Cancellation())


def file(text: str, environ: dict[str, str] | None = None, *, local: bool = True) -> str:
    provider = Files(Access(environ or {}, local))
    return provider.fetch(parse_location(f"file:{text}"), Cancellation())


def test_a_fetched_task_file_reads_no_variable_that_is_not_listed() -> None:
    environ = {"AWS_TOKEN": "x", "TASKS_SECRET_ENV": "CI_*, DB_PASSWORD", "CI_A": "1"}
    environ["DB_PASSWORD"] = "2"
    assert variable("CI_A", environ) == "1"
    assert variable("DB_PASSWORD", environ) == "2"
    with pytest.raises(SecretRefused, match="may not read") as raised:
        variable("AWS_TOKEN", environ)
    assert "TASKS_SECRET_ENV" in raised.value.hint


def test_a_fetched_task_file_does_not_learn_which_variables_exist() -> None:
    said = []
    for environ in ({}, {"AWS_TOKEN": "x"}):
        with pytest.raises(SecretRefused) as raised:
            variable("AWS_TOKEN", environ)
        said.append(raised.value.message)
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["", "A=B", "1A", "A-B", "Ä", "A#B", "../A"])
def test_what_is_no_variables_name_is_refused(name: str) -> None:
    with pytest.raises(SecretRefused, match="names no environment variable"):
        variable(name, {"A": "x"}, local=True)


def test_an_empty_variable_is_an_empty_secret() -> None:
    assert variable("A", {"A": ""}, local=True) == ""


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"x", "x"), (b"x\n", "x"), (b"x\n\n", "x\n"), (b"x\r\n", "x"), (b"\n", ""), (b"", "")],
)
def test_one_line_end_of_a_file_is_not_its_value(
    tmp_path: Path, content: bytes, value: str
) -> None:
    (tmp_path / "s").write_bytes(content)
    assert file(f"{tmp_path}/s") == value
    assert file(f"//{tmp_path}/s") == value


def test_a_file_that_is_no_text_is_refused_without_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"secret\xff\xfe")
    with pytest.raises(SecretRefused, match="not UTF-8") as raised:
        file(f"{tmp_path}/s")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_fetched_task_file_reads_below_the_secrets_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "inside").write_text("yes")
    (tmp_path / "outside").write_text("no")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder / "loop")
    environ = {"TASKS_SECRET_DIR": str(folder)}
    assert file("inside", environ, local=False) == "yes"
    assert file(f"{folder}/inside", environ, local=False) == "yes"
    for text in ("../outside", "link", f"{tmp_path}/outside", "loop", "%2e%2e/outside"):
        with pytest.raises(SecretRefused):
            file(text, environ, local=False)
    with pytest.raises(SecretRefused, match="may not read"):
        file(f"{folder}/inside", {}, local=False)


@pytest.mark.parametrize("what", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    with pytest.raises(SecretRefused, match="not a regular file"):
        file(str(path))


@pytest.mark.parametrize("text", ["x%00y", "x#key", "n" * 300, "a/" * 3000])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(SecretRefused):
        file(f"/{text}")
