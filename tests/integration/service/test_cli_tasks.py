"""Stored tasks, credentials, tokens and audit by the command line, on a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.integration.service.conftest import CommandLine, Service

GIT = "https://git.example/app.git#main"


def test_a_task_is_created_shown_changed_listed_and_deleted(cli: CommandLine) -> None:
    said = cli("create", "-n", "life", "-c", GIT, "-f", "acb.yaml", "--timeout", "900", "--set",
               "color=blue", "--set-secret", "token=canary-1", "--label", "team=web")  # fmt: skip
    assert "life" in said.out
    assert "canary-1" not in said.out
    task = cli.json("show", "life")
    assert task["source"] == GIT
    assert task["timeout"] == 900
    assert {"name": "token", "secret": True} in task["values"]

    cli("update", "life", "--set", "color=red", "--set", "size=2", "--timeout", "60")
    task = cli.json("show", "-n", "life")
    assert task["timeout"] == 60
    assert {v["name"]: v.get("value") for v in task["values"]} == {
        "color": "red", "size": "2", "token": None,
    }  # fmt: skip
    cli("update", "life", "--unset", "size")
    assert "size" not in {v["name"] for v in cli.json("show", "life")["values"]}

    assert "life" in cli("list", "--label", "team=web", "-o", "name").out.split()
    assert "life" not in cli("list", "--label", "team=db", "-o", "name").out.split()
    assert cli("list", "-o", "tsv", "--label", "team=web").out.startswith("life\t")

    cli("delete", "life", "-y")
    assert "there is no task" in cli("show", "life", code=3).err


def test_an_update_without_no_push_leaves_pushing_as_it_is(cli: CommandLine) -> None:
    cli("create", "-n", "quiet", "-c", GIT, "-t", "app:v1", "--no-push")
    cli("update", "quiet", "-t", "app:v2")
    build = cli.json("show", "quiet")["build"]
    assert build["push"] is False
    assert build["images"] == ["app:v2"]


def test_create_replaces_unless_told_not_to(cli: CommandLine) -> None:
    cli("create", "-n", "once", "-c", GIT)
    said = cli("create", "-n", "once", "-c", GIT, "--no-replace", code=2)
    assert "once" in said.err
    cli("create", "-n", "once", "-c", GIT, "--timeout", "5")
    assert cli.json("show", "once")["timeout"] == 5


def test_every_field_at_fault_is_named(cli: CommandLine) -> None:
    said = cli("create", "-n", "bad", "-c", GIT, "--isolation", "NO SUCH", "--pool", "no such",
               code=2)  # fmt: skip
    assert "isolation" in said.err
    assert "pool" in said.err
    cli("show", "bad", code=3)


def test_the_names_of_az_do_the_same(cli: CommandLine) -> None:
    cli("task", "create", "--name", "az", "--context", GIT, "--file", "t.yaml",
        "--commit-trigger-enabled", "false", "--base-image-trigger-enabled", "false")  # fmt: skip
    assert "az" in cli("task", "list", "-o", "name").out.split()
    assert cli.json("task", "show", "-n", "az")["file"] == "t.yaml"
    said = cli("task", "create", "-n", "az2", "-c", GIT, "--update-trigger-endpoint", "x", code=2)
    assert "triggers are not there yet" in said.err
    cli("show", "az2", code=3)
    cli("task", "delete", "-n", "az", "--yes")


def test_timers_are_added_changed_listed_and_removed(cli: CommandLine, tmp_path: Path) -> None:
    cli("create", "-n", "timed", "-c", GIT, "--schedule", "0 3 * * *",
        "--schedule", "weekly:CRON_TZ=Europe/Berlin 0 4 * * Sun")  # fmt: skip
    listed = cli.json("timer", "list", "-n", "timed")
    assert [timer["name"] for timer in listed] == ["t1", "weekly"]
    assert listed[0]["words"] == "at 03:00 UTC"
    assert "nightly" not in cli("timer", "list", "-n", "timed").out
    cli("task", "timer", "add", "-n", "timed", "--timer-name", "nightly", "--schedule",
        "30 2 * * Mon-Fri", "--enabled", "true", "--window", "22:00-04:00")  # fmt: skip
    said = cli("timer", "add", "-n", "timed", "--timer-name", "nightly", "--schedule",
               "0 5 * * *", code=2)  # fmt: skip
    assert "already" in said.err
    cli("timer", "update", "-n", "timed", "--timer-name", "nightly", "--enabled", "false")
    changed = cli.json("timer", "list", "-n", "timed")[2]
    assert (changed["enabled"], changed["windows"]) == (False, ["22:00-04:00"])
    times = cli.json("timer", "next", "-n", "timed", "--timer-name", "nightly")
    assert len(times) == 10
    assert all(time["at"].endswith("T02:30:00.000Z") for time in times)
    file = tmp_path / "timed.yaml"
    file.write_text(cli("export", "timed").out)
    assert "unchanged" in cli("apply", "-f", str(file)).out
    file.write_text(file.read_text().replace("30 2 * * Mon-Fri", "31 2 * * Mon-Fri"))
    assert "updated" in cli("apply", "-f", str(file)).out
    cli("timer", "remove", "-n", "timed", "--timer-name", "nightly")
    said = cli("timer", "remove", "-n", "timed", "--timer-name", "nightly", code=3)
    assert "does not exist for the task 'timed'" in said.err


def test_schedules_that_never_fire_are_refused_with_their_place(cli: CommandLine) -> None:
    said = cli("create", "-n", "never", "-c", GIT, "--schedule", "0 2 30 2 *",
               "--schedule", "0 0 * * 7", code=2)  # fmt: skip
    assert "timers/0/schedule" in said.err or "timers.0.schedule" in said.err
    assert "never fires" in said.err
    assert "Sunday is 0" in said.err
    cli("show", "never", code=3)


def test_export_and_apply_change_nothing(cli: CommandLine, tmp_path: Path) -> None:
    cli("create", "-n", "kept", "-c", GIT, "-t", "app:v1", "--secret-arg", "TOKEN=canary-2",
        "--arg", "A=1", "--cpu", "2", "--memory", "1g", "--label", "team=x")  # fmt: skip
    cli(
        "create",
        "-n",
        "plain",
        "-c",
        "/dev/null",
        "--cmd",
        "alpine true",
        "--set-secret",
        "s=canary-3",
    )
    file = tmp_path / "tasks.yaml"
    file.write_text(cli("export", "kept", "plain").out)
    assert "canary" not in file.read_text()
    said = cli("apply", "-f", str(file))
    assert said.out == "kept unchanged\nplain unchanged\n"
    before = cli.json("show", "kept")["version"]
    definitions = list(yaml.safe_load_all(file.read_text()))
    definitions[0]["timeout"] = 77
    file.write_text(yaml.safe_dump_all(definitions))
    assert cli("apply", "-f", str(file), "--dry-run").out.startswith("kept updated (dry run)")
    assert cli.json("show", "kept")["version"] == before
    assert cli("apply", "-f", str(file)).out == "kept updated\nplain unchanged\n"
    task = cli.json("show", "kept")
    assert task["timeout"] == 77
    assert {"name": "TOKEN", "secret": True} in task["build"]["buildArgs"]


def test_apply_creates_and_prunes_by_label_only(cli: CommandLine, tmp_path: Path) -> None:
    cli("create", "-n", "stays", "-c", GIT)
    cli("create", "-n", "goes", "-c", GIT, "--label", "team=prune")
    file = tmp_path / "tasks.yaml"
    file.write_text(
        "tasks:\n- {name: fresh, source: /dev/null, command: alpine true, labels: {team: prune}}\n"
    )
    said = cli("apply", "-f", str(file), "--prune", "--label", "team=prune")
    assert said.out == "fresh created\ngoes deleted\n"
    cli("show", "goes", code=3)
    cli("show", "stays")


def test_one_bad_definition_does_not_stop_the_others(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "tasks.yaml"
    file.write_text(
        "- {name: good, source: /dev/null, command: alpine true}\n"
        "- {name: wrong, source: /dev/null, comand: alpine true}\n"
    )
    said = cli("apply", "-f", str(file), code=2)
    assert said.out == "good created\n"
    assert "comand" in said.err
    assert str(file) in said.err


def test_credentials_are_added_once_listed_and_removed(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_CREDENTIAL_PASSWORD", "canary-4")
    cli("create", "-n", "logged", "-c", GIT)
    where = ("-n", "logged", "--login-server", "ghcr.io")
    cli("credential", "add", *where, "-u", "me")
    assert "already exists" in cli("credential", "add", *where, "-u", "me", code=2).err
    cli("credential", "update", *where, "-u", "you")
    assert cli.json("credential", "list", "-n", "logged") == [
        {"registry": "ghcr.io", "username": "you"}
    ]
    assert "not found" in cli("credential", "update", "-n", "logged", "--login-server", "q.io",
                              "-u", "me", code=3).err  # fmt: skip
    cli("credential", "remove", *where)
    assert cli.json("credential", "list", "-n", "logged") == []


def test_a_token_is_shown_once_and_bound_to_its_role(cli: CommandLine, service: Service) -> None:
    token = cli("token", "create", "eyes", "--role", "reader", "--expires", "1d").out.strip()
    assert token.startswith("tsk_")
    reader = cli.with_token(token)
    reader("list")
    said = reader("create", "-n", "mine", "-c", GIT, code=4)
    assert "role" in said.err
    found = next(t for t in cli.json("token", "list") if t["name"] == "eyes")
    assert token not in json.dumps(found)
    cli("token", "revoke", found["id"])
    said = reader("list", code=4)
    assert token not in said.err
    assert "TASKS_TOKEN" in said.err or "token" in said.err


def test_a_token_for_some_tasks_sees_no_others(cli: CommandLine) -> None:
    cli("create", "-n", "mine-1", "-c", GIT)
    cli("create", "-n", "other-1", "-c", GIT)
    token = cli("token", "create", "few", "--role", "author", "--task", "mine-*").out.strip()
    few = cli.with_token(token)
    assert few("list", "-o", "name").out.split() == ["mine-1"]
    few("show", "other-1", code=3)
    few("run", "/dev/null", "--cmd", "alpine true", "--no-wait", code=4)


def test_changes_are_in_the_audit_log(cli: CommandLine) -> None:
    cli("create", "-n", "watched", "-c", GIT)
    entries = cli.json("audit", "--object", "watched", "--since", "1h")
    assert [entry["object"] for entry in entries] == ["tasks/watched"]
    assert entries[0]["actor"] == "admin"


def test_no_server_and_no_token_say_what_to_do(
    cli: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKS_TOKEN")
    assert "TASKS_TOKEN" in cli("list", code=4).err
    monkeypatch.delenv("TASKS_SERVER")
    assert "no server is configured" in cli("list", code=2).err


def test_a_context_is_checked_and_used(
    cli: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TASKS_SERVER")
    said = cli("context", "add", "here", service.url)
    assert "role admin" in said.err
    monkeypatch.delenv("TASKS_TOKEN")
    cli("create", "-n", "by-context", "-c", GIT)
    monkeypatch.setenv("TASKS_TOKEN", "tsk_aaaaaaaaaa_" + "b" * 43)
    cli("context", "add", "there", service.url, code=4)
    assert "there" not in cli("context", "list", "-o", "name").out.split()


def test_commit_triggers_are_added_tried_changed_and_removed(cli: CommandLine) -> None:
    source = "https://github.com/octo/app.git#main"
    said = cli("create", "-n", "hooked", "-c", source, "-f", "t.yaml", "--branch", "x", code=2)
    assert "--commit-trigger-enabled true" in said.err
    cli("show", "hooked", code=3)
    said = cli("create", "-n", "hooked", "-c", source, "-f", "t.yaml",
               "--commit-trigger-enabled", "true", "--path", "web/**")  # fmt: skip
    assert "/hooks/" in said.err
    secret = said.err.partition("secret:")[2].split()[0]
    (listed,) = cli.json("trigger", "list", "-n", "hooked")
    assert (listed["provider"], listed["repository"]) == ("github", "octo/app")
    assert secret not in cli("trigger", "list", "-n", "hooked").out
    # A second create keeps URL and secret.
    said = cli("create", "-n", "hooked", "-c", source, "-f", "t.yaml",
               "--commit-trigger-enabled", "true", "--branch", "main")  # fmt: skip
    assert "secret" not in said.err
    (again,) = cli.json("task", "trigger", "list", "-n", "hooked")
    assert (again["url"], again["refs"], again["paths"]) == (listed["url"], ["main"], ["web/**"])

    words = ("trigger", "test", "-n", "hooked", "--branch")
    assert "starts a run" in cli(*words, "main", "--path", "web/a.html").out
    assert "no pattern" in cli(*words, "other", code=1).out
    assert "paths" in cli(*words, "main", "--path", "README.md", code=1).out
    cli("update", "-n", "hooked", "--commit-trigger-enabled", "false")
    assert "disabled" in cli(*words, "main", code=1).out
    cli("trigger", "update", "-n", "hooked", "--enabled", "true", "--path", "")
    assert "starts a run" in cli(*words, "main").out

    assert cli.json("trigger", "deliveries", "-n", "hooked") == []
    assert "no delivery" in cli("trigger", "redeliver", "abc", "-n", "hooked", code=3).err
    said = cli("trigger", "add", "-n", "hooked", "--provider", "gitlab", code=2)
    assert "remove it first" in said.err
    cli("trigger", "add", "-n", "hooked", "--trigger-name", "two", "--secret", "short", code=2)
    cli("trigger", "remove", "-n", "hooked")
    assert cli.json("trigger", "list", "-n", "hooked") == []


def test_a_trigger_says_what_it_can_not_know(cli: CommandLine) -> None:
    cli("create", "-n", "own", "-c", "https://git.example/octo/app.git", "-f", "t.yaml")
    said = cli("trigger", "add", "-n", "own", code=2)
    assert "provider" in said.err
    found = cli.json("trigger", "add", "-n", "own", "--provider", "forgejo")
    assert found["apiUrl"] == "https://git.example/api/v1"
    cli("create", "-n", "sourceless", "-c", "/dev/null", "--cmd", "alpine true")
    assert "not a Git repository" in cli("trigger", "add", "-n", "sourceless", code=2).err
