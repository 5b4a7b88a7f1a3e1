"""``tasks credential``: a task's logins of registries; passwords never in argv."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import parse_registry, read_standard_input
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import TaskName

PASSWORD_VARIABLE = "TASKS_CREDENTIAL_PASSWORD"  # noqa: S105 - a variable's name


@click.group("credential", epilog=EPILOG)
def command() -> None:
    """Give a stored task logins of registries beside the server's own."""


def _common(function: Any) -> Any:
    options = (
        click.option("-n", "--name", "task", metavar="TASK", required=True, type=TaskName(),
                     help="The task."),
        click.option("--login-server", "--registry-host", "registry", metavar="HOST",
                     required=True, help="The registry: host or host:port."),
        click.option("-u", "--username", metavar="NAME", required=True, help="User name."),
        click.option("--password-stdin", is_flag=True,
                     help="Read the password from standard input."),
        click.option("-p", "--password", metavar="-", hidden=True),
        click.option("--use-identity", hidden=True),
        click.option("--server", metavar="URL|CONTEXT", help="Server to ask."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return later_options(function)


@command.command("add", epilog=EPILOG)
@_common
def add(**parameters: Any) -> None:
    """Add a login of a registry. One that is there already is not replaced.

    The password is read from standard input (--password-stdin), from the
    environment variable TASKS_CREDENTIAL_PASSWORD, or asked for.

    \b
    tasks credential add -n app --login-server ghcr.io -u me --password-stdin < token
    """
    from tasks_service.errors import Conflict

    registry = _checked(parameters)
    with connect(parameters) as client:
        if registry in _registries(client, parameters["task"]):
            raise Conflict(
                f"Login server '{registry}' already exists. You cannot add it again.",
                hint="`tasks credential update` replaces it",
            )
        _put(client, registry, parameters)


@command.command("update", epilog=EPILOG)
@_common
def update(**parameters: Any) -> None:
    """Replace a login of a registry. The password is read as by `add`."""
    from tasks_service.errors import NotFound

    registry = _checked(parameters)
    with connect(parameters) as client:
        known = _registries(client, parameters["task"])
        if registry not in known:
            raise NotFound(
                f"Login server '{registry}' not found.",
                hint=f"known: {', '.join(known) or 'none yet'}",
            )
        _put(client, registry, parameters)


@command.command("remove", epilog=EPILOG)
@click.option("-n", "--name", "task", metavar="TASK", required=True, type=TaskName(),
              help="The task.")  # fmt: skip
@click.option("--login-server", "--registry-host", "registry", metavar="HOST", required=True,
              help="The registry.")  # fmt: skip
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def remove(task: str, registry: str, **parameters: Any) -> None:
    """Forget a login of a registry."""
    host = parse_registry(registry, "--login-server")
    with connect(parameters) as client:
        client.delete_credential(task, host)


@command.command("list", epilog=EPILOG)
@click.option("-n", "--name", "task", metavar="TASK", required=True, type=TaskName(),
              help="The task.")  # fmt: skip
@list_options
@later_options
def list_credentials(task: str, **parameters: Any) -> None:
    """List the registries a task has logins of. Passwords are never shown."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.credentials(task))
    columns = [Column("LOGIN SERVER", key("registry")), Column("USERNAME", key("username"))]
    print_list(items, columns, Form.of(parameters), name="registry")


def _checked(parameters: dict[str, Any]) -> str:
    if parameters["use_identity"] is not None:
        raise click.UsageError("--use-identity belongs to Azure: give a user name and a password")
    return str(parse_registry(parameters["registry"], "--login-server"))


def _registries(client: Any, task: str) -> list[str]:
    return [str(item.get("registry")) for item in client.credentials(task)]


def _put(client: Any, registry: str, parameters: dict[str, Any]) -> None:
    password = _password(parameters)
    client.put_credential(parameters["task"], registry, parameters["username"], password)


def _password(parameters: dict[str, Any]) -> str:
    given = parameters["password"]
    if parameters["password_stdin"] or given == "-":
        data = read_standard_input(64 * 1024, "the password")
        password = data.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    elif given is not None:
        sys.stderr.write(
            "warning: others on this machine can see --password: use --password-stdin\n"
        )
        password = str(given)
    elif os.environ.get(PASSWORD_VARIABLE):
        password = os.environ[PASSWORD_VARIABLE]
    elif sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, err=True))
    else:
        raise click.UsageError(
            f"there is no password: give --password-stdin < FILE, or set {PASSWORD_VARIABLE}"
        )
    if not password:
        raise click.UsageError("the password is empty")
    return password
