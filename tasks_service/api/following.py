"""Follow a run: its log and status as server-sent events, from any chunk on.

In: a run's id and where to begin. Out: blocks of ``text/event-stream``. Each
chunk comes once and in order, at the pace of the reader; between reads nothing
is held. ``id`` is the number of the chunk: sent back as Last-Event-ID it
resumes there.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from runners.model.errors import RunnerError
from tasks_service.api.log_text import chunk_json
from tasks_service.api.models.views import queue_view, steps_of
from tasks_service.api.streams import Stream
from tasks_service.model.log import END, LogChunk
from tasks_service.model.run import Run
from tasks_service.process_log import get_logger
from tasks_service.runs.logs import RunLogs
from tasks_service.store import Store

PING_S = 15.0
_SHORTEST_S = 0.1
_LONGEST_S = 1.0
_STATUS_S = 0.5
_BLOCK = 50
_log = get_logger(__name__)


@dataclass(slots=True)
class Place:
    """Where a reader stands.

    Attributes:
        after: Number of the last chunk it has.
        skip: Lines to leave out of what follows.
        step: Only this step's; None is all.
        since: Only what came at or after this time.
    """

    after: int = 0
    skip: int = 0
    step: str | None = None
    since: float | None = None

    def take(self, chunk: LogChunk) -> LogChunk | None:
        """Move on by one chunk; return what of it is to be shown, or None."""
        self.after = chunk.number
        if chunk.stream == END:
            return None
        if self.since is not None and chunk.time < self.since:
            return None
        if not self.skip:
            return chunk
        lines = chunk.data.splitlines(keepends=True)
        dropped = min(self.skip, len(lines))
        self.skip -= dropped
        kept = b"".join(lines[dropped:])
        return LogChunk(chunk.step, chunk.stream, chunk.time, kept, chunk.number) if kept else None


class Follow:
    """One reader of one run."""

    def __init__(self, store: Store, logs: RunLogs, run_id: str, place: Place) -> None:
        self._store = store
        self._logs = logs
        self._run_id = run_id
        self._place = place
        self._ended = False
        self._told = ""
        self._asked = 0.0
        self._run: Run | None = None

    async def events(self, stream: Stream) -> AsyncIterator[bytes]:
        """Yield events until the run's log is whole, or the stream must end."""
        pause, sent = _SHORTEST_S, time.monotonic()
        try:
            async for block in self._status(stream):
                yield block
            while not stream.stopped:
                quiet = True
                async for block in self._step(stream):
                    quiet, sent = False, time.monotonic()
                    yield block
                if self._ended:
                    # The last look may be older than the end of the log.
                    async for block in self._status(stream):
                        yield block
                    yield self._end()
                    return
                if not quiet:
                    pause = _SHORTEST_S
                    continue
                if time.monotonic() - sent >= PING_S:
                    sent = time.monotonic()
                    yield KEEPALIVE_COMMENT
                await stream.wait(pause)
                pause = min(pause * 1.5, _LONGEST_S)
        except RunnerError as error:
            # The reader comes back by itself, with the id of what it has.
            _log.warning("log_stream_broken", run_id=self._run_id, error=error.message)

    async def _step(self, stream: Stream) -> AsyncIterator[bytes]:
        place = self._place
        chunks = await stream.run(
            lambda: self._logs.page(self._run_id, after=place.after, step=place.step)
        )
        for block in self._shown(chunks):
            yield block
        if chunks and time.monotonic() - self._asked < _STATUS_S:
            return
        async for block in self._status(stream):
            yield block
        run = self._run
        if chunks or self._ended or (run is not None and not run.status.finished):
            return
        async for block in self._rest(stream):
            yield block

    async def _rest(self, stream: Stream) -> AsyncIterator[bytes]:
        """Send what a finished run still has: its log may be in a blob by now."""
        place = self._place
        chunks = self._logs.read(self._run_id, after=place.after, step=place.step)

        def some() -> list[LogChunk]:
            return list(islice(chunks, _BLOCK))

        while found := await stream.run(some):
            for block in self._shown(found):
                yield block
            if stream.stopped:
                return
        self._ended = True

    def _shown(self, chunks: tuple[LogChunk, ...] | list[LogChunk]) -> Iterator[bytes]:
        for chunk in chunks:
            self._ended = self._ended or chunk.stream == END
            shown = self._place.take(chunk)
            if shown is not None:
                yield _event("log", chunk_json(shown), chunk.number)

    async def _status(self, stream: Stream) -> AsyncIterator[bytes]:
        self._asked = time.monotonic()
        self._run, body = await stream.run(self._look)
        text = _json(body)
        if text != self._told:
            self._told = text
            yield format_sse_event(event="status", data_str=text)

    def _look(self) -> tuple[Run | None, dict[str, Any]]:
        run = self._store.runs.get(self._run_id)
        if run is None:
            return None, {"status": "", "steps": []}
        place = None if run.started or run.status.finished else self._store.runs.place(run)
        queue = queue_view(place)
        return run, {
            "status": str(run.status),
            "attempt": run.attempt,
            "cancelRequested": bool(run.cancel_reason),
            "queue": queue.model_dump(by_alias=True) if queue else None,
            "steps": steps_of(run),
        }

    def _end(self) -> bytes:
        run = self._run
        body = {
            "status": str(run.status) if run else "",
            "logState": run.log_state if run else "lost",
        }
        return _event("end", body, self._place.after)


def _event(kind: str, body: dict[str, Any], number: int) -> bytes:
    return format_sse_event(event=kind, data_str=_json(body), id=str(number))


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
