"""Registry logins: found where Docker keeps them, used only where a run names the registry."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from runners.model.errors import InvalidInput
from tasks_service.cli.logins import Login, find_logins


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with a credential helper that logs how it was called."""
    tools = tmp_path / "bin"
    tools.mkdir()
    helper = tools / "docker-credential-fake"
    helper.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{tmp_path}/argv\n'
        "host=$(cat)\n"
        'case "$1" in\n'
        '  list) echo \'{"https://index.docker.io/v1/": "hubuser", "store.example": "u"}\' ;;\n'
        '  get) [ "$host" = none.example ] && { echo "not found"; exit 1; }\n'
        '       echo "{\\"Username\\": \\"helped\\", \\"Secret\\": \\"for $host\\"}" ;;\n'
        "esac\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return {"DOCKER_CONFIG": str(tmp_path)}


def configure(env: dict[str, str], **body: Any) -> None:
    Path(env["DOCKER_CONFIG"], "config.json").write_text(json.dumps(body))


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def find(env: dict[str, str], registry: str = "", **more: Any) -> tuple[Login, ...]:
    return find_logins(registry=registry, **{"named": (), "texts": (), "env": env, **more})


def test_no_configuration_is_no_login(env: dict[str, str]) -> None:
    assert find(env, "r.example") == ()


def test_only_named_registries_get_their_login(env: dict[str, str]) -> None:
    configure(env, auths={"r.example": auth("u", "p:w"), "other.example": auth("x", "y")})
    assert find(env, "r.example") == (Login("r.example", "u", "p:w"),)
    assert find(env) == ()
    assert find(env, named=("other.example",)) == (Login("other.example", "x", "y"),)
    text = "push: [other.example/app:1]"
    assert find(env, texts=(text,)) == (Login("other.example", "x", "y"),)


def test_the_hub_needs_no_mention(env: dict[str, str]) -> None:
    configure(env, auths={"https://index.docker.io/v1/": auth("u", "p")})
    assert find(env) == (Login("docker.io", "u", "p"),)


def test_the_hub_stays_out_for_what_somebody_else_wrote(env: dict[str, str]) -> None:
    configure(env, auths={"https://index.docker.io/v1/": auth("u", "p")})
    assert find(env, hub=False) == ()
    assert find(env, hub=False, named=("docker.io",)) == (Login("docker.io", "u", "p"),)


def test_a_helper_is_asked_on_its_input_not_its_arguments(env: dict[str, str]) -> None:
    configure(env, credHelpers={"h.example": "fake"})
    assert find(env, "h.example") == (Login("h.example", "helped", "for h.example"),)
    assert Path(env["DOCKER_CONFIG"], "argv").read_text() == "get\n"


def test_a_store_answers_for_what_it_holds(env: dict[str, str]) -> None:
    configure(env, credsStore="fake")
    found = find(env, texts=("store.example/app",))
    assert {login.registry for login in found} == {"docker.io", "store.example"}
    assert find(env, "none.example") == (
        Login("docker.io", "helped", "for https://index.docker.io/v1/"),
    )


def test_the_environment_is_the_login_of_the_runs_registry(env: dict[str, str]) -> None:
    env |= {"TASKS_REGISTRY_USERNAME": "u", "TASKS_REGISTRY_PASSWORD": "p"}
    assert find(env, "r.example:5000") == (Login("r.example:5000", "u", "p"),)
    with pytest.raises(InvalidInput, match="work together"):
        find(env)


def test_a_named_registry_without_login_is_an_error(env: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"no login for registry 'r\.example'"):
        find(env, named=("r.example",))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_file_is_named(env: dict[str, str], text: str) -> None:
    Path(env["DOCKER_CONFIG"], "config.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        find(env, "r.example")


def test_a_missing_or_strange_helper_is_named(env: dict[str, str]) -> None:
    configure(env, credHelpers={"r.example": "absent"})
    with pytest.raises(InvalidInput, match="docker-credential-absent is not installed"):
        find(env, "r.example")
    configure(env, credHelpers={"r.example": "../../bin/sh"})
    with pytest.raises(InvalidInput, match="strange credential helper"):
        find(env, "r.example")


def test_a_password_is_never_printed() -> None:
    assert "secret" not in repr(Login("r", "u", "secret"))
