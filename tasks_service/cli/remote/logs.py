"""``tasks logs``: what a run said, so far or as it comes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import Moment, server_option
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import RunId, TaskName

if TYPE_CHECKING:
    from tasks_service.client.following import LogEvent, StreamEvent
    from tasks_service.client.service import ServiceClient


@click.command("logs", epilog=EPILOG)
@click.argument("run", required=False, type=RunId())
@click.option("--run-id", metavar="RUN", hidden=True)
@click.option("-n", "--task", "--name", "task", metavar="NAME", type=TaskName(),
              help="The newest run of this task.")  # fmt: skip
@click.option("--image", metavar="REF|DIGEST", help="The newest run that pushed this image.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option("--step", metavar="ID", help="Only this step.")
@click.option("--tail", type=click.IntRange(0, 100_000), metavar="N",
              help="Begin with the last N lines.")  # fmt: skip
@click.option("--since", type=Moment(), metavar="TIME", help="Begin there: 10m, 2h, a time.")
@click.option("-t", "--timestamps", is_flag=True, help="Put the time before each line.")
@click.option("--no-prefix", is_flag=True, help="Leave out the step's id before each line.")
@click.option("--no-format", is_flag=True, help="No colours.")
@click.option("--color", "colour", type=click.Choice(["auto", "always", "never"]), default="auto",
              help="When to colour; NO_COLOR is respected.")  # fmt: skip
@server_option
@later_options
def command(run: str | None, **parameters: Any) -> int:
    """Print the log of a run; without RUN, that of the newest one.

    Ctrl-C stops watching, not the run. A broken connection is taken up again
    where it broke.

    \b
    tasks logs abc1234 -f
    tasks logs -n app --step test --tail 50
    """
    from tasks_service.cli.remote.runs import newest_run

    given = [text for text in (run, parameters["run_id"]) if text]
    if len(set(given)) > 1:
        raise click.UsageError("one run at a time")
    if given and (parameters["task"] or parameters["image"]):
        raise click.UsageError("RUN excludes -n and --image")
    with connect(parameters) as client:
        filters = {"task": parameters["task"] or "", "image": parameters["image"] or ""}
        run_id = given[0] if given else newest_run(client, filters)
        printer = Printer(parameters)
        if parameters["follow"]:
            return _follow(client, run_id, printer, parameters)
        tail = parameters["tail"]
        events = stored(
            client,
            run_id,
            step=parameters["step"] or "",
            since=parameters["since"] or "",
            tail="" if tail is None else str(tail),
        )
        for event, line in _lines(events) if tail is None else deque(_lines(events), maxlen=tail):
            printer(event, line)
    return 0


def stored(
    client: ServiceClient, run_id: str, *, step: str = "", since: str = "", tail: str = ""
) -> Iterator[LogEvent]:
    """Yield the log so far, in order; with ``tail``, at least so many last lines of it."""
    for event in client.log_events(run_id, {"step": step, "since": since, "tail": tail}):
        if not step or event.step == step:
            yield event


def _lines(events: Iterable[LogEvent]) -> Iterator[tuple[LogEvent, str]]:
    for event in events:
        for line in event.text.removesuffix("\n").split("\n"):
            yield event, line


class Printer:
    """Prints lines of a log: time, step, text, as the options say."""

    def __init__(self, parameters: Any) -> None:
        from tasks_service.cli.output import Writer
        from tasks_service.cli.terminal import Paint

        choice = "never" if parameters["no_format"] else parameters["colour"]
        self._out = Writer(sys.stdout)
        self._paint = Paint.of(sys.stdout, choice)
        self._times = parameters["timestamps"]
        self._prefix = not parameters["no_prefix"] and not parameters["no_format"]

    def __call__(self, event: LogEvent, line: str) -> None:
        """Print one line."""
        from tasks_service.cli.terminal import clean_line

        parts = []
        if self._times:
            parts.append(f"{event.time.isoformat(timespec='milliseconds')[:23]}Z")
        if self._prefix and event.step:
            parts.append(self._paint.style("36", f"{event.step} |"))
        text = clean_line(line, colour=self._paint.on)
        parts.append(text if event.step else self._paint.dim(text))
        self._out.write(" ".join(parts) + "\n")

    def event(self, event: StreamEvent) -> None:
        """Print one event of a live log."""
        from tasks_service.cli.remote.printing import say
        from tasks_service.client.following import EndEvent, LogEvent, Reconnecting

        if isinstance(event, LogEvent):
            for line in event.text.removesuffix("\n").split("\n"):
                self(event, line)
        elif isinstance(event, Reconnecting):
            say(f"warning: {event.reason}; trying again")
        elif isinstance(event, EndEvent):
            state = str(event.body.get("logState") or "complete")
            if state != "complete":
                say(f"warning: the log is not whole: {state}")


def _follow(client: ServiceClient, run_id: str, printer: Printer, parameters: Any) -> int:
    from tasks_service.cli.remote.follow import Detached, tell_detached, watch

    tail = parameters["tail"]
    follower = client.follow(
        run_id,
        step=parameters["step"] or "",
        tail="" if tail is None else str(tail),
        since=parameters["since"] or "",
    )
    try:
        watch(follower, printer.event)
    except Detached as raised:
        tell_detached(run_id)
        return raised.exit_code
    return 0
