"""``tasks token``: who may ask the server, and for what."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, server_option

_LIFE = re.compile(r"(\d{1,6})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


@click.group("token", epilog=EPILOG)
def command() -> None:
    """Create, list and revoke API tokens (needs the role admin)."""


@command.command("create", epilog=EPILOG)
@click.argument("name", required=False)
@click.option("-n", "--name", "named", metavar="NAME", hidden=True)
@click.option("--role", type=click.Choice(["reader", "runner", "author", "admin"]),
              default="runner", show_default=True, help="What it may do.")  # fmt: skip
@click.option("--task", "tasks", metavar="GLOB", multiple=True,
              help="Only for tasks whose name matches, and no quick runs. Repeatable.")  # fmt: skip
@click.option("--expires", metavar="TIME", help="When it ends: 12h, 90d, 52w, a date. Never if"
              " left out.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text",
              show_default=True, help="How to print.")  # fmt: skip
@server_option
def create(
    name: str | None,
    named: str | None,
    role: str,
    tasks: tuple[str, ...],
    expires: str | None,
    output: str,
    **parameters: Any,
) -> None:
    """Create a token and print it. It is shown this once: nobody can read it again.

    Readers see; runners start and cancel runs; authors write tasks and their
    secrets; admins manage tokens and see the audit log.

    \b
    tasks token create ci --role runner --task 'app-*' --expires 90d
    """
    from tasks_service.cli.output import Writer
    from tasks_service.cli.remote.printing import Form, print_object, say

    if not (name or named):
        raise click.UsageError("Missing argument 'NAME': what the token is for")
    body: dict[str, Any] = {"name": name or named, "role": role}
    if tasks:
        body["tasks"] = list(tasks)
    if expires is not None:
        body["expires"] = _moment(expires)
    with connect(parameters) as client:
        token = client.create_token(body)
    if output == "text":
        Writer(sys.stdout).write(f"{token.get('token', '')}\n")
        say(f"token {token.get('id')} created, role {token.get('role')}; it is shown only now")
    else:
        print_object(token, (), Form(output))


def _moment(text: str) -> str:
    life = _LIFE.fullmatch(text.strip())
    try:
        if life:
            moment = datetime.now(UTC) + timedelta(hours=int(life[1]) * _HOURS[life[2]])
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"--expires {text[:40]!r} is not a time: write 12h, 90d or 2027-01-31"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise click.UsageError(f"--expires {text[:40]!r} is over already")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@command.command("list", epilog=EPILOG)
@list_options
def list_tokens(**parameters: Any) -> None:
    """List tokens: what they may do, when they end, when they were used last."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("ID", key("id")),
        Column("NAME", key("name")),
        Column("ROLE", key("role")),
        Column("TASKS", lambda token: token.get("tasks") or "all"),
        Column("EXPIRES", lambda token: token.get("expires") or "never"),
        Column("LAST USED", key("lastUsed")),
        Column("REVOKED", lambda token: "yes" if token.get("revoked") else ""),
    ]
    with connect(parameters) as client:
        items = list(client.tokens())
    print_list(items, columns, Form.of(parameters), name="id")


@command.command("revoke", epilog=EPILOG)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@server_option
def revoke(ids: tuple[str, ...], **parameters: Any) -> None:
    """End tokens at once. ID is what `tasks token list` shows."""
    with connect(parameters) as client:
        for token_id in dict.fromkeys(ids):
            client.revoke_token(token_id)
