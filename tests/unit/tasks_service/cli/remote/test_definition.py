"""Flags of tasks become JSON of the API: what is given, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from runners.model.errors import InvalidInput, RunnerError
from tasks_service.cli.remote import aliases
from tasks_service.cli.remote.definition import definition_of, definition_options
from tasks_service.cli.remote.later import LATER, later_options
from tasks_service.cli.remote.tasks import changes_of
from tasks_service.sources.errors import SourceNotFound

GIT = "https://git.example/app.git#main"
RESET = {"file": None, "content": None, "command": None, "build": None}


def parsed(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @click.command()
    @definition_options
    @click.option("--unset", multiple=True)
    @click.option("--unset-arg", "unset_args", multiple=True)
    @later_options
    def command(**parameters: Any) -> None:
        found.update(parameters)

    command.main([*words], standalone_mode=False)
    return found


def body(*words: str, source: str = "") -> dict[str, Any]:
    return definition_of(parsed(*words), source=source)


def test_only_what_is_given_is_sent() -> None:
    assert body("--timeout", "60") == {"timeout": 60}
    assert body("--status", "disabled") == {"status": "Disabled"}
    assert body("--memory", "1g", "--cpu", "2") == {"memory": 1 << 30, "cpu": 2.0}
    assert body("--platform", "Linux/ARM64") == {"platform": "linux/arm64"}
    assert body() == {}


def test_an_update_never_turns_pushing_on_by_itself() -> None:
    assert body("--no-cache", source=GIT)["build"] == {"noCache": True}
    assert body("--no-push", source=GIT)["build"] == {"push": False}
    assert body("--push", source=GIT)["build"] == {"push": True}


def test_the_suffix_of_a_file_tells_task_files_from_dockerfiles() -> None:
    assert body("-c", GIT, "-f", "ci/acb.yaml") == RESET | {"source": GIT, "file": "ci/acb.yaml"}
    found = body("-c", GIT, "-f", "web.dockerfile", "-t", "web:1")
    assert found["build"] == {"images": ["web:1"], "dockerfile": "web.dockerfile"}
    assert found["file"] is None


def test_flags_of_a_dockerfile_make_any_file_one() -> None:
    assert body("-c", GIT, "-f", "odd.yaml", "-t", "x")["build"]["dockerfile"] == "odd.yaml"


def test_without_a_source_the_task_file_is_one_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("steps: []")
    found = body("-c", "/dev/null", "-f", str(file))
    assert found == RESET | {"source": "/dev/null", "content": "steps: []"}
    # The stored task has no source, so the same holds when it is updated.
    assert body("-f", str(file), source="/dev/null")["content"] == "steps: []"
    with pytest.raises(SourceNotFound):
        body("-c", "/dev/null", "-f", str(tmp_path / "none.yaml"))


def test_values_and_arguments_are_named_and_secrets_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HIDDEN", "s3cret")
    found = body("--set", "a=1", "--set", "a=2=3", "--set-secret", "HIDDEN", source=GIT)
    assert found == {
        "values": [
            {"name": "a", "value": "2=3"},
            {"name": "HIDDEN", "value": "s3cret", "secret": True},
        ]
    }
    found = body("--arg", "A=1", "--secret-arg", "HIDDEN", source=GIT)
    assert found["build"]["buildArgs"] == [
        {"name": "A", "value": "1"},
        {"name": "HIDDEN", "value": "s3cret", "secret": True},
    ]


def test_labels_are_set_and_removed() -> None:
    assert body("--label", "team=web", "--label", "old-") == {
        "labels": {"team": "web", "old": None}
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-c", "."], "can't keep a directory"),
        (["-c", "./app"], "can't keep a directory"),
        (["-c", GIT, "--cmd", "x", "-f", "y"], "excludes"),
        (["-c", GIT, "--cmd", "x", "-t", "y"], "excludes"),
        (["-c", "/dev/null", "-t", "y"], "needs a source"),
        (["--set", "novalue"], "not NAME=VALUE"),
        (["--set-secret", "NOT_THERE"], "no environment variable"),
        (["--label", "x"], "not KEY=VALUE"),
        (["--platform", "linux/amd64,linux/arm64"], "one platform"),
        (["--image-label", "x"], "no '='"),
        (["-c", "https://me:pass@git.example/app.git"], "login in a source's address"),
        (["--memory", "lots"], "not a size"),
        (["--registry", "https://x"], "not a registry"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], why: str) -> None:
    with pytest.raises((click.UsageError, RunnerError), match=why):
        body(*words)


def test_a_secret_never_shows_in_a_refusal() -> None:
    with pytest.raises(click.UsageError) as caught:
        body("--set-secret", "=s3cret")
    assert "s3cret" not in caught.value.format_message()
    with pytest.raises(InvalidInput) as refused:
        body("-c", "https://me:s3cret@git.example/app.git")
    assert "s3cret" not in refused.value.message


# Updates.

STORED = {
    "name": "app",
    "source": GIT,
    "build": {
        "images": ["app:1"],
        "push": False,
        "buildArgs": [{"name": "A", "value": "1"}, {"name": "S", "secret": True}],
    },
}
WITH_VALUES = {
    "name": "app",
    "source": GIT,
    "file": "acb.yaml",
    "values": [{"name": "a", "value": "1"}, {"name": "s", "secret": True}],
}


def test_setting_one_value_keeps_the_others_and_the_secrets() -> None:
    assert changes_of(parsed("--set", "b=2"), WITH_VALUES) == {
        "values": [
            {"name": "a", "value": "1"},
            {"name": "s", "secret": True},
            {"name": "b", "value": "2"},
        ]
    }
    assert changes_of(parsed("--arg", "A=9"), STORED) == {
        "build": {"buildArgs": [{"name": "A", "value": "9"}, {"name": "S", "secret": True}]}
    }


def test_a_value_can_be_forgotten() -> None:
    assert changes_of(parsed("--unset", "s"), WITH_VALUES) == {
        "values": [{"name": "a", "value": "1"}]
    }
    with pytest.raises(click.UsageError, match="has no such"):
        changes_of(parsed("--unset", "x"), WITH_VALUES)


def test_the_file_of_a_build_stays_a_dockerfile() -> None:
    assert changes_of(parsed("-f", "other.yaml"), STORED) == {"build": {"dockerfile": "other.yaml"}}
    assert changes_of(parsed("-f", "other.yaml"), WITH_VALUES)["file"] == "other.yaml"


def test_flags_of_a_dockerfile_turn_a_task_file_into_a_build() -> None:
    found = changes_of(parsed("-t", "app:2"), WITH_VALUES)
    assert found == {
        "file": None, "content": None, "command": None, "build": {"images": ["app:2"]},
    }  # fmt: skip


def test_a_timeout_alone_is_a_change_of_any_task() -> None:
    for stored in (STORED, WITH_VALUES, {"source": "/dev/null", "content": "steps: []"}):
        assert changes_of(parsed("--timeout", "9"), stored) == {"timeout": 9}


# What is not there yet.


def test_flags_of_features_to_come_are_refused_not_ignored() -> None:
    for later in LATER:
        with pytest.raises(click.UsageError, match=re.escape(later.why)):
            task("create", "-n", "a", "-c", GIT, later.flags[-1], "x")


def test_flags_that_ask_for_nothing_are_taken() -> None:
    harmless = ("--auth-mode", "default", "--is-system-task", "False")
    assert body("--timeout", "5", *harmless) == {"timeout": 5}
    with pytest.raises(click.UsageError, match="triggers are not there yet"):
        body("--update-trigger-token")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--base-image-trigger-enabled", "false"), "None"),
        (("--base-image-trigger-enabled", "False", "--base-image-trigger-type", "all"), "None"),
        (("--base-image-trigger-enabled", "true"), "All"),
        (("--base-image-trigger-type", "runtime"), "Runtime"),
        (("--base-image-trigger-enabled", "True", "--base-image-trigger-type", "All"), "All"),
    ],
)
def test_the_flags_of_base_images_are_those_of_azure(flags: tuple[str, ...], expected: str) -> None:
    assert body(*flags) == {"baseImageTrigger": expected}


def test_identities_are_refused_with_what_to_do() -> None:
    with pytest.raises(click.UsageError, match="belong to Azure"):
        task("identity", "add", "-n", "x")


def task(*words: str) -> None:
    aliases.command.main([*words], prog_name="tasks task", standalone_mode=False)
