"""``tasks notification``: who is told how runs end."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, server_option, show_options

URL_VARIABLE = "TASKS_NOTIFICATION_URL"


@click.group("notification", epilog=EPILOG)
def command() -> None:
    """Tell others how runs end: webhooks and Slack (needs the role admin)."""


@command.command("add", epilog=EPILOG)
@click.argument("name")
@click.option("--kind", type=click.Choice(["webhook", "slack"]), default="webhook",
              show_default=True, help="What the receiver understands.")  # fmt: skip
@click.option("--url", metavar="URL|-", help="Where to; - reads standard input.")
@click.option("--event", "events", type=click.Choice(["finished", "failed", "recovered"]),
              multiple=True, help="What to tell; failed and recovered if left out.")  # fmt: skip
@click.option("--task", "tasks", metavar="GLOB", multiple=True,
              help="Only of tasks whose name matches. Repeatable.")  # fmt: skip
@show_options
def add(
    name: str, kind: str, url: str | None, events: tuple[str, ...], tasks: tuple[str, ...],
    **parameters: Any,
) -> None:  # fmt: skip
    """Add a receiver; for a webhook its signing secret is printed, this once.

    A URL that is a secret itself, as Slack's, comes from standard input or
    from TASKS_NOTIFICATION_URL.

    \b
    tasks notification add ops --url https://ops.example/hook
    tasks notification add chat --kind slack --url - < url-file
    """
    from tasks_service.cli.options import read_standard_input
    from tasks_service.cli.remote.printing import Column, Form, key, print_object

    if url == "-":
        url = read_standard_input(4096, "the URL").decode(errors="replace").strip()
    url = url or os.environ.get(URL_VARIABLE, "")
    if not url:
        raise click.UsageError(f"there is no URL: give --url, or set {URL_VARIABLE}")
    body: dict[str, Any] = {"kind": kind, "url": url}
    if events:
        body["events"] = list(dict.fromkeys(events))
    if tasks:
        body["tasks"] = list(tasks)
    with connect(parameters) as client:
        made = client.add_notification(name, body)
    facts = [
        Column("Name", key("name")),
        Column("Kind", key("kind")),
        Column("Host", key("host")),
        Column("Events", key("events")),
        Column("Tasks", key("tasks")),
        Column("Secret", key("secret")),
    ]
    print_object(made, facts, Form.of(parameters))


@command.command("list", epilog=EPILOG)
@list_options
def list_notifications(**parameters: Any) -> None:
    """List who is told. URLs and secrets are never shown."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.notifications())
    columns = [
        Column("NAME", key("name")),
        Column("KIND", key("kind")),
        Column("HOST", key("host")),
        Column("EVENTS", key("events")),
        Column("TASKS", lambda one: one.get("tasks") or "all"),
    ]
    print_list(items, columns, Form.of(parameters))


@command.command("remove", epilog=EPILOG)
@click.argument("name")
@server_option
def remove(name: str, **parameters: Any) -> None:
    """Remove a receiver and its deliveries."""
    with connect(parameters) as client:
        client.delete_notification(name)


@command.command("deliveries", epilog=EPILOG)
@click.argument("name")
@click.option("--status", type=click.Choice(["waiting", "delivered", "dead"]), help="Only these.")
@list_options
def deliveries(name: str, status: str | None, **parameters: Any) -> None:
    """List the newest messages to a receiver: delivered, waiting, or dead and why."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.deliveries(name, {"status": status} if status else {}))
    columns = [
        Column("ID", key("id")),
        Column("RUN", key("run")),
        Column("EVENT", key("event")),
        Column("STATUS", key("status")),
        Column("TRIES", key("attempts")),
        Column("NEXT", key("at")),
        Column("PROBLEM", key("problem")),
    ]
    print_list(items, columns, Form.of(parameters), name="id")


@command.command("redeliver", epilog=EPILOG)
@click.argument("name")
@click.argument("delivery")
@server_option
def redeliver(name: str, delivery: str, **parameters: Any) -> None:
    """Try a message again from the start, also a dead or delivered one."""
    with connect(parameters) as client:
        client.redeliver(name, delivery)
    sys.stderr.write(f"{delivery} is sent again\n")
