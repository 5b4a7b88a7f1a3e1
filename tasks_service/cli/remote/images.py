"""``tasks why``, ``graph``, ``impact`` and ``stale``: who stands on whom, and what follows."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, server_option, show_options

STALE = 1
"""Exit code of ``tasks stale`` where something is stale."""


@click.command("why", epilog=EPILOG)
@click.argument("image")
@show_options
def why(image: str, **parameters: Any) -> None:
    """Tell why IMAGE was rebuilt last, back to the first cause, or why it was not."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_object

    with connect(parameters) as client:
        found = client.about_image("why", image)
    facts = [
        Column("Image", key("reference")),
        Column("Task", key("task")),
        Column("Verdict", key("verdict")),
        Column("Reason", key("reason")),
    ]
    lines = [_link(number, link) for number, link in enumerate(found.get("chain") or [])]
    print_object(found, facts, Form.of(parameters), name="verdict", more="\n".join(lines))


def _link(depth: int, link: Mapping[str, Any]) -> str:
    from tasks_service.cli.remote.printing import cell

    head = f"{'   ' * depth}{cell(link.get('task'))}: run {cell(link.get('run'))}"
    head += f" {cell(link.get('status'))} {cell(link.get('time'))}"
    if link.get("image"):
        moved = f"{_short(link.get('old'))} -> {_short(link.get('new'))}"
        return f"{head}\n{'   ' * depth}└─ {cell(link['image'])} moved, {moved}"
    return f"{head}\n{'   ' * depth}└─ {cell(link.get('cause'))} by {cell(link.get('actor'))}"


def _short(digest: object) -> str:
    from tasks_service.cli.remote.printing import cell

    return cell(digest).removeprefix("sha256:")[:12] or "?"


@click.command("graph", epilog=EPILOG)
@click.argument("image", default="")
@click.option("-o", "--output", type=click.Choice(("tree", "json", "mermaid", "svg")),
              default="tree", show_default=True, help="How to print.")  # fmt: skip
@server_option
def graph(image: str, output: str, **parameters: Any) -> None:
    """Show which images stand on which: all of them, or those around IMAGE."""
    from tasks_service.cli.output import Writer
    from tasks_service.cli.remote import image_pictures as pictures

    with connect(parameters) as client:
        found = client.about_image("graph", image)
    drawn = {
        "json": lambda body: json.dumps(body, indent=2, ensure_ascii=False) + "\n",
        "tree": pictures.tree,
        "mermaid": pictures.mermaid,
        "svg": pictures.svg,
    }[output](found)
    Writer(sys.stdout).write(drawn)


@click.command("impact", epilog=EPILOG)
@click.argument("image")
@list_options
def impact(image: str, **parameters: Any) -> None:
    """Show what would be rebuilt if IMAGE moved, in order, what not, and why; nothing happens."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list, say

    with connect(parameters) as client:
        found = client.about_image("impact", image)
    later = found.get("later") or {}
    columns = [
        Column("ORDER", key("position")),
        Column("TASK", key("task")),
        Column("AFTER", key("parents")),
        Column("HELD", lambda one: later.get(one.get("task")) or ""),
    ]
    print_list(found.get("members") or [], columns, Form.of(parameters), name="task")
    for task, path in (found.get("refused") or {}).items():
        say(f"{task} is refused: {' -> '.join(path)} is a circle")
    for task, reason in (found.get("held") or {}).items():
        say(f"{task} is left alone: {reason}")
    if words := later.get(found.get("reference")):
        say(str(words))
    seconds = found.get("expectedSeconds")
    if found.get("members") and seconds is not None:
        say(f"about {seconds:.0f} s with workers enough")


@click.command("stale", epilog=EPILOG)
@list_options
def stale(**parameters: Any) -> int:
    """List tasks that stand on something older than there is; exit code 1 if there are any."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    with connect(parameters) as client:
        items = list(client.stale())
    columns = [
        Column("TASK", key("task")),
        Column("STANDS ON", lambda item: [edge.get("reference") for edge in item["edges"]]),
        Column("SINCE RUN", lambda item: item["edges"][0].get("run")),
    ]
    print_list(items, columns, Form.of(parameters), name="task")
    return STALE if items else 0
