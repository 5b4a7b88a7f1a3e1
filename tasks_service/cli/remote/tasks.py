"""``tasks create|update|list|show|delete``: stored tasks on a server.

Also reached as ``tasks task …``, with the flags of ``az acr task`` (C-100 to
C-133).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.definition import definition_of, definition_options
from tasks_service.cli.remote.flags import list_options, pairs, show_options
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import TaskName, task_name
from tasks_service.cli.remote.several import for_each
from tasks_service.cli.remote.source_trigger import (
    set_source_trigger,
    source_trigger_of,
    source_trigger_options,
)

if TYPE_CHECKING:
    from tasks_service.cli.remote.printing import Column

_TRIES = 3


@click.command("create", epilog=EPILOG)
@task_name
@definition_options
@click.option("--schedule", "schedules", metavar="[NAME:]CRON", multiple=True,
              help="Start it by the clock: five fields in UTC, or CRON_TZ=Zone and five."
                   " Repeatable.")  # fmt: skip
@source_trigger_options
@click.option("--replace/--no-replace", default=True, show_default=True,
              help="Whether a task of that name may be there already.")  # fmt: skip
@show_options
@later_options
def create(name: str, replace: bool, schedules: tuple[str, ...], **parameters: Any) -> None:
    """Store a task, or replace the one of that name.

    \b
    tasks create -n app -c https://host/app.git#main -f acb.yaml
    tasks create -n web -c https://host/web.git -t web:{{.Run.ID}} -f Dockerfile
    tasks create -n app -c https://github.com/octo/app.git#main -f acb.yaml \\
        --commit-trigger-enabled true
    tasks create -n purge -c /dev/null --cmd 'acr purge --ago 30d' --schedule '0 4 * * *'
    """
    body, trigger = definition_of(parameters), source_trigger_of(parameters)
    if "source" not in body:
        raise click.UsageError("Missing option '-c' / '--context': where the sources are")
    if schedules:
        from tasks_service.cli.remote.timer import named_schedules

        body["timers"] = named_schedules(schedules)
    body = {key: value for key, value in body.items() if value is not None}
    with connect(parameters) as client:
        task = client.put_task(name, body | {"name": name}, new=not replace)
        set_source_trigger(client, name, trigger, body.get("gitToken"))
    print_task(task, parameters)


@click.command("update", epilog=EPILOG)
@task_name
@definition_options
@click.option("--unset", "unset", metavar="KEY", multiple=True,
              help="Forget a value of the task file. Repeatable.")  # fmt: skip
@click.option("--unset-arg", "unset_args", metavar="NAME", multiple=True,
              help="Forget a build argument. Repeatable.")  # fmt: skip
@source_trigger_options
@show_options
@later_options
def update(name: str, **parameters: Any) -> None:
    """Change parts of a stored task; what is not named stays as it is.

    --set, --arg and the like add to the stored ones or replace the one of the
    same name; --unset removes one.

    \b
    tasks update -n app --timeout 7200
    tasks update -n app --set-secret token --unset old
    """
    from tasks_service.errors import VersionMismatch

    trigger = source_trigger_of(parameters)
    with connect(parameters) as client:
        for last in (False, False, True):
            stored, version = client.task(name)
            changes = changes_of(parameters, stored)
            if not changes and trigger is None:
                raise click.UsageError("nothing to change was given")
            try:
                if changes:
                    stored = client.patch_task(name, changes, match=version)
            except VersionMismatch:
                # Somebody else changed it meanwhile: read it again.
                if last:
                    raise
                continue
            break
        set_source_trigger(client, name, trigger, changes.get("gitToken"))
    print_task(stored, parameters)


def changes_of(parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a merge patch: what the flags change of the stored task.

    Raises:
        click.UsageError: A flag can't be, alone or with this task.
    """
    given = dict(parameters)
    if stored.get("build") and given["file"] and given["file"] != "-":
        # The Dockerfile of a build, whatever its name ends in.
        body = definition_of(given | {"file": None}, source=str(stored.get("source") or ""))
        body["build"] = body.get("build", {}) | {"dockerfile": given["file"]}
    else:
        body = definition_of(given, source=str(stored.get("source") or ""))
    if body.get("build") and not stored.get("build") and "file" not in body:
        body = {"file": None, "content": None, "command": None} | body
    values = _merged(stored.get("values"), body.get("values"), given["unset"], "--unset")
    if values is not None:
        body["values"] = values
    build = body.get("build") or {}
    arguments = _merged(
        (stored.get("build") or {}).get("buildArgs"),
        build.get("buildArgs"),
        given["unset_args"],
        "--unset-arg",
    )
    if arguments is not None:
        body["build"] = build | {"buildArgs": arguments}
    return body


def _merged(
    stored: object, given: list[dict[str, Any]] | None, removed: tuple[str, ...], flag: str
) -> list[dict[str, Any]] | None:
    """Return the whole new list, or None if it stays. Stored secrets stay by their name."""
    if not given and not removed:
        return None
    old = [entry for entry in stored if isinstance(entry, dict)] if isinstance(stored, list) else []
    by_name = {str(entry.get("name")): dict(entry) for entry in old}
    for name in removed:
        if name not in by_name:
            raise click.UsageError(f"{flag} {name[:80]!r}: the task has no such")
        del by_name[name]
    for entry in given or ():
        by_name[entry["name"]] = entry
    return list(by_name.values())


@click.command("list", epilog=EPILOG)
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True,
              help="Only tasks with this label. Repeatable.")  # fmt: skip
@list_options
@later_options
def list_tasks(labels: tuple[str, ...], **parameters: Any) -> None:
    """List stored tasks."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    wanted = pairs(labels, "--label")
    columns = [
        Column("NAME", key("name")),
        Column("PLATFORM", key("platform")),
        Column("STATUS", key("status")),
        Column("SOURCE", key("source")),
        Column("DOES", _does),
        Column("TRIGGERS", lambda task: "TIMER" if task.get("timers") else ""),
        Column("LABELS", key("labels")),
    ]
    with connect(parameters) as client:
        items = [task for task in client.tasks() if has_labels(task, wanted)]
    print_list(items, columns, Form.of(parameters))


def has_labels(task: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return whether a task has all of these labels."""
    labels = task.get("labels")
    found = labels if isinstance(labels, dict) else {}
    return all(found.get(name) == value for name, value in wanted.items())


def _does(task: Mapping[str, Any]) -> str:
    if task.get("build"):
        return f"build {task['build'].get('dockerfile') or 'Dockerfile'}"
    if task.get("command"):
        return f"cmd {task['command']}"[:60]
    return "stored task file" if task.get("content") else str(task.get("file") or "acb.yaml")


@click.command("show", epilog=EPILOG)
@task_name
@click.option("--with-secure-properties", is_flag=True, hidden=True)
@show_options
@later_options
def show(name: str, with_secure_properties: bool, **parameters: Any) -> None:
    """Show a stored task. Secrets are named, their values never shown."""
    if with_secure_properties:
        raise click.UsageError(
            "--with-secure-properties: secrets are sealed, nobody can read them back"
        )
    with connect(parameters) as client:
        task, _ = client.task(name)
    print_task(task, parameters)


@click.command("delete", epilog=EPILOG)
@click.argument("names", nargs=-1, type=TaskName())
@click.option("-n", "--name", "named", multiple=True, metavar="NAME", type=TaskName(), hidden=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def delete(names: tuple[str, ...], named: tuple[str, ...], yes: bool, **parameters: Any) -> None:
    """Delete stored tasks and their secrets; their runs stay."""
    wanted = tuple(dict.fromkeys((*names, *named)))
    if not wanted:
        raise click.UsageError("Missing argument 'NAMES...'")
    ask(f"Delete {', '.join(wanted)}?", yes)
    with connect(parameters) as client:
        for_each(wanted, client.delete_task)


def ask(question: str, yes: bool) -> None:
    """Ask before something that can't be taken back.

    Raises:
        click.UsageError: There is nobody to ask.
        click.Abort: The answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Say -y: there is no terminal to ask on")
    click.confirm(question, abort=True, err=True)


def print_task(task: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Print one task as the options say."""
    from tasks_service.cli.remote.printing import Form, print_object

    print_object(task, _facts(), Form.of(parameters))


def _timers(task: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{timer.get('name')}: {timer.get('schedule')}"
        + ("" if timer.get("enabled", True) else " (disabled)")
        for timer in task.get("timers") or ()
    )


def _facts() -> list[Column]:
    from tasks_service.cli.remote.printing import Column, key

    def names(entries: object) -> str:
        if not isinstance(entries, list):
            return ""
        return ", ".join(
            f"{e.get('name')}=***" if e.get("secret") else f"{e.get('name')}={e.get('value')}"
            for e in entries
            if isinstance(e, dict)
        )

    def logins(task: Mapping[str, Any]) -> str:
        found = task.get("credentials")
        entries = found if isinstance(found, list) else []
        return ", ".join(str(e.get("registry")) for e in entries if isinstance(e, dict))

    return [
        Column("Name", key("name")),
        Column("Status", key("status")),
        Column("Source", key("source")),
        Column("Does", _does),
        Column("Images", key("build", "images")),
        Column("Push", key("build", "push")),
        Column("Build arguments", lambda task: names((task.get("build") or {}).get("buildArgs"))),
        Column("Values file", key("valuesFile")),
        Column("Values", lambda task: names(task.get("values"))),
        Column("Registry", key("registry")),
        Column("Logins", logins),
        Column("Platform", key("platform")),
        Column("Pool", key("pool")),
        Column("Timeout", lambda task: f"{task['timeout']} s" if task.get("timeout") else ""),
        Column("At once", lambda task: task.get("maxConcurrent") or ""),
        Column("Supersede", lambda task: "yes" if task.get("supersede") else ""),
        Column("Timers", _timers),
        Column("Labels", key("labels")),
        Column("Changed", key("updateTime")),
    ]
