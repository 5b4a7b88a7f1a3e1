"""Options that commands against a server share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tasks_service.client.address import Server

F = TypeVar("F", bound=Callable[..., Any])

LIST_FORMS = ("table", "json", "yaml", "tsv", "name")
_AGO = re.compile(r"(\d{1,9})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def server_option(function: F) -> F:
    """Add ``--server``."""
    return click.option(
        "--server",
        metavar="URL|CONTEXT",
        help="Server to ask: an address, or the name of a context.",
    )(function)


def list_options(function: F) -> F:
    """Add what a list takes: the server, the form, and whether columns have names."""
    function = click.option("--no-headers", is_flag=True, help="Leave out the line of names.")(
        function
    )
    function = click.option(
        "-o",
        "--output",
        type=click.Choice(LIST_FORMS),
        default="table",
        show_default=True,
        help="How to print.",
    )(function)
    return server_option(function)


def show_options(function: F) -> F:
    """Add what a command takes that prints one object."""
    function = click.option(
        "-o",
        "--output",
        type=click.Choice(("table", "json", "yaml", "name")),
        default="table",
        show_default=True,
        help="How to print.",
    )(function)
    return server_option(function)


def waiting_options(function: F) -> F:
    """Add what a command takes that starts a run on a server."""
    options = (
        click.option("--no-wait", "--async", "no_wait", is_flag=True,
                     help="Only start it; print its id."),
        click.option("--cancel-on-interrupt", is_flag=True,
                     help="Ctrl-C cancels the run instead of the watching."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def pool_option(function: F) -> F:
    """Add the choice of workers."""
    return click.option(
        "--pool", "--agent-pool", "pool", metavar="NAME", help="Workers that take the run."
    )(function)


def server_or_here(function: F) -> F:
    """Add what ``tasks run`` and ``tasks build`` take for a server, and ``--local``."""
    function = click.option(
        "--local", is_flag=True, help="Run here, even where a server is configured."
    )(function)
    return server_option(waiting_options(pool_option(function)))


def chosen_server(parameters: Mapping[str, Any]) -> Server | None:
    """Return the server that shall run it, or None for this machine.

    Raises:
        click.UsageError: Flags of a server without one.
        InvalidInput, NotFound: What names the server is wrong.
    """
    from tasks_service.cli.remote.connection import find_server

    if parameters["local"] and parameters["server"]:
        raise click.UsageError("--local excludes --server")
    server = None
    if not parameters["local"]:
        server = find_server(parameters["server"] or "", os.environ, Path.cwd())
    if server is None:
        for name in ("no_wait", "cancel_on_interrupt", "pool"):
            if parameters[name]:
                flag = "--" + name.replace("_", "-")
                raise click.UsageError(f"{flag} needs a server: `tasks context add NAME URL`")
    return server


class Moment(click.ParamType[str]):
    """A time as RFC 3339, a date, or so long ago (``90s``, ``15m``, ``2h``, ``3d``, ``1w``)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as RFC 3339 in UTC."""
        text = str(value).strip()
        ago = _AGO.fullmatch(text)
        try:
            if ago:
                moment = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
            else:
                moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(
                f"{text[:40]!r} is not a time: write 2h, 3d or 2026-01-31T12:00:00Z", param, ctx
            )
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """Return ``KEY=VALUE`` texts as a mapping; a later one wins.

    Raises:
        click.UsageError: One has no ``=`` or no key.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{flag} {text[:80]!r} is not KEY=VALUE")
        found[key] = value
    return found
