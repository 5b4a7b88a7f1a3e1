"""Runners that wait for runs: made ahead, each used by one run and destroyed after it.

In: a backend. Out: a backend whose ``open`` takes a waiting runner where
there is one and makes one where there is none. Used by ``warm_backends``; a
runner that waits belongs to nobody yet and holds nothing of any run.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from runners.backends.base import Backend, Limits, Prepared, SandboxRequest
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerError, SystemFault
from runners.sandbox import Sandbox
from tasks_service import process_metrics as metrics
from tasks_service.execution.demand import Demand
from tasks_service.process_log import get_logger

LOOK_S = 10.0
"""How often those that wait are looked at; a run that takes one looks, too."""
_AGAIN_S = (5.0, 120.0)
_END_S = 30.0
_log = get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    prepared: Prepared
    since: float


@dataclass(slots=True)
class _Coming:
    """One that is being made; ``asked`` while a run waits for it already."""

    asked: bool = False
    over: bool = False
    prepared: Prepared | None = None


class WarmPool:
    """See Backend. Thread-safe.

    Args:
        backend: Makes runners.
        limits: Bounds of those that wait: of runs that ask for none.
        least: How many wait at least.
        most: How many wait at most: what may run at once.
        max_age_s: One that waited longer is destroyed and made anew.
        read_only: For whose runs they are (see SandboxRequest).
    """

    def __init__(
        self,
        backend: Callable[[], Backend],
        limits: Limits,
        *,
        least: int,
        most: int,
        max_age_s: float,
        read_only: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get = backend
        self._limits = limits
        self._max_age_s = max_age_s
        self._read_only = read_only
        self._trust = "untrusted" if read_only else "trusted"
        self._now = now
        self._at_once = max(1, (os.cpu_count() or 1) // 2)
        self._changed = threading.Condition()
        self._demand = Demand(least, most)
        self._waiting: list[_Waiting] = []
        self._coming: list[_Coming] = []
        self._closed = False
        self._stop = Cancellation()
        self._failures = 0
        self._not_before = 0.0
        self._look_at = 0.0
        self._keeper = threading.Thread(target=self._keep, name="warm", daemon=True)

    @property
    def name(self) -> str:
        """See Backend."""
        return self._get().name

    @property
    def ready(self) -> int:
        """How many wait."""
        with self._changed:
            return len(self._waiting)

    @property
    def making(self) -> int:
        """How many are being made."""
        with self._changed:
            return len(self._coming)

    def start(self) -> None:
        """Begin to make runners; returns at once."""
        self._keeper.start()

    def open(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox:
        """See Backend."""
        began = time.monotonic()
        sandbox = self._open_warm(request, cancel) or self._get().open(request, cancel)
        word = "warm" if sandbox.warm else "cold"
        metrics.RUNNER_START.labels(word).observe(time.monotonic() - began)
        return sandbox

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        """See Backend."""
        return self._get().prepare(limits, cancel, read_only=read_only)

    def sweep(self) -> int:
        """See Backend."""
        return self._get().sweep()

    def close(self) -> None:
        """Destroy all that wait and make no more. Idempotent."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._count()
            self._changed.notify_all()
        self._stop.cancel(Canceled("the worker stops"))
        self._drop([item.prepared for item in waiting], "stopped")
        with self._changed:
            self._changed.wait_for(lambda: not self._coming, _END_S)
        if self._keeper.ident is not None:
            self._keeper.join(_END_S)

    def _open_warm(self, request: SandboxRequest, cancel: Cancellation) -> Sandbox | None:
        prepared = self._take(request, cancel)
        if prepared is None:
            return None
        try:
            return prepared.open(request, cancel)
        except SystemFault as error:
            # Its own fault perhaps: a fresh one shows.
            cancel.check()
            _log.warning("warm_runner_failed", error=error.message)
            metrics.WARM_DROPPED.labels("failed").inc()
            return None

    def _take(self, request: SandboxRequest, cancel: Cancellation) -> Prepared | None:
        with self._changed:
            self._demand.note(self._now())
        while (item := self._next(request)) is not None:
            if self._is_fresh(item) and item.prepared.usable():
                metrics.WARM_TAKEN.labels("hit").inc()
                return item.prepared
            self._drop([item.prepared], "dead" if self._is_fresh(item) else "old")
        prepared = self._join(request, cancel)
        metrics.WARM_TAKEN.labels("miss" if prepared is None else "joined").inc()
        return prepared

    def _next(self, request: SandboxRequest) -> _Waiting | None:
        with self._changed:
            found = next((item for item in self._waiting if item.prepared.fits(request)), None)
            if found is not None:
                self._waiting.remove(found)
                self._count()
            self._changed.notify_all()
            return found

    def _join(self, request: SandboxRequest, cancel: Cancellation) -> Prepared | None:
        """Wait for one that is being made, if nobody else does; None if there is none."""
        with self._changed:
            coming = next((one for one in self._coming if not (one.asked or one.over)), None)
            other = request.limits.disk_bytes != self._limits.disk_bytes
            if coming is None or other or request.read_only != self._read_only:
                return None
            coming.asked = True
        forget = cancel.on_cancel(self._wake)
        try:
            with self._changed:
                self._changed.wait_for(lambda: coming.over or cancel.cancelled)
                # Cancelled in between: whoever makes it keeps it for another run.
                coming.asked = False
                prepared, coming.prepared = coming.prepared, None
        finally:
            forget()
        if cancel.cancelled and prepared is not None:
            self._put(prepared)
        cancel.check()
        return prepared

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _is_fresh(self, item: _Waiting) -> bool:
        return self._now() - item.since < self._max_age_s

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._missing() > 0, LOOK_S)
                if self._closed:
                    return
                missing = self._missing()
            if self._now() >= self._look_at:
                self._look()
            for _ in range(missing):
                coming = _Coming()
                with self._changed:
                    self._coming.append(coming)
                threading.Thread(
                    target=self._make, args=(coming,), name="warm-start", daemon=True
                ).start()

    def _missing(self) -> int:
        """Return how many may be begun now."""
        now = self._now()
        if now < self._not_before:
            return 0
        wanted = self._demand.wanted(now)
        metrics.WARM_WANTED.labels(self._trust).set(wanted)
        free = sum(1 for one in self._coming if not (one.asked or one.over))
        missing = wanted - len(self._waiting) - free
        return max(0, min(missing, self._at_once - len(self._coming)))

    def _look(self) -> None:
        """Destroy those that died or grew old."""
        self._look_at = self._now() + LOOK_S
        with self._changed:
            waiting = list(self._waiting)
        for item in waiting:
            reason = "" if item.prepared.usable() else "dead"
            reason = reason if self._is_fresh(item) else "old"
            if not reason:
                continue
            with self._changed:
                if item not in self._waiting:
                    continue
                self._waiting.remove(item)
                self._count()
            _log.info("warm_runner_dropped", reason=reason)
            self._drop([item.prepared], reason)

    def _make(self, coming: _Coming) -> None:
        began = time.monotonic()
        prepared: Prepared | None = None
        try:
            prepared = self._get().prepare(self._limits, self._stop, read_only=self._read_only)
            metrics.RUNNER_BOOT.observe(time.monotonic() - began)
            self._failures = 0
            if prepared is None:
                # This kind of backend has nothing to make ahead.
                self._not_before = float("inf")
        except RunnerError as error:
            self._failed(error.message)
        except Exception as error:  # noqa: BLE001 - runs go on without runners that wait
            _log.exception("warm_runner_broke")
            self._failed(str(error))
        with self._changed:
            if coming.asked:
                coming.prepared, prepared = prepared, None
            coming.over = True
            self._changed.notify_all()
        if prepared is not None:
            self._put(prepared)
        with self._changed:
            self._coming.remove(coming)
            self._changed.notify_all()

    def _failed(self, words: str) -> None:
        if self._closed:
            return
        pause = min(_AGAIN_S[0] * 2**self._failures, _AGAIN_S[1])
        self._failures += 1
        self._not_before = self._now() + pause
        _log.warning("warm_runner_not_made", error=words, again_in_s=pause)

    def _put(self, prepared: Prepared) -> None:
        with self._changed:
            if not self._closed:
                self._waiting.append(_Waiting(prepared, self._now()))
                self._count()
                self._changed.notify_all()
                return
        self._drop([prepared], "stopped")

    def _count(self) -> None:
        metrics.WARM_READY.labels(self._trust).set(len(self._waiting))

    def _drop(self, prepared: Sequence[Prepared], reason: str) -> None:
        if not prepared:
            return
        with ThreadPoolExecutor(min(8, len(prepared))) as hands:
            list(hands.map(lambda one: one.close(), prepared))
        metrics.WARM_DROPPED.labels(reason).inc(len(prepared))
