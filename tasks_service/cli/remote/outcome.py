"""What a command does with the run it started on a server: watch it, or not.

In: an accepted run. Out: an exit code; the same view, summary and record as
for a run here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runners.model.errors import RunnerError
from runners.model.status import RunStatus
from tasks_service.cli import exit_codes
from tasks_service.cli.failures import print_error
from tasks_service.cli.options import RunOptions
from tasks_service.cli.output import Streams, Tail, Writer
from tasks_service.cli.remote.follow import Detached, follow_run, tell_detached
from tasks_service.cli.remote.printing import say
from tasks_service.cli.remote.record import result_of
from tasks_service.cli.summary import print_summary, table
from tasks_service.cli.views import choose_view, streams_of
from tasks_service.client.answers import RunAnswer
from tasks_service.client.service import ServiceClient


@dataclass(frozen=True, slots=True)
class Waiting:
    """Whether to wait for the run, and what Ctrl-C does meanwhile."""

    wait: bool = True
    cancel_on_interrupt: bool = False

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Waiting:
        """Return what the options say."""
        return cls(not parameters["no_wait"], parameters["cancel_on_interrupt"])


def show_run(client: ServiceClient, run: RunAnswer, options: RunOptions, waiting: Waiting) -> int:
    """Show a run that was just accepted, to its end unless told otherwise.

    Raises:
        RunnerError: The server was away too long; the run goes on.
    """
    if not options.is_quiet:
        say(f"Queued a run with ID: {run.id}")
    if not waiting.wait:
        if options.output:
            _print_record(run, options.output)
        else:
            Writer(sys.stdout).write(f"{run.id}\n")
        return exit_codes.OK
    streams = streams_of(options)
    view = choose_view(options, streams)
    tail = None if options.shows_logs else Tail(view)
    try:
        with view:
            ended, interrupted = follow_run(
                client,
                run.id,
                view,
                tail or view,
                cancel_on_interrupt=waiting.cancel_on_interrupt,
            )
    except Detached as raised:
        tell_detached(run.id)
        return raised.exit_code
    except RunnerError:
        tell_detached(run.id)
        raise
    _print_end(ended, tail, options, streams)
    if interrupted and ended.status is RunStatus.CANCELED:
        return interrupted
    return exit_codes.of_run(ended.status, ended.error_code, began=ended.began)


def _print_end(run: RunAnswer, tail: Tail | None, options: RunOptions, streams: Streams) -> None:
    result = result_of(run)
    if not options.is_quiet:
        print_summary(result, streams)
    if result.error:
        print_error(result.error, hint=result.hint, detail=tail.of(result) if tail else "")
    if options.output:
        _print_record(run, options.output)
    elif options.is_quiet:
        pushed = [image for step in result.steps for image in step.outcome.pushed]
        Writer(sys.stdout).write("".join(f"{i.reference}@{i.digest}\n" for i in pushed))


def _print_record(run: RunAnswer, form: str) -> None:
    if form == "json":
        text = json.dumps(run.body, indent=2, ensure_ascii=False) + "\n"
    elif form == "yaml":
        import yaml

        text = yaml.safe_dump(dict(run.body), sort_keys=False, allow_unicode=True)
    else:
        text = table(result_of(run))
    Writer(sys.stdout).write(text)
