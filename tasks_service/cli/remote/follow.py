"""Follows a run of a server: its events in the same views as those of a run here.

In: a run and a view. Out: the run as it ended. Ctrl-C stops watching, not the
run (C-183), unless the caller wants it cancelled.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from runners.model.events import Notice, StepFinished, StepLog, StepStarted
from runners.model.status import StepStatus
from tasks_service.cli.output import View
from tasks_service.cli.remote.printing import say
from tasks_service.cli.remote.record import planned_step, step_of
from tasks_service.client.answers import RunAnswer, read_steps
from tasks_service.client.following import (
    EndEvent,
    LogEvent,
    Reconnecting,
    StatusEvent,
    StreamEvent,
)
from tasks_service.client.service import ServiceClient

JSON = Mapping[str, Any]
_WHOLE = ("complete", "")


class Detached(Exception):
    """A signal ended the watching; the run goes on."""

    def __init__(self, number: int) -> None:
        super().__init__("detached")
        self.exit_code = 128 + number


class Translator:
    """Turns events of the stream into events of a view. Statuses come whole each time."""

    def __init__(
        self, run_id: str, view: Callable[[Any], object], begin: Callable[..., object]
    ) -> None:
        self._run_id = run_id
        self._view = view
        self._begin = begin
        self._graph: tuple[JSON, ...] = ()
        self._seen: dict[str, tuple[StepStatus, int]] = {}
        self._queue = ""

    def __call__(self, event: StreamEvent) -> None:
        """Show one event."""
        if isinstance(event, LogEvent):
            self._log(event)
        elif isinstance(event, StatusEvent):
            self._status(event.body)
        elif isinstance(event, Reconnecting):
            self._notice(f"{event.reason}; trying again", "warning")
        elif isinstance(event, EndEvent):
            state = str(event.body.get("logState") or "")
            if state not in _WHOLE:
                self._notice(f"the log is not whole: {state}", "warning")

    def _log(self, event: LogEvent) -> None:
        if event.step:
            self._view(StepLog(event.time, event.step, event.stream, event.text.encode()))
            return
        for line in event.text.splitlines():
            self._view(Notice(event.time, line))

    def _status(self, body: JSON) -> None:
        self._place(body)
        steps = read_steps(body)
        if steps and tuple(s["id"] for s in steps) != tuple(s["id"] for s in self._graph):
            self._graph = steps
            ids = frozenset(str(step["id"]) for step in steps)
            self._begin(self._run_id, [planned_step(step, ids) for step in steps])
        for step in steps:
            self._step(step)

    def _place(self, body: JSON) -> None:
        queue = body.get("queue")
        if not isinstance(queue, dict) or not isinstance(queue.get("position"), int):
            return
        text = f"waiting for a worker: number {queue['position']} in the queue"
        wait = queue.get("expectedWaitSeconds")
        if isinstance(wait, int | float) and wait >= 1:
            text += f", about {wait:.0f} s"
        if text != self._queue:
            self._queue = text
            self._notice(text, "info")

    def _step(self, body: JSON) -> None:
        result = step_of(body)
        status, attempt = self._seen.get(result.id, (StepStatus.PENDING, 0))
        if status.finished or (result.status, result.attempts) == (status, attempt):
            return
        self._seen[result.id] = (result.status, result.attempts)
        ran = result.started is not None or result.status is StepStatus.RUNNING
        if ran and (status is StepStatus.PENDING or result.attempts > attempt):
            began = result.started or datetime.now(UTC)
            self._view(StepStarted(began, result.id, max(result.attempts, 1)))
        if result.status.finished:
            self._view(StepFinished(result.finished or datetime.now(UTC), result))

    def _notice(self, text: str, level: str) -> None:
        self._view(Notice(datetime.now(UTC), text, level))


def follow_run(
    client: ServiceClient,
    run_id: str,
    view: View,
    sink: Callable[[Any], object],
    *,
    cancel_on_interrupt: bool = False,
) -> tuple[RunAnswer, int]:
    """Show a run until it ends; return it, and 128 + the signal that canceled it or 0.

    Args:
        client: Of its server.
        run_id: The run.
        view: An entered view.
        sink: Where events go: the view itself, or what passes them on to it.
        cancel_on_interrupt: The first Ctrl-C cancels the run and goes on
            following; the second detaches.

    Raises:
        Detached: By a signal.
        RunnerError: The server refuses, or was away too long.
    """
    translate = Translator(run_id, sink, view.begin)
    follower = client.follow(run_id)
    asked = 0
    while True:
        try:
            watch(follower, translate)
            return client.run(run_id), asked
        except Detached as raised:
            if not cancel_on_interrupt or asked:
                raise
            asked = raised.exit_code
            view(Notice(datetime.now(UTC), "Canceling the run (again to stop watching)", "warning"))
            client.cancel_run(run_id)


def watch(events: Iterable[StreamEvent], show: Callable[[StreamEvent], object]) -> None:
    """Show events until the last one.

    Raises:
        Detached: By a signal.
    """
    try:
        with _signals():
            for event in events:
                show(event)
    except _Signal as raised:
        raise Detached(raised.number) from None


def tell_detached(run_id: str) -> None:
    """Say how to watch a run again, and how to cancel it."""
    say(f"Stopped watching; run {run_id} goes on.")
    say(f"  watch it again:  tasks logs {run_id} -f")
    say(f"  cancel it:       tasks runs cancel {run_id}")


class _Signal(BaseException):
    # Not an Exception: whatever is going on must not take it for a fault.
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _signals() -> Iterator[None]:
    def raise_signal(number: int, _frame: FrameType | None) -> None:
        raise _Signal(number)

    before = {
        number: signal.signal(number, raise_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
