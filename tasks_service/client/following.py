"""Live logs: one unbroken sequence of events over connections that may break.

In: a run's id and where to begin. Out: log, status and end events, each log
chunk once and in order. The stream is taken up again after the last chunk
that came, with growing pauses, for as long as the caller likes.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import httpx2

from runners.model.errors import RunnerError, Unavailable
from tasks_service.client.answers import JSON, StrangeAnswer, read_time
from tasks_service.client.transport import SILENCE_S, Transport
from tasks_service.errors import Busy

GIVE_UP_S = 300.0
"""How long a server may be away before following ends with its error."""
_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 15.0


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Whole lines of one step and stream; ``step`` is empty for the run's own words."""

    number: int
    step: str
    stream: str
    time: datetime
    text: str = field(repr=False)

    @classmethod
    def of(cls, body: JSON) -> LogEvent:
        """Read one; what is missing is empty."""
        number = body.get("number")
        return cls(
            number if isinstance(number, int) else 0,
            str(body.get("step") or ""),
            str(body.get("stream") or "stdout"),
            read_time(body.get("time")) or datetime.now(UTC),
            str(body.get("text") or ""),
        )


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """Where the run stands now, steps included."""

    body: JSON


@dataclass(frozen=True, slots=True)
class EndEvent:
    """The log is whole, or says what is missing of it. Nothing follows."""

    body: JSON


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The stream broke; it goes on after a pause."""

    reason: str


StreamEvent = LogEvent | StatusEvent | EndEvent | Reconnecting


class Follower:
    """Follows one run's log.

    Args:
        transport: To the server.
        run_id: The run.
        step: Only this step's lines; empty is all.
        after: Number of the last chunk that is known already.
        tail: Begin with this many last lines, where ``after`` is 0.
        since: Begin with what came at or after this RFC 3339 time.
        sleep, now: Replace the clock, for tests.
    """

    def __init__(
        self,
        transport: Transport,
        run_id: str,
        *,
        step: str = "",
        after: int = 0,
        tail: str = "",
        since: str = "",
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._path = f"/api/v1/runs/{quote(run_id, safe='')}/logs/stream"
        self._step = step
        self._tail = tail
        self._since = since
        self._sleep = sleep
        self._now = now
        self.last = after
        """Number of the last chunk that was given out."""

    def __iter__(self) -> Iterator[StreamEvent]:
        """Yield events until the end.

        Raises:
            Unavailable: The server was away too long.
            RunnerError: It refuses (no such run, no token).
        """
        pause, lost = _FIRST_PAUSE_S, None
        while True:
            try:
                for event in self._connection():
                    pause, lost = _FIRST_PAUSE_S, None
                    yield event
                    if isinstance(event, EndEvent):
                        return
                reason: RunnerError = Unavailable("the server ended the stream early")
            except (Unavailable, Busy) as error:
                reason = error
            lost = self._now() if lost is None else lost
            if self._now() - lost > GIVE_UP_S:
                raise reason
            yield Reconnecting(reason.message)
            self._sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
            pause = min(pause * 2, _MAX_PAUSE_S)

    def _connection(self) -> Iterator[StreamEvent]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        query = {"step": self._step}
        if self.last:
            headers["Last-Event-ID"] = str(self.last)
        else:
            query |= {"tail": self._tail, "since": self._since}
        stream = self._transport.stream(
            "GET", self._path, query=query, headers=headers, read_s=SILENCE_S
        )
        with stream as response:
            if response.status_code >= 300:
                raise self._transport.refusal(response)
            try:
                for message in httpx2.EventSource(response):
                    event = self._event(message)
                    if event is not None:
                        yield event
            except httpx2.SSEError as error:
                raise StrangeAnswer("something that is not a log stream") from error

    def _event(self, message: httpx2.ServerSentEvent) -> StreamEvent | None:
        try:
            body = json.loads(message.data) if message.data else {}
        except (ValueError, RecursionError):
            raise StrangeAnswer("a log event that is not JSON") from None
        if not isinstance(body, dict):
            raise StrangeAnswer("a log event that is not an object")
        if message.event == "status":
            return StatusEvent(body)
        if message.event == "end":
            return EndEvent(body)
        if message.event != "log":
            # Kinds of a newer server are passed over.
            return None
        event = LogEvent.of(body)
        if event.number and event.number <= self.last:
            # Sent twice around a break.
            return None
        self.last = event.number or self.last
        return event
