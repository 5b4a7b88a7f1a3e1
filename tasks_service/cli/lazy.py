"""Groups of commands whose modules are imported when they are called.

In: a table of topics. Out: a click group whose help is fast, however many
commands there are, and shows them by topic.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import click

Topics = Mapping[str, Mapping[str, tuple[str, str]]]
"""Topic → command → its place (``module`` or ``module:attribute``) and its line of help."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called.

    Args:
        topics: Its commands. An attribute left out is ``command``; a command
            whose module is missing is left out.
    """

    def __init__(self, *args: Any, topics: Topics, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.topics = topics

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's name
        """Return the names of the commands whose module is there, in table order."""
        return [
            name
            for commands in self.topics.values()
            for name, (place, _) in commands.items()
            if _exists(place)
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's name
        """Import and return a command, or None if there is no such."""
        for commands in self.topics.values():
            place = commands.get(cmd_name, ("", ""))[0]
            if place and _exists(place):
                return _load(place)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table's lines by topic: no command is imported for them."""
        there = set(self.list_commands(ctx))
        for topic, commands in self.topics.items():
            lines = [(name, text) for name, (_, text) in commands.items() if name in there]
            if lines:
                with formatter.section(topic):
                    formatter.write_dl(lines)


def _load(place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute or "command")
    assert isinstance(command, click.Command)  # noqa: S101 - the rule for modules here
    return command


def _exists(place: str) -> bool:
    try:
        return importlib.util.find_spec(place.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False
