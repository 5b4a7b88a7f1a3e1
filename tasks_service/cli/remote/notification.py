"""``tasks notification``: who is told how runs end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG, FAILED, OK
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, server_option, show_options

URL_VARIABLE = "TASKS_NOTIFICATION_URL"
TEST_PATIENCE_S = 30.0
PASSWORD_VARIABLE = "TASKS_NOTIFICATION_PASSWORD"  # noqa: S105 - a variable's name


@click.group("notification", epilog=EPILOG)
def command() -> None:
    """Tell others how runs end: webhooks, Slack, e-mail (needs the role admin)."""


@command.command("add", epilog=EPILOG)
@click.argument("name")
@click.option("--kind", type=click.Choice(["webhook", "slack", "email"]), default="webhook",
              show_default=True, help="What the receiver understands.")  # fmt: skip
@click.option("--url", metavar="URL|-", help="Where to; - reads standard input. For e-mail the"
              " mail server: smtps://host or smtp://host.")  # fmt: skip
@click.option("--event", "events",
              type=click.Choice(["finished", "failed", "recovered", "approval"]),
              multiple=True, help="What to tell; failed and recovered if left out.")  # fmt: skip
@click.option("--task", "tasks", metavar="GLOB", multiple=True,
              help="Only of tasks whose name matches. Repeatable.")  # fmt: skip
@click.option("--to", metavar="ADDRESS", multiple=True, help="E-mail: to whom. Repeatable.")
@click.option("--from", "sender", metavar="ADDRESS", help="E-mail: from whom.")
@click.option("-u", "--username", metavar="NAME", help="E-mail: login at the mail server.")
@click.option("--password-stdin", is_flag=True,
              help="Read the login's password from standard input.")  # fmt: skip
@show_options
def add(name: str, url: str | None, **parameters: Any) -> None:
    """Add a receiver; for a webhook its signing secret is printed, this once.

    A URL that is a secret itself, as Slack's, comes from standard input or
    from TASKS_NOTIFICATION_URL; the password of a mail server from standard
    input (--password-stdin), from TASKS_NOTIFICATION_PASSWORD, or it is asked for.

    \b
    tasks notification add ops --url https://ops.example/hook
    tasks notification add chat --kind slack --url - < url-file
    tasks notification add mail --kind email --url smtps://mail.example \\
        --from tasks@example.com --to ops@example.com -u tasks --password-stdin < file
    """
    from tasks_service.cli.options import read_standard_input
    from tasks_service.cli.remote.printing import Column, Form, key, print_object

    if url == "-" and parameters["password_stdin"]:
        raise click.UsageError("standard input holds the URL or the password, not both")
    if url == "-":
        url = read_standard_input(4096, "the URL").decode(errors="replace").strip()
    url = url or os.environ.get(URL_VARIABLE, "")
    if not url:
        raise click.UsageError(f"there is no URL: give --url, or set {URL_VARIABLE}")
    body = {"url": url, **_body(parameters)}
    with connect(parameters) as client:
        made = client.add_notification(name, body)
    facts = [
        Column("Name", key("name")),
        Column("Kind", key("kind")),
        Column("Where", key("host")),
        Column("Events", key("events")),
        Column("Tasks", key("tasks")),
        Column("Secret", key("secret")),
    ]
    print_object(made, facts, Form.of(parameters))


def _body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": parameters["kind"]}
    for name in ("events", "tasks", "to"):
        if parameters[name]:
            body[name] = list(dict.fromkeys(parameters[name]))
    if parameters["sender"]:
        body["from"] = parameters["sender"]
    if parameters["username"]:
        body["username"] = parameters["username"]
        body["password"] = _password(from_input=parameters["password_stdin"])
    elif parameters["password_stdin"]:
        raise click.UsageError("--password-stdin needs --username")
    return body


def _password(*, from_input: bool) -> str:
    from tasks_service.cli.options import read_standard_input

    if from_input:
        return read_standard_input(4096, "the password").decode(errors="replace").rstrip("\r\n")
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"there is no password: give --password-stdin, or set {PASSWORD_VARIABLE}"
        )
    return str(click.prompt("Password", hide_input=True, err=True))


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
        Column("WHERE", key("host")),
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


@command.command("test", epilog=EPILOG)
@click.argument("name")
@server_option
def send_test(name: str, **parameters: Any) -> int:
    """Send a test message and tell whether it was taken; exit code 1 if it was not."""
    import time

    from tasks_service.cli.remote.printing import cell, say

    with connect(parameters) as client:
        found = client.test_notification(name)
        deadline = time.monotonic() + TEST_PATIENCE_S
        while not _settled(found) and time.monotonic() < deadline:
            time.sleep(0.3)
            found = next(
                (one for one in client.deliveries(name, {}) if one.get("id") == found["id"]), found
            )
    if found.get("status") == "delivered":
        say(f"{cell(found['id'])} was taken (answer {cell(found.get('code'))})")
        return OK
    problem = found.get("problem") or "it is not sent yet: does a scheduler run?"
    say(f"{cell(found['id'])} was not taken: {cell(problem)}")
    return FAILED


def _settled(delivery: Mapping[str, Any]) -> bool:
    return delivery.get("status") != "waiting" or bool(delivery.get("problem"))


@command.command("redeliver", epilog=EPILOG)
@click.argument("name")
@click.argument("delivery")
@server_option
def redeliver(name: str, delivery: str, **parameters: Any) -> None:
    """Try a message again from the start, also a dead or delivered one."""
    with connect(parameters) as client:
        client.redeliver(name, delivery)
    sys.stderr.write(f"{delivery} is sent again\n")
