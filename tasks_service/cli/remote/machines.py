"""``tasks workers``, ``tasks pools`` and ``tasks audit``: what the server sees."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import Moment, list_options


@click.command("workers", epilog=EPILOG)
@list_options
def workers(**parameters: Any) -> None:
    """List workers: where they are, how many runs they take, when they were seen last."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("ID", key("id")),
        Column("POOL", key("pool")),
        Column("HOST", key("host")),
        Column("RUNS", lambda item: f"{item.get('active', 0)}/{item.get('concurrency', '?')}"),
        Column("SEEN", key("seen")),
        Column("DRAINING", lambda item: "yes" if item.get("draining") else ""),
    ]
    with connect(parameters) as client:
        items = list(client.workers())
    print_list(items, columns, Form.of(parameters), name="id")


@click.command("pools", epilog=EPILOG)
@list_options
def pools(**parameters: Any) -> None:
    """List pools: their workers, what they run, what waits for them."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("NAME", key("name")),
        Column("WORKERS", key("workers")),
        Column("SLOTS", key("concurrency")),
        Column("RUNNING", key("active")),
        Column("QUEUED", key("queued")),
    ]
    with connect(parameters) as client:
        items = list(client.pools())
    print_list(items, columns, Form.of(parameters))


@click.command("audit", epilog=EPILOG)
@click.option("--actor", metavar="NAME", help="Changes by this token.")
@click.option("--action", metavar="ACTION", help="Changes of this kind, such as task.create.")
@click.option("--object", "thing", metavar="[KIND/]NAME",
              help="Changes of this task, run or token.")  # fmt: skip
@click.option("--since", type=Moment(), metavar="TIME", help="At or after: 2h, 3d, a date.")
@click.option("--until", type=Moment(), metavar="TIME", help="Before.")
@click.option("--limit", "--top", type=click.IntRange(1, 1_000_000), default=50, metavar="N",
              show_default=True, help="At most so many.")  # fmt: skip
@list_options
def audit(thing: str | None, limit: int, **parameters: Any) -> None:
    """List changes, newest first: who did what, when (needs the role admin)."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("TIME", key("time")),
        Column("ACTOR", key("actor")),
        Column("ACTION", key("action")),
        Column("OBJECT", key("object")),
        Column("DETAIL", key("detail")),
    ]
    with connect(parameters) as client:
        # The server knows them by kind and name: tasks/app.
        things = [thing or ""] if not thing or "/" in thing else [f"{k}/{thing}" for k in _KINDS]
        lists = [
            _entries(client.audit({"object": one, "actor": parameters["actor"] or ""}), parameters)
            for one in things
        ]
        found = heapq.merge(*lists, key=lambda entry: int(entry.get("number") or 0), reverse=True)
        items = list(islice(found, limit))
    print_list(items, columns, Form.of(parameters), name="number")


_KINDS = ("tasks", "runs", "tokens")


def _entries(
    entries: Iterable[Mapping[str, Any]], parameters: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Yield those of the wanted kind and time. Newest come first: nothing after the oldest."""
    since, until, action = (parameters[name] for name in ("since", "until", "action"))
    for entry in entries:
        # Times of the same form compare as text.
        time = str(entry.get("time") or "")
        if since and time < since:
            return
        if (not until or time < until) and action in (None, entry.get("action")):
            yield entry
