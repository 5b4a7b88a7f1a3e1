"""Views for pipes and logs, and what all views share.

In: events. Out: text. A step's output goes to
``Streams.out`` and our own words to ``Streams.err``; ``live.py`` is the view
for terminals.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from runners.model.events import (
    BuildProgress,
    Event,
    Notice,
    StepFinished,
    StepLog,
    StepStarted,
)
from runners.model.plan import PlannedStep
from runners.model.record import RunResult, StepResult
from runners.model.status import StepStatus
from tasks_service.cli.terminal import (
    MARKS,
    Paint,
    clean_line,
    duration,
)

_WIDEST = 24
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a command writes: step output, our words, and in which colours."""

    out: TextIO
    err: TextIO
    colour: str = "auto"


class View(Protocol):
    """Shows a run while it goes. A context manager; events come from many threads."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Be told the steps that will come."""
        ...

    def __call__(self, event: Event, /) -> None:
        """Take one event; thread-safe, never raises."""
        ...


class Writer:
    """A stream that may lose its reader: then it falls silent instead of raising."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> None:
        """Write and flush."""
        if self._gone:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self._gone = True
            self._close()

    def _close(self) -> None:
        # So that the interpreter's own flush at the end finds a reader.
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except (OSError, ValueError):
            return


class Tail:
    """Passes events on and remembers the last lines of each step.

    For views that hide step output: what a failing step said last is then
    shown with the error.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._lines: dict[str, deque[str]] = {}

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Pass the steps on."""
        self._view.begin(run_id, steps)

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, StepLog):
            with self._lock:
                lines = self._lines.setdefault(event.step_id, deque(maxlen=_TAIL_LINES))
                lines.extend(log_lines(event.data, colour=False))
        self._view(event)

    def of(self, result: RunResult) -> str:
        """Return the last lines of the step that ended the run."""
        step = failing_step(result)
        return "" if step is None else "\n".join(self._lines.get(step.id, ()))


class QuietView:
    """Shows warnings and errors only, and no step output."""

    def __init__(self, streams: Streams, *, least: str = "warning") -> None:
        self._err = Writer(streams.err)
        self._paint = Paint.of(streams.err, streams.colour)
        self._levels = {"info", "warning", "error"} if least == "info" else {"warning", "error"}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Take no note: nothing is laid out."""

    def __call__(self, event: Event, /) -> None:
        """Print a notice of enough weight."""
        if isinstance(event, Notice) and event.level in self._levels:
            with self._lock:
                self._err.write(notice_line(event, self._paint) + "\n")


class PlainView(QuietView):
    """Whole lines, prefixed by the step's id: for pipes, files and CI logs.

    Args:
        streams: Where to.
        logs: Show step output.
    """

    def __init__(self, streams: Streams, *, logs: bool = True) -> None:
        super().__init__(streams, least="info")
        self._out = Writer(streams.out)
        self._out_paint = Paint.of(streams.out, streams.colour)
        self._logs = logs
        self._width = 0
        self._started: dict[str, StepStarted] = {}
        self._told: set[tuple[str, str, str]] = set()

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Align the prefixes to the longest id, within reason."""
        del run_id
        self._width = min(max((len(step.id) for step in steps), default=0), _WIDEST)

    def __call__(self, event: Event, /) -> None:
        """Print one event."""
        with self._lock:
            if isinstance(event, StepLog):
                if self._logs:
                    self._out.write(self._log(event))
            elif isinstance(event, BuildProgress):
                if self._logs:
                    self._out.write(self._vertex(event))
            elif isinstance(event, StepStarted):
                self._started[event.step_id] = event
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self._err.write(self._own(f"step {event.step_id} started{again}"))
            elif isinstance(event, StepFinished):
                self._err.write(self._own(finished_line(event.result)))
            else:
                self._err.write(notice_line(event, self._paint) + "\n")

    def _own(self, text: str) -> str:
        return self._paint.dim(text) + "\n"

    def _prefix(self, step_id: str) -> str:
        return self._out_paint.style("36", f"{step_id:<{self._width}} |") + " "

    def _log(self, event: StepLog) -> str:
        prefix = self._prefix(event.step_id)
        return "".join(
            f"{prefix}{line}\n" for line in log_lines(event.data, colour=self._out_paint.on)
        )

    def _vertex(self, event: BuildProgress) -> str:
        # A vertex may run and end several times; a log tells each once.
        key = (event.step_id, event.vertex, event.state)
        if key in self._told or not event.name:
            return ""
        self._told.add(key)
        name = clean_line(event.name, colour=False)
        prefix = self._prefix(event.step_id)
        if event.state == "running":
            return f"{prefix}=> {name}\n"
        word = {"done": f"done {duration(event.elapsed_s)}", "cached": "cached"}
        return f"{prefix}=> {name}: {word.get(event.state, event.state)}\n"


class JSONView(QuietView):
    """One JSON object a line for every event, on the stream of step output."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(streams)
        self._out = Writer(streams.out)

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Print the graph first, so that a reader can lay it out."""
        graph = [
            {"id": step.id, "kind": step.kind, "needs": list(step.needs), "detach": step.detach}
            for step in steps
        ]
        self._print({"type": "RunStarted", "runId": run_id, "steps": graph})

    def __call__(self, event: Event, /) -> None:
        """Print one event."""
        body: dict[str, Any] = {"type": type(event).__name__}
        if isinstance(event, StepFinished):
            body |= {"time": event.time, "step": event.result.to_json()}
        else:
            body |= {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        self._print(body)

    def _print(self, body: dict[str, Any]) -> None:
        text = json.dumps(body, default=_plain_value, ensure_ascii=False)
        with self._lock:
            self._out.write(text + "\n")


def _plain_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Enum):
        return str(value)
    isoformat = getattr(value, "isoformat", None)
    return isoformat(timespec="milliseconds") if isoformat else str(value)


def notice_line(event: Notice, paint: Paint) -> str:
    """Return one notice as a line without its newline."""
    text = clean_line(event.text, colour=False)
    if event.level == "info":
        return paint.dim(text)
    return (
        f"{paint.style('1;33' if event.level == 'warning' else '1;31', event.level + ':')} {text}"
    )


def log_lines(data: bytes, *, colour: bool) -> list[str]:
    """Return the lines of a log event, made harmless, without newlines."""
    text = data.decode(errors="replace")
    return [clean_line(line, colour=colour) for line in text.removesuffix("\n").split("\n")]


def elapsed(result: StepResult | RunResult) -> float | None:
    """Return how many seconds it took, or None if it never ran."""
    if result.started is None or result.finished is None:
        return None
    return (result.finished - result.started).total_seconds()


def finished_line(result: StepResult) -> str:
    """Return one sentence on how a step ended."""
    seconds = elapsed(result)
    took = "" if seconds is None else f" after {duration(seconds)}"
    return f"step {result.id} {MARKS[result.status].word}{took}{remarks(result)}"


def remarks(result: StepResult) -> str:
    """Return exit code, attempts and the like in brackets, or nothing."""
    found = []
    if result.exit_code:
        found.append(f"exit code {result.exit_code}")
    if result.attempts > 1:
        found.append(f"{result.attempts} attempts")
    if result.ignored:
        found.append("error ignored")
    return f" ({', '.join(found)})" if found else ""


def error_detail(result: RunResult) -> str:
    """Return the excerpt of the step that ended the run, or an empty string."""
    step = failing_step(result)
    return "" if step is None else step.detail


def failing_step(result: RunResult) -> StepResult | None:
    """Return the first step whose failure ended the run."""
    bad = (StepStatus.FAILED, StepStatus.TIMEOUT, StepStatus.ERROR)
    return next((s for s in result.steps if s.status in bad and not s.ignored), None)
