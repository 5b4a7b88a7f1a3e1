"""``tasks watch`` and ``tasks waves``: what is looked after, and what followed."""

from __future__ import annotations

import sys
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import list_options, server_option, show_options


@click.group("watch", epilog=EPILOG)
def watch() -> None:
    """Look at watched references; have all asked for now."""


@watch.command("list", epilog=EPILOG)
@list_options
def list_watches(**parameters: Any) -> None:
    """List watched references: digest, when and how it was checked, what is blind."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("REFERENCE", key("reference")),
        Column("DIGEST", lambda item: str(item.get("digest") or "?")[:19]),
        Column("CHECKED", key("checkTime")),
        Column("CHANGED", key("changeTime")),
        Column("VIA", key("via")),
        Column("STATE", _state),
    ]
    with connect(parameters) as client:
        items = list(client.watches())
    print_list(items, columns, Form.of(parameters), name="reference")


def _state(item: Any) -> str:
    if item.get("blind"):
        return f"blind: {item.get('error')}"
    return str(item.get("error") or "ok")


@watch.command("sweep", epilog=EPILOG)
@server_option
def sweep(**parameters: Any) -> None:
    """Have the registry of every watched reference asked now."""
    with connect(parameters) as client:
        client.sweep()


@click.group("waves", epilog=EPILOG)
def waves() -> None:
    """List, show, pause, resume and cancel waves of rebuilds."""


@waves.command("list", epilog=EPILOG)
@click.option("--limit", "--top", type=click.IntRange(1, 100_000), default=50, metavar="N",
              show_default=True, help="At most so many.")  # fmt: skip
@list_options
def list_waves(limit: int, **parameters: Any) -> None:
    """List waves, newest first."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    columns = [
        Column("NUMBER", key("number")),
        Column("STATUS", key("status")),
        Column("CREATED", key("createTime")),
        Column("FINISHED", key("finishTime")),
        Column("TASKS", lambda item: len(item.get("members") or [])),
        Column("MOVED", lambda item: [c.get("reference") for c in item.get("changes") or []]),
    ]
    with connect(parameters) as client:
        items = list(client.waves(limit))
    print_list(items, columns, Form.of(parameters), name="number")


@waves.command("show", epilog=EPILOG)
@click.argument("number", type=click.IntRange(1))
@click.option("-o", "--output", default="table", show_default=True, help="How to print.",
              type=click.Choice(("table", "json", "yaml", "name", "svg", "mermaid")))  # fmt: skip
@server_option
def show_wave(number: int, **parameters: Any) -> None:
    """Show a wave: what moved, and each task in order."""
    with connect(parameters) as client:
        found = client.wave(number)
    if parameters["output"] in ("svg", "mermaid"):
        from tasks_service.cli.output import Writer
        from tasks_service.cli.remote.wave_pictures import wave_mermaid, wave_svg

        drawn = wave_svg(found) if parameters["output"] == "svg" else wave_mermaid(found)
        Writer(sys.stdout).write(drawn)
        return
    _print(found, parameters)


def _print(wave: Any, parameters: Any) -> None:
    from tasks_service.cli.remote.printing import (
        Column,
        Form,
        cell,
        columns_text,
        key,
        print_object,
    )

    facts = [
        Column("Wave", key("number")),
        Column("Status", key("status")),
        Column("Reason", key("reason")),
        Column("Created", key("createTime")),
        Column("Finished", key("finishTime")),
        Column("Moved", lambda item: [c.get("reference") for c in item.get("changes") or []]),
        Column("Refused", lambda item: [" -> ".join(p) for p in item["refused"].values()]),
    ]
    rows = [["ORDER", "TASK", "STATUS", "RUN", "AFTER", "REASON"]]
    rows += [
        [cell(m.get(name)) for name in ("position", "task", "status", "run", "parents", "reason")]
        for m in wave.get("members") or []
    ]
    print_object(wave, facts, Form.of(parameters), name="number", more=columns_text(rows))


def _setter(verb: str, words: str) -> None:
    @waves.command(verb, epilog=EPILOG, help=words)
    @click.argument("number", type=click.IntRange(1))
    @show_options
    def command(number: int, **parameters: Any) -> None:
        with connect(parameters) as client:
            _print(client.set_wave(number, verb), parameters)


_setter("pause", "Start nothing more of a wave for now; what runs ends.")
_setter("resume", "Go on with a paused wave.")
_setter("cancel", "Start nothing more of a wave, ever; what runs ends.")
