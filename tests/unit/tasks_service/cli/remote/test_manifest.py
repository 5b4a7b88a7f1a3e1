"""Definitions of tasks in files: all problems at once, and what counts as a change."""

from __future__ import annotations

import pytest

from runners.model.errors import InvalidInput
from tasks_service.cli.remote.manifest import dumped, exported, read_definitions, same

STORED = {
    "name": "app",
    "status": "Enabled",
    "source": "https://git.example/app.git",
    "file": "acb.yaml",
    "values": [{"name": "a", "value": "1"}, {"name": "s", "secret": True}],
    "timeout": 3600,
    "pool": "default",
    "maxConcurrent": 0,
    "supersede": False,
    "labels": {"team": "web"},
    "credentials": [{"registry": "ghcr.io", "username": "me"}],
    "hasGitToken": True,
    "version": 3,
    "createTime": "2026-11-25T20:00:00.000Z",
    "updateTime": "2026-11-25T20:00:00.000Z",
}


def read(text: str, env: dict[str, str] | None = None) -> list[dict[str, object]]:
    found = read_definitions([("tasks.yaml", text.encode())], env or {})
    return [dict(one.body) for one in found]


def test_documents_lists_and_envelopes_are_all_taken() -> None:
    one = {"name": "a", "command": "x"}
    assert read("name: a\ncommand: x\n") == [one]
    assert read("---\nname: a\ncommand: x\n---\nname: b\n") == [one, {"name": "b"}]
    assert read("- name: a\n  command: x\n- name: b\n") == [one, {"name": "b"}]
    assert read("tasks:\n- name: a\n  command: x\n") == [one]


def test_all_problems_are_told_at_once_with_their_places() -> None:
    text = "- name: a\n- 5\n- command: x\n- name: a\n- name: b\n  gitTokenFromEnv: NOT_THERE\n"
    with pytest.raises(InvalidInput) as caught:
        read(text)
    assert caught.value.message.startswith("4 problems")
    lines = caught.value.detail.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "tasks.yaml, task 2",
        "tasks.yaml, task 3",
        "tasks.yaml, task 4",
        "tasks.yaml, task 5",
    ]
    assert "NOT_THERE" in lines[3]


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "a: [", "\tname: x", "name: !!python/object:os.system x", "name: ''",
     "name: a\n1: x", "\x00"],
)  # fmt: skip
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"tasks\.yaml"):
        read(text)


def test_a_yaml_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InvalidInput, match="anchors expand"):
        read("name: a\n" + "\n".join(lines))


def test_secrets_come_from_the_environment() -> None:
    text = (
        "name: a\n"
        "values: [{name: t, secret: true, fromEnv: TOKEN}]\n"
        "build: {secrets: [{id: npm, fromEnv: NPM}]}\n"
        "credentials: [{registry: ghcr.io, username: me, fromEnv: PW}]\n"
        "gitTokenFromEnv: GIT\n"
    )
    env = {"TOKEN": "1", "NPM": "2", "PW": "3", "GIT": "4"}
    (found,) = read_definitions([("f", text.encode())], env)
    assert found.body == {
        "name": "a",
        "values": [{"name": "t", "secret": True, "value": "1"}],
        "build": {"secrets": [{"id": "npm", "value": "2"}]},
        "credentials": [{"registry": "ghcr.io", "username": "me", "password": "3"}],
        "gitToken": "4",
    }
    assert found.new_secrets
    assert "TOKEN" not in repr(found)


def test_an_export_applies_as_unchanged() -> None:
    text = dumped([exported(STORED)])
    (found,) = read_definitions([("f", text.encode())], {})
    assert same(STORED, found.body)
    assert not found.new_secrets
    assert "version" not in found.body


def test_defaults_and_order_are_no_change() -> None:
    wanted = {
        "name": "app",
        "source": "https://git.example/app.git",
        "file": "acb.yaml",
        "values": [{"name": "s", "secret": True}, {"name": "a", "value": "1"}],
        "labels": {"team": "web"},
    }
    assert same(STORED, wanted)
    assert not same(STORED, wanted | {"timeout": 60})
    assert not same(STORED, wanted | {"labels": {}})
    assert not same(STORED, wanted | {"values": []})
    build = {"name": "b", "source": "x", "build": {"images": ["i"], "push": True}}
    assert same(build, {"name": "b", "source": "x", "build": {"images": ["i"]}})
    assert not same(build, {"name": "b", "source": "x", "build": {"images": ["i"], "push": False}})


def test_texts_of_several_lines_stay_readable() -> None:
    assert "content: |\n  version: v1.1.0\n  steps: []\n" in dumped(
        [{"name": "a", "content": "version: v1.1.0\nsteps: []\n"}]
    )
