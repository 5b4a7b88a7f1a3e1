"""The live view of a terminal: the graph of steps below, streaming output above.

In: events. Out: a region at the bottom of the terminal that is redrawn ten
times a second, and log lines that scroll away above it. Imported only when a
terminal is there: it brings ``rich``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from runners.model.events import BuildProgress, Event, Notice, StepFinished, StepLog, StepStarted
from runners.model.plan import PlannedStep
from runners.model.status import StepStatus
from tasks_service.cli.output import Streams, log_lines, notice_line
from tasks_service.cli.terminal import (
    MARKS,
    Paint,
    clean_line,
    duration,
    size,
    unicode_ok,
    wants_colour,
)

_PERIOD_S = 0.1
_BACKLOG = 32 << 20
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_STYLES = {"2": "dim", "36": "cyan", "32": "green", "31": "red", "33": "yellow"}


@dataclass(slots=True)
class _Row:
    step: PlannedStep
    depth: int
    status: StepStatus = StepStatus.PENDING
    started: float | None = None
    took: float | None = None
    attempt: int = 1
    vertices: dict[str, BuildProgress] = field(default_factory=dict)
    touched: str = ""


class LiveView:
    """Draws the run; safe for events from any thread.

    Args:
        streams: ``out`` is the terminal for both the region and the logs.
        logs: Show step output.
    """

    def __init__(self, streams: Streams, *, logs: bool = True) -> None:
        stream: TextIO = streams.out
        self._colour = wants_colour(stream, streams.colour)
        self._paint = Paint(self._colour)
        self._icons = unicode_ok(stream)
        self._logs = logs
        self._console = Console(
            file=stream,
            force_terminal=True,
            no_color=not self._colour,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._pending = 0
        self._dropped = 0
        self._rows: dict[str, _Row] = {}
        self._width = 0
        self._run_id = ""
        self._now = "starting"
        self._began = time.monotonic()
        self._stop = threading.Event()
        # Asks for its first picture at once, so the state above comes first.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self.render,
        )
        self._ticker = threading.Thread(target=self._tick, name="live-view", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._ticker.join(timeout=5)
        self._drain()
        self._live.stop()

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Lay the graph out."""
        depths = graph_depths(steps)
        with self._lock:
            self._run_id = run_id
            self._rows = {step.id: _Row(step, depths[step.id]) for step in steps}
            self._width = max((len(s.id) + 2 * depths[s.id] for s in steps), default=0)

    def __call__(self, event: Event, /) -> None:
        """Take one event; drawn at the next tick."""
        with self._lock:
            if isinstance(event, StepLog):
                if self._logs:
                    self._log(event)
            elif isinstance(event, Notice):
                self._now = clean_line(event.text, colour=False)
                self._put(notice_line(event, self._paint) + "\n")
            elif isinstance(event, StepFinished):
                self._finish(event)
            elif event.step_id in self._rows:
                self._progress(self._rows[event.step_id], event)

    def _log(self, event: StepLog) -> None:
        prefix = self._paint.style("36", f"{event.step_id} |")
        for line in log_lines(event.data, colour=self._colour):
            self._put(f"{prefix} {line}\n")

    def _put(self, line: str) -> None:
        self._lines.append(line)
        self._pending += len(line)
        while self._pending > _BACKLOG:
            # A terminal that does not read must not fill the memory.
            self._pending -= len(self._lines.popleft())
            self._dropped += 1

    def _finish(self, event: StepFinished) -> None:
        row = self._rows.get(event.result.id)
        if row is not None:
            row.status = event.result.status
            row.took = None if row.started is None else time.monotonic() - row.started
            row.vertices.clear()

    def _progress(self, row: _Row, event: StepStarted | BuildProgress) -> None:
        if isinstance(event, StepStarted):
            row.status = StepStatus.RUNNING
            row.attempt = event.attempt
            row.started = row.started or time.monotonic()
        elif event.state == "running":
            row.vertices[event.vertex] = event
            row.touched = event.vertex
        else:
            row.vertices.pop(event.vertex, None)

    def _tick(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            # Printing redraws the region as well.
            if not self._drain():
                self._live.refresh()

    def _drain(self) -> bool:
        with self._lock:
            text = "".join(self._lines)
            dropped, self._dropped = self._dropped, 0
            self._lines.clear()
            self._pending = 0
        if dropped:
            text = f"… {dropped} lines were not shown: the terminal is too slow\n{text}"
        if text:
            self._console.print(_Raw(text), end="", crop=False)
        return bool(text)

    def render(self) -> Group:
        """Return the region: one line a step, cut to the terminal's height."""
        with self._lock:
            rows = list(self._rows.values())
            room = max(self._console.height - 3, 3)
            shown = rows if len(rows) <= room else _important(rows, room - 1)
            lines = [self._line(row) for row in shown]
            if len(shown) < len(rows):
                lines.append(self._rest(rows, shown))
            lines.append(self._headline(rows))
        return Group(*lines)

    def _line(self, row: _Row) -> Text:
        mark = MARKS[row.status]
        style = _STYLES[mark.codes]
        text = Text(no_wrap=True, overflow="ellipsis")
        branch = ("│ " if self._icons else "| ") * row.depth
        text.append(f" {branch}", "dim")
        text.append(f"{mark.icon if self._icons else mark.ascii} ", style)
        text.append(f"{row.step.id:<{max(self._width - 2 * row.depth, 0)}}  ")
        text.append(f"{mark.word:<9}", style)
        seconds = row.took
        if seconds is None and row.started is not None:
            seconds = time.monotonic() - row.started
        text.append(f" {'' if seconds is None else duration(seconds):>7}  ")
        text.append(self._what(row), "dim")
        return text

    def _what(self, row: _Row) -> str:
        if row.status is StepStatus.PENDING:
            return f"after {', '.join(row.step.needs)}" if row.step.needs else ""
        if row.step.detach and row.status is StepStatus.SUCCEEDED:
            return "in the background"
        parts = [f"attempt {row.attempt}"] if row.attempt > 1 else []
        vertex = row.vertices.get(row.touched) or next(reversed(row.vertices.values()), None)
        if vertex is not None:
            parts.append(_vertex(vertex))
            if len(row.vertices) > 1:
                parts.append(f"+{len(row.vertices) - 1}")
        return "  ".join(parts)

    def _rest(self, rows: list[_Row], shown: list[_Row]) -> Text:
        counts: dict[str, int] = {}
        for row in rows:
            if row not in shown:
                word = MARKS[row.status].word
                counts[word] = counts.get(word, 0) + 1
        text = ", ".join(f"{count} {word}" for word, count in counts.items())
        return Text(f"   and {text}", "dim", no_wrap=True, overflow="ellipsis")

    def _headline(self, rows: list[_Row]) -> Text:
        passed = time.monotonic() - self._began
        spin = _SPINNER[int(passed * 10) % len(_SPINNER)] if self._icons else "*"
        done = sum(row.status.finished for row in rows)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f" {spin} ", "cyan")
        if rows and any(row.started for row in rows):
            text.append(f"Run {self._run_id}  {done} of {len(rows)} steps  {duration(passed)}")
        else:
            text.append(f"{self._now}  {duration(passed)}")
        return text


class _Raw:
    """Text written as it is: no markup, no wrapping, no styles of ours."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self._text)


def _vertex(event: BuildProgress) -> str:
    name = clean_line(event.name, colour=False)
    if not event.current and not event.total:
        return name
    total = f" / {size(event.total)}" if event.total else ""
    return f"{name}  {size(event.current)}{total}"


def _important(rows: list[_Row], room: int) -> list[_Row]:
    """Return the rows that matter most, in file order: running, failed, recent."""
    order = {StepStatus.RUNNING: 0, StepStatus.PENDING: 3, StepStatus.SUCCEEDED: 2}
    ranked = sorted(range(len(rows)), key=lambda i: (order.get(rows[i].status, 1), -i))
    return [rows[i] for i in sorted(ranked[:room])]


def graph_depths(steps: Sequence[PlannedStep]) -> dict[str, int]:
    """Return how far each step is indented: a chain stays flat, a fork goes in.

    A step that several branches lead to stands where the outermost of them
    began.
    """
    followers: dict[str, int] = {}
    for step in steps:
        for need in step.needs:
            followers[need] = followers.get(need, 0) + 1
    roots = sum(not step.needs for step in steps)
    depths: dict[str, int] = {}
    for step in _in_order(steps):
        if not step.needs:
            depths[step.id] = 1 if roots > 1 else 0
        elif len(step.needs) > 1:
            depths[step.id] = max(min(depths[need] for need in step.needs) - 1, 0)
        else:
            need = step.needs[0]
            depths[step.id] = depths[need] + (1 if followers[need] > 1 else 0)
    return depths


def _in_order(steps: Sequence[PlannedStep]) -> Iterator[PlannedStep]:
    """Yield each step after all it needs (``when`` may name later ones)."""
    done: set[str] = set()
    left = list(steps)
    while left:
        ready = [step for step in left if all(need in done for need in step.needs)]
        if not ready:
            raise ValueError("the steps need each other in a circle")
        for step in ready:
            done.add(step.id)
            yield step
        left = [step for step in left if step.id not in done]
