"""``tasks wait``: until runs end; the exit code tells how."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli import exit_codes
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import server_option
from tasks_service.cli.remote.names import RunId

if TYPE_CHECKING:
    from tasks_service.client.answers import RunAnswer
    from tasks_service.client.service import ServiceClient

_FIRST_S = 0.25
_LONGEST_S = 5.0


@click.command("wait", epilog=exit_codes.EPILOG)
@click.argument("runs", nargs=-1, required=True, type=RunId())
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Give up after this time, with exit code 7; the runs go on.")  # fmt: skip
@server_option
def command(runs: tuple[str, ...], timeout: float | None, **parameters: Any) -> int:
    """Wait until all RUNS have ended, and print each with its status.

    The exit code is that of the first run, in the order given, that did not
    succeed.
    """
    from tasks_service.cli.output import Writer
    from tasks_service.cli.remote.printing import say

    out = Writer(sys.stdout)
    deadline = None if timeout is None else time.monotonic() + timeout
    codes = []
    with connect(parameters) as client:
        for run_id in dict.fromkeys(runs):
            run = _ended(client, run_id, deadline)
            if run is None:
                say(f"run {run_id} has not ended in {timeout:g} s")
                return exit_codes.TIMEOUT
            out.write(f"{run.id} {run.status}\n")
            codes.append(exit_codes.of_run(run.status, run.error_code, began=run.began))
    return next((code for code in codes if code), exit_codes.OK)


def _ended(client: ServiceClient, run_id: str, deadline: float | None) -> RunAnswer | None:
    """Return the run once it has ended, or None when time is over."""
    pause = _FIRST_S
    while True:
        run = client.run(run_id)
        if run.status.finished:
            return run
        left = pause if deadline is None else min(pause, deadline - time.monotonic())
        if left <= 0:
            return None
        time.sleep(left)
        pause = min(pause * 1.5, _LONGEST_S)
