"""Cancellation: one token that carries stop requests and deadlines down the run.

A token is made per run, children per step and attempt. Cancelling a parent
cancels its children; a child's deadline or cancel never reaches the parent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runners.model.errors import Canceled, RunnerError


class Cancellation:
    """A thread-safe, one-shot stop request.

    The first ``cancel`` wins: its error is what ``check`` raises from then
    on. Callbacks run once, in the cancelling thread, and must not block.
    """

    def __init__(self, parent: Cancellation | None = None) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._reason: RunnerError | None = None
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0
        self._timer: threading.Timer | None = None
        self._unlink: Callable[[], None] | None = None
        if parent is not None:
            self._unlink = parent.on_cancel(lambda: self._follow(parent))

    def _follow(self, parent: Cancellation) -> None:
        self.cancel(parent.reason)

    @property
    def cancelled(self) -> bool:
        """True once ``cancel`` was called."""
        return self._event.is_set()

    @property
    def reason(self) -> RunnerError:
        """The error given to ``cancel``, or a plain Canceled before that."""
        return self._reason or Canceled("canceled")

    def cancel(self, reason: RunnerError | None = None) -> bool:
        """Request the stop; return False if it was requested already."""
        with self._lock:
            if self._event.is_set():
                return False
            self._reason = reason or Canceled("canceled")
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()
        return True

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` at the stop (at once if it has happened).

        Returns:
            A function that takes the callback back; safe to call twice.
        """
        with self._lock:
            if not self._event.is_set():
                key = self._next
                self._next += 1
                self._callbacks[key] = callback
                return lambda: self._drop(key)
        callback()
        return lambda: None

    def _drop(self, key: int) -> None:
        with self._lock:
            self._callbacks.pop(key, None)

    def check(self) -> None:
        """Raise the reason if the stop was requested."""
        if self._event.is_set():
            raise self.reason

    def wait(self, timeout_s: float | None = None) -> bool:
        """Sleep until the stop or the time is over; return ``cancelled``."""
        return self._event.wait(timeout_s)

    @contextmanager
    def child(
        self, timeout_s: float | None = None, reason: RunnerError | None = None
    ) -> Iterator[Cancellation]:
        """Yield a child that also stops, with ``reason``, after ``timeout_s``."""
        token = Cancellation(self)
        if timeout_s is not None:
            timer = threading.Timer(max(timeout_s, 0), token.cancel, (reason,))
            timer.daemon = True
            timer.start()
            token._timer = timer
        try:
            yield token
        finally:
            token.close()

    def close(self) -> None:
        """Let go of the timer and the parent. Safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
        if self._unlink is not None:
            self._unlink()


def monotonic() -> float:
    """Seconds of the clock that deadlines use."""
    return time.monotonic()
