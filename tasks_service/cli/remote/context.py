"""``tasks context``: named servers of the user, with their tokens."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.flags import LIST_FORMS

if TYPE_CHECKING:
    from tasks_service.cli.remote.profiles import Context

_TOKEN_LIMIT = 4096


@click.group("context", epilog=EPILOG)
def command() -> None:
    """Name servers, and choose the one that commands ask.

    They are kept in $XDG_CONFIG_HOME/tasks/config.toml, readable by you only.
    A project may name its server in a .tasks.toml (server = "https://…"), which
    works for those who have a context for that address.
    """


@command.command("add", epilog=EPILOG)
@click.argument("name")
@click.argument("url")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--ca-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
              help="Certificate authorities besides the system's, PEM.")  # fmt: skip
@click.option("--allow-http", is_flag=True, help="Send the token over plain http.")
@click.option("--use", is_flag=True, help="Use it from now on (the first one always is).")
@click.option("--no-check", is_flag=True, help="Do not ask the server whether the token is good.")
def add(
    name: str,
    url: str,
    token_stdin: bool,
    ca_file: str | None,
    allow_http: bool,
    use: bool,
    no_check: bool,
) -> None:
    """Add the server at URL as context NAME, or replace it.

    The token is read from TASKS_TOKEN, from standard input, or asked for.

    \b
    tasks context add team https://tasks.example.com
    tasks context add local http://127.0.0.1:8080 --token-stdin < token
    """
    from runners.model.errors import InvalidInput
    from tasks_service.cli.remote.printing import say
    from tasks_service.cli.remote.profiles import CONTEXT_NAME, Context, Profiles
    from tasks_service.client.address import parse_server

    if not CONTEXT_NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:60]!r} can't name a context",
            hint="use letters, digits, '-', '_' and '.', at most 50",
        )
    profiles = Profiles.load(os.environ)
    address = parse_server(url, allow_http=allow_http, what="URL")
    ca_path = str(Path(ca_file).absolute()) if ca_file else ""
    context = Context(name, address, _token(token_stdin), ca_path, allow_http)
    role = "" if no_check else _role(context)
    profiles.with_context(context, use=use).save()
    say(f"context {name} added{role}")


def _token(from_stdin: bool) -> str:
    from runners.model.errors import InvalidInput

    if from_stdin:
        token = sys.stdin.read(_TOKEN_LIMIT).strip()
    elif os.environ.get("TASKS_TOKEN"):
        token = os.environ["TASKS_TOKEN"].strip()
    elif sys.stdin.isatty():
        token = str(click.prompt("Token", hide_input=True, err=True)).strip()
    else:
        raise InvalidInput(
            "there is no token", hint="set TASKS_TOKEN, or give it by --token-stdin < FILE"
        )
    if not token or any(not "!" <= character <= "~" for character in token):
        raise InvalidInput("the token is empty or holds characters that no token has")
    return token


def _role(context: Context) -> str:
    from tasks_service.client.service import ServiceClient

    with ServiceClient(context.as_server()) as client:
        found = client.whoami()
    name, role = found.get("name") or found.get("id"), found.get("role")
    return f": token {name}, role {role}"


@command.command("use", epilog=EPILOG)
@click.argument("name")
def use(name: str) -> None:
    """Ask the server of context NAME from now on."""
    from dataclasses import replace

    from tasks_service.cli.remote.profiles import Profiles

    profiles = Profiles.load(os.environ)
    replace(profiles, current=profiles.get(name).name).save()


@command.command("remove", epilog=EPILOG)
@click.argument("name")
def remove(name: str) -> None:
    """Forget context NAME and its token. The token itself stays good: see `tasks token revoke`."""
    from tasks_service.cli.remote.profiles import Profiles

    Profiles.load(os.environ).without(name).save()


@command.command("list", epilog=EPILOG)
@click.option("-o", "--output", type=click.Choice(LIST_FORMS), default="table", show_default=True)
@click.option("--no-headers", is_flag=True, help="Leave out the line of names.")
def list_contexts(output: str, no_headers: bool) -> None:
    """List all contexts; the one in use is marked. Tokens are not shown."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list
    from tasks_service.cli.remote.profiles import Profiles

    profiles = Profiles.load(os.environ)
    items = [
        {
            "name": context.name,
            "server": context.server,
            "current": context.name == profiles.current,
            "hasToken": bool(context.token),
            "caFile": context.ca_file or None,
        }
        for context in profiles.contexts.values()
    ]
    columns = [
        Column("CURRENT", lambda item: "*" if item["current"] else ""),
        Column("NAME", key("name")),
        Column("SERVER", key("server")),
        Column("TOKEN", key("hasToken")),
    ]
    print_list(items, columns, Form(output, not no_headers))
