"""What a run does, written into the database while it does it.

In: the events of the engine. Out: chunks of the log and the public form of
the steps, in batches: nothing is written for every line. A step is never held
longer than a few seconds by a database that is away; what it says meanwhile
is kept up to a bound, and a mark tells what was not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runners.model.errors import RunnerError
from runners.model.events import Event, Notice, StepFinished, StepLog, StepStarted
from runners.model.plan import PlannedStep
from runners.model.record import RunResult, StepResult
from runners.model.status import RunStatus
from tasks_service.errors import StaleFence
from tasks_service.model.log import MAX_CHUNK_BYTES, SYSTEM, LogChunk
from tasks_service.process_log import get_logger
from tasks_service.store import Store
from tasks_service.worker.line_cap import LineCap
from tasks_service.worker.spool import LogCaps, LogSpool

BATCH_S = 0.1
BATCH_BYTES = 64 << 10
WRITE_BYTES = 1 << 20
HOLD_S = 5.0
"""How long a step may be held while what it says can't be kept."""
_AGAIN_S = (0.2, 2.0)
_JOIN_S = 30.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogRest:
    """What of a log is not written yet, and how the log ends (see RunEnd)."""

    chunks: tuple[LogChunk, ...]
    log_end: str


class Recorder:
    """See Watcher. Made for one run; ``close`` it once the run is over.

    Args:
        store: Where to.
        run_id, fence: What is written is refused once they are stale.
        on_stale: Called, from any thread, when that happened.
        on_step_end: Called when a step ended.
        caps: Bounds of the log.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        fence: int,
        *,
        on_stale: Callable[[], None],
        on_step_end: Callable[[], None] = lambda: None,
        caps: LogCaps | None = None,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._fence = fence
        self._on_stale = on_stale
        self._on_step_end = on_step_end
        self._changed = threading.Condition()
        self._spool = LogSpool(caps or LogCaps())
        self._lines: dict[tuple[str, str], LineCap] = {}
        self._steps: Mapping[str, PlannedStep] = {}
        self._dirty = False
        self._running = False
        self._hold_s = HOLD_S
        self._closing = False
        self._stale = False
        self._batch: list[LogChunk] = []
        self._thread: threading.Thread | None = None
        self.result: Callable[[], RunResult | None] = lambda: None
        """The record so far; set before the run begins."""

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """See Watcher."""
        del run_id
        with self._changed:
            self._steps = {step.id: step for step in steps}
            self._touch()

    def __call__(self, event: Event) -> None:
        """See EventSink."""
        if isinstance(event, StepLog):
            self._output(event)
        elif isinstance(event, Notice):
            prefix = "" if event.level == "info" else f"{event.level}: "
            self._system(event, f"{prefix}{event.text}\n")
        elif isinstance(event, StepStarted):
            with self._changed:
                self._running = True
                # An attempt before this one may have ended within a line.
                self._end_lines(event.step_id, event.time.timestamp())
                self._touch()
        elif isinstance(event, StepFinished):
            with self._changed:
                self._end_lines(event.result.id, event.time.timestamp())
                self._touch()
            self._on_step_end()

    def step_json(self, step: StepResult) -> dict[str, Any]:
        """Return the public form of a step, with where it stands in the graph."""
        body = step.to_json()
        planned = self._steps.get(step.id)
        if planned is not None:
            body["needs"] = list(planned.needs)
            body["detach"] = planned.detach
        return body

    def close(self) -> LogRest:
        """Write no more by itself and return what is left. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(_JOIN_S)
        with self._changed:
            for (step, stream), line in self._lines.items():
                self._put(step, stream, time.time(), line.flush())
            self._spool.end()
            chunks = [*self._batch, *self._spool.take(1 << 62)]
            self._batch = []
            return LogRest(tuple(chunks), self._log_end())

    def _log_end(self) -> str:
        spool = self._spool
        if spool.lost:
            return f"LOST {spool.lost} bytes"
        truncated = spool.truncated + sum(line.dropped for line in self._lines.values())
        return f"TRUNCATED {truncated} bytes" if truncated else "EOF"

    def _system(self, event: Notice, text: str) -> None:
        data = text.encode(errors="replace")
        with self._changed:
            for start in range(0, len(data), MAX_CHUNK_BYTES):
                part = data[start : start + MAX_CHUNK_BYTES]
                self._put("", SYSTEM, event.time.timestamp(), part)

    def _output(self, event: StepLog) -> None:
        key = (event.step_id, event.stream)
        with self._changed:
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = LineCap()
            data = line.feed(event.data)
            if data:
                self._hold()
                self._put(*key, event.time.timestamp(), data)

    def _hold(self) -> None:
        """Wait while there is no room; no longer than ``HOLD_S`` until there is some again."""
        while self._spool.full and self._hold_s > 0 and not (self._closing or self._stale):
            started = time.monotonic()
            self._changed.wait(self._hold_s)
            self._hold_s -= time.monotonic() - started

    def _put(self, step: str, stream: str, moment: float, data: bytes) -> None:
        if not data or self._stale:
            return
        for start in range(0, len(data), MAX_CHUNK_BYTES):
            self._spool.add(step, stream, moment, data[start : start + MAX_CHUNK_BYTES])
        self._touch()

    def _end_lines(self, step: str, moment: float) -> None:
        for (name, stream), line in self._lines.items():
            if name == step:
                self._put(step, stream, moment, line.flush())

    def _touch(self) -> None:
        first, self._dirty = not self._dirty, True
        if self._thread is None and not self._closing:
            name = f"record-{self._run_id}"
            self._thread = threading.Thread(target=self._write_all, name=name, daemon=True)
            self._thread.start()
        elif first or self._spool.waiting >= BATCH_BYTES:
            self._changed.notify_all()

    def _write_all(self) -> None:
        pause = _AGAIN_S[0]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._dirty, None)
                # More comes soon: one transaction for all of it.
                self._changed.wait_for(
                    lambda: self._closing or self._spool.waiting >= BATCH_BYTES, BATCH_S
                )
                if self._closing or self._stale:
                    return
                if not self._batch:
                    self._batch = self._spool.take(WRITE_BYTES)
                self._dirty = self._spool.waiting > 0
            try:
                self._write()
                pause = _AGAIN_S[0]
            except StaleFence:
                self._become_stale()
                return
            except RunnerError as error:
                _log.warning("log_not_written", run_id=self._run_id, error=error.message)
                with self._changed:
                    self._dirty = True
                    self._changed.wait_for(lambda: self._closing, pause)
                pause = min(2 * pause, _AGAIN_S[1])
            except Exception:  # noqa: BLE001 - a run must not go on unseen
                _log.exception("recorder_broke", run_id=self._run_id)
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause)

    def _write(self) -> None:
        result = self.result()
        steps = None if result is None else [self.step_json(step) for step in result.steps]
        self._store.leases.progress(
            self._run_id,
            self._fence,
            status=RunStatus.RUNNING if self._running else None,
            steps=steps,
            chunks=self._batch,
            commit=(result.commit or None) if result is not None else None,
            branch=(result.branch or None) if result is not None else None,
        )
        with self._changed:
            self._batch = []
            self._hold_s = HOLD_S
            self._changed.notify_all()

    def _become_stale(self) -> None:
        with self._changed:
            self._stale = True
            self._batch = []
            self._changed.notify_all()
        self._on_stale()
