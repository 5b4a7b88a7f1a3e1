"""Which server is asked, and that a token goes to no other."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.model.errors import InvalidInput
from tasks_service.cli.main import main
from tasks_service.cli.remote.connection import find_server
from tasks_service.cli.remote.profiles import Context, Profiles, profiles_path
from tasks_service.errors import NotFound

A, B, C = "https://a.example.com", "https://b.example.com", "https://c.example.com"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        root = tmp_path / "project"
        (root / "deep" / "down").mkdir(parents=True)
        (root / ".git").mkdir()
        (root / ".tasks.toml").write_text(text)
        return root / "deep" / "down"

    return make


def two_contexts(env: dict[str, str]) -> Profiles:
    profiles = Profiles.load(env)
    profiles = profiles.with_context(Context("a", A, "tsk_a_1"), use=True)
    profiles = profiles.with_context(Context("b", B, "tsk_b_2"), use=False)
    profiles.save()
    return profiles


def test_nothing_configured_is_no_server(env: dict[str, str], tmp_path: Path) -> None:
    assert find_server("", env, tmp_path) is None


def test_precedence_is_flag_environment_project_user(
    env: dict[str, str], project: Callable[[str], Path]
) -> None:
    two_contexts(env)
    folder = project(f'server = "{B}"')
    outside = folder.parents[2]
    found = find_server("", env, outside)
    assert found is not None
    assert (found.url, found.token, found.name) == (A, "tsk_a_1", "a")
    found = find_server("", env, folder)
    assert found is not None
    assert (found.url, found.token) == (B, "tsk_b_2")
    found = find_server("", env | {"TASKS_SERVER": A}, folder)
    assert found is not None
    assert found.url == A
    found = find_server("", env | {"TASKS_CONTEXT": "a"}, folder)
    assert found is not None
    assert found.url == A
    found = find_server("b", env | {"TASKS_SERVER": A}, folder)
    assert found is not None
    assert found.url == B


def test_the_environments_token_wins_over_the_contexts(env: dict[str, str], tmp_path: Path) -> None:
    two_contexts(env)
    found = find_server("", env | {"TASKS_TOKEN": "tsk_x_9"}, tmp_path)
    assert found is not None
    assert found.token == "tsk_x_9"


def test_an_address_of_a_flag_takes_the_token_of_its_context_only(
    env: dict[str, str], tmp_path: Path
) -> None:
    two_contexts(env)
    found = find_server(B + "/", env, tmp_path)
    assert found is not None
    assert found.token == "tsk_b_2"
    found = find_server(C, env, tmp_path)
    assert found is not None
    assert found.token == ""


def test_a_projects_server_never_gets_the_environments_token(
    env: dict[str, str], project: Callable[[str], Path]
) -> None:
    folder = project(f'server = "{C}"')
    with pytest.raises(InvalidInput, match="no context for"):
        find_server("", env | {"TASKS_TOKEN": "tsk_x_9"}, folder)
    two_contexts(env)
    (folder.parents[1] / ".tasks.toml").write_text(f'server = "{B}"')
    found = find_server("", env | {"TASKS_TOKEN": "tsk_x_9"}, folder)
    assert found is not None
    assert found.token == "tsk_b_2"


def test_a_projects_file_must_not_hold_a_token(
    env: dict[str, str], project: Callable[[str], Path]
) -> None:
    with pytest.raises(InvalidInput, match="holds a token"):
        find_server("", env, project(f'server = "{A}"\ntoken = "tsk_a_1"'))


@pytest.mark.parametrize("text", ["server = 5", "serve = 'x'", "[[[", 'server = "http://x.y"'])
def test_a_wrong_project_file_is_named(
    text: str, env: dict[str, str], project: Callable[[str], Path]
) -> None:
    with pytest.raises(InvalidInput, match=r"\.tasks\.toml"):
        find_server("", env, project(text))


def test_a_file_above_the_repository_is_not_the_projects(
    env: dict[str, str], project: Callable[[str], Path]
) -> None:
    folder = project("")
    (folder.parents[2] / ".tasks.toml").write_text(f'server = "{C}"')
    (folder.parents[1] / ".tasks.toml").unlink()
    assert find_server("", env, folder) is None


def test_plain_http_needs_a_word_for_it(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="plain http"):
        find_server("http://build.lan", env, tmp_path)
    allowed = env | {"TASKS_ALLOW_HTTP_SERVER": "1"}
    found = find_server("http://build.lan", allowed, tmp_path)
    assert found is not None
    assert found.url == "http://build.lan"


def test_an_unknown_context_is_not_found(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no context 'x'"):
        find_server("x", env, tmp_path)


def test_a_token_that_could_end_a_header_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="characters that no token has"):
        find_server(A, env | {"TASKS_TOKEN": "a\r\nX: y"}, tmp_path)


def test_the_file_is_the_users_alone_and_comes_back_as_it_was(env: dict[str, str]) -> None:
    profiles = two_contexts(env)
    path = profiles_path(env)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    strange = Context("c", "https://h/\u00e9", 'a"b\\c', "/x y/ca.pem", allow_http=True)
    profiles.with_context(strange, use=False).save()
    again = Profiles.load(env)
    assert again.contexts["c"] == strange
    assert again.current == "a"
    assert not again.readable_by_others()
    path.chmod(0o644)
    assert again.readable_by_others()


@pytest.mark.parametrize(
    "text",
    ["[[", "other = 1", "current = 5", "contexts = 1", "[contexts.a]", "[contexts.a]\nserver = 1",
     '[contexts.a]\nserver = "https://h"\nextra = 1'],
)  # fmt: skip
def test_a_wrong_file_is_told_and_not_overwritten(text: str, env: dict[str, str]) -> None:
    path = profiles_path(env)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"config\.toml"):
        Profiles.load(env)
    assert path.read_text() == text


def test_contexts_are_added_used_listed_and_removed(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (env | {"TASKS_TOKEN": "tsk_hidden_1"}).items():
        monkeypatch.setenv(name, value)
    assert main(["context", "add", "a", A, "--no-check"]) == 0
    assert main(["context", "add", "b", B, "--no-check"]) == 0
    assert main(["context", "use", "b"]) == 0
    capsys.readouterr()
    assert main(["context", "list"]) == 0
    shown = capsys.readouterr().out
    assert "*        b     https://b.example.com  yes" in shown
    assert "hidden" not in shown
    assert main(["context", "remove", "b"]) == 0
    assert main(["context", "list", "-o", "name"]) == 0
    assert capsys.readouterr().out == "a\n"
    assert main(["context", "use", "b"]) == 3


def test_a_wrong_name_or_address_is_exit_2(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (env | {"TASKS_TOKEN": "x"}).items():
        monkeypatch.setenv(name, value)
    assert main(["context", "add", "a b", A, "--no-check"]) == 2
    assert main(["context", "add", "a", "nonsense", "--no-check"]) == 2
    assert main(["context", "add", "a", "http://h.example.com", "--no-check"]) == 2
    monkeypatch.setenv("TASKS_TOKEN", "")
    assert main(["context", "add", "a", A, "--no-check"]) == 2
    assert not profiles_path(env).exists()
