"""Options that commands against a server share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

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
