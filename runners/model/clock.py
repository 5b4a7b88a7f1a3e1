"""Clocks: what time it is, and calling something later.

The engine takes a Clock so that tests can move time by hand. ``SystemClock``
serves all deadlines of a process from one thread that ends when it is idle.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from runners.model.cancellation import Cancellation

IDLE_S = 1.0


class Clock(Protocol):
    """A source of time. Thread-safe."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def call_after(self, delay_s: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` once, ``delay_s`` seconds from now, from any thread.

        Returns:
            A function that takes the callback back; safe to call twice.
        """
        ...

    def wait(self, delay_s: float, cancel: Cancellation) -> bool:
        """Sleep; return True, early, if ``cancel`` was requested."""
        ...


@dataclass(order=True, slots=True)
class _Timer:
    due: float
    order: int
    callback: Callable[[], object] | None = field(compare=False)


class Timers:
    """One thread that calls callbacks when they are due. Callbacks must not block."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[_Timer] = []
        self._live = 0
        self._order = itertools.count()
        self._running = False

    def add(self, delay_s: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Schedule ``callback``; return the function that takes it back."""
        timer = _Timer(time.monotonic() + max(delay_s, 0), next(self._order), callback)
        with self._changed:
            heapq.heappush(self._heap, timer)
            self._live += 1
            if not self._running:
                self._running = True
                threading.Thread(target=self._serve, name="timers", daemon=True).start()
            elif self._heap[0] is timer:
                self._changed.notify()
        return lambda: self._drop(timer)

    def _drop(self, timer: _Timer) -> None:
        with self._changed:
            if timer.callback is None:
                return
            timer.callback = None
            self._live -= 1
            if not self._live:
                # Dropped timers would else stay until they are due.
                self._heap.clear()

    def _serve(self) -> None:
        while True:
            with self._changed:
                callback = self._next()
                if callback is None:
                    self._running = False
                    return
            callback()

    def _next(self) -> Callable[[], object] | None:
        """Wait for the next due callback; None after an idle while."""
        while True:
            if not self._heap:
                if not self._changed.wait(IDLE_S) and not self._heap:
                    return None
                continue
            timer = self._heap[0]
            remaining = timer.due - time.monotonic()
            if timer.callback is not None and remaining > 0:
                self._changed.wait(remaining)
                continue
            heapq.heappop(self._heap)
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                self._live -= 1
                return callback


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._timers = Timers()

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def call_after(self, delay_s: float, callback: Callable[[], object]) -> Callable[[], None]:
        """See Clock."""
        return self._timers.add(delay_s, callback)

    def wait(self, delay_s: float, cancel: Cancellation) -> bool:
        """See Clock."""
        return cancel.wait(delay_s)


class ManualClock:
    """A clock that stands still until ``advance``; shipped for tests.

    Callbacks run in the thread that advances.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._changed = threading.Condition()
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[_Timer] = []

    def now(self) -> datetime:
        """See Clock."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """See Clock."""
        return self._elapsed

    def call_after(self, delay_s: float, callback: Callable[[], object]) -> Callable[[], None]:
        """See Clock."""
        with self._changed:
            timer = _Timer(self._elapsed + delay_s, next(self._order), callback)
            heapq.heappush(self._timers, timer)
            self._changed.notify_all()
        return lambda: self._drop(timer)

    def _drop(self, timer: _Timer) -> None:
        with self._changed:
            timer.callback = None

    def wait(self, delay_s: float, cancel: Cancellation) -> bool:
        """See Clock."""
        if delay_s <= 0:
            return cancel.cancelled
        woken = threading.Event()
        drop = self.call_after(delay_s, woken.set)
        forget = cancel.on_cancel(woken.set)
        woken.wait()
        drop()
        forget()
        return cancel.cancelled

    def advance(self, seconds: float) -> None:
        """Move time and run, in order of their due time, all callbacks that fall due."""
        until = self._elapsed + seconds
        while True:
            with self._changed:
                if not self._timers or self._timers[0].due > until:
                    self._elapsed = until
                    return
                timer = heapq.heappop(self._timers)
                self._elapsed = max(self._elapsed, timer.due)
                callback = timer.callback
            if callback is not None:
                callback()

    def await_timer(self, due_in_s: float, timeout_s: float = 10) -> bool:
        """Block until somebody waits for a moment ``due_in_s`` from now; False if nobody came."""
        due = self._elapsed + due_in_s

        def waited_for() -> bool:
            return any(t.callback is not None and abs(t.due - due) < 1e-9 for t in self._timers)

        with self._changed:
            return self._changed.wait_for(waited_for, timeout_s)


SYSTEM_CLOCK = SystemClock()
