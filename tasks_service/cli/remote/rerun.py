"""``tasks runs rerun``: the same once more."""

from __future__ import annotations

from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import RunOptions
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import server_option, waiting_options
from tasks_service.cli.remote.names import RunId


@click.command("rerun", epilog=EPILOG)
@click.argument("run", type=RunId())
@click.option("-o", "--output", type=click.Choice(["json", "yaml", "table"]),
              help="Print the run record to standard output.")  # fmt: skip
@click.option("--no-logs", is_flag=True, help="Do not show the output of steps.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors only; print pushed images.")
@click.option("--progress", type=click.Choice(["auto", "plain", "tty", "quiet", "json"]),
              default="auto", envvar="TASKS_PROGRESS", help="How to show the run.")  # fmt: skip
@waiting_options
@server_option
def rerun(run: str, **parameters: Any) -> int:
    """Start the same run once more, from the same request, and watch it.

    A run with secrets of its own can't be repeated once it has ended: they are
    erased then.
    """
    from tasks_service.cli.remote.outcome import Waiting, show_run

    options = RunOptions(
        output=parameters["output"],
        logs=not parameters["no_logs"],
        quiet=parameters["quiet"],
        progress=parameters["progress"],
    )
    with connect(parameters) as client:
        return show_run(client, client.rerun(run), options, Waiting.of(parameters))
