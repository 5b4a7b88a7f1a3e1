"""A step's output on its way to the sink: masked, cut into lines, searched.

Raw bytes and vertex states from the sandbox in, StepLog and BuildProgress
events out. One StepOutput a step, made by engine/attempts.py.
"""

from __future__ import annotations

import threading

from runners.engine.lines import LineSplitter
from runners.engine.redact import Mask, Redactor
from runners.model.clock import Clock
from runners.model.events import BuildProgress, EventSink, StepLog

_KEPT = 2048


class Search:
    """Looks for texts in one stream without keeping the stream (Y-206)."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = tuple(text.encode() for text in texts)
        self._keep = max((len(text) for text in self._texts), default=1) - 1
        self._rest = b""
        self.found = False

    def feed(self, data: bytes) -> None:
        """Take bytes, cut anywhere."""
        if self.found or not self._texts:
            return
        window = self._rest + data
        self.found = any(text in window for text in self._texts)
        self._rest = window[-self._keep :] if self._keep else b""


class _Stream:
    def __init__(self, redactor: Redactor, searched: tuple[str, ...]) -> None:
        self.mask: Mask = redactor.mask()
        self.lines = LineSplitter()
        self.search = Search(searched)


class StepOutput:
    """Satisfies ``runners.sandbox.Output`` for one step.

    Lines of one stream keep their order; whatever was written has reached the
    sink when ``flush`` returns. ``searched`` texts are looked for in the raw
    output of the current attempt.
    """

    def __init__(
        self,
        step_id: str,
        sink: EventSink,
        redactor: Redactor,
        clock: Clock,
        searched: tuple[str, ...] = (),
    ) -> None:
        self._step_id = step_id
        self._sink = sink
        self._redactor = redactor
        self._clock = clock
        self._searched = searched
        self._lock = threading.Lock()
        self._streams: dict[str, _Stream] = {}
        self.last = b""
        """The end of what was written, of all attempts and streams, unmasked: never show it."""

    def write(self, stream: str, data: bytes) -> None:
        """See Output."""
        with self._lock:
            state = self._streams.get(stream)
            if state is None:
                state = self._streams[stream] = _Stream(self._redactor, self._searched)
            state.search.feed(data)
            self.last = data[-_KEPT:] if len(data) >= _KEPT else (self.last + data)[-_KEPT:]
            for block in state.lines.feed(state.mask.feed(data)):
                self._emit(stream, block)

    def vertex(
        self,
        *,
        digest: str,
        name: str,
        state: str,
        current: int = 0,
        total: int = 0,
        elapsed_s: float = 0.0,
    ) -> None:
        """See Output."""
        self._sink(
            BuildProgress(
                self._clock.now(),
                self._step_id,
                digest,
                self._redactor.text(name),
                state,
                current,
                total,
                elapsed_s,
            )
        )

    def flush(self) -> bool:
        """End the attempt: hand out unfinished lines.

        Returns:
            True if one of the searched texts was in the attempt's output.
        """
        with self._lock:
            streams, self._streams = self._streams, {}
            for name, state in streams.items():
                for block in state.lines.feed(state.mask.flush()):
                    self._emit(name, block)
                for block in state.lines.flush():
                    self._emit(name, block)
        return any(state.search.found for state in streams.values())

    def _emit(self, stream: str, block: bytes) -> None:
        self._sink(StepLog(self._clock.now(), self._step_id, stream, block))
