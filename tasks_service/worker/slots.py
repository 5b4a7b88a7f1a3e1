"""Hands of a worker: threads that claim and perform runs until nothing is left.

In: wake-ups and time. Out: calls of ``claim`` and ``perform``. A wake-up gets
one idle slot to look; a slot that found something gets the next to look too.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from runners.model.errors import RunnerError
from tasks_service.model.run import Claim
from tasks_service.process_log import get_logger

_FAIL_S = (0.5, 5.0)
_log = get_logger(__name__)


class Slots:
    """Args:
    count: How many runs at once.
    claim: Returns the next run, or None.
    perform: Does all of it; must not raise.
    poll_s: How often an idle worker looks without being woken.
    saturated: Called after a claim that left no slot idle: there may be more.
    idles: Called when a slot found nothing: a wake-up is of use from now on.
    """

    def __init__(
        self,
        count: int,
        *,
        claim: Callable[[], Claim | None],
        perform: Callable[[Claim, float], None],
        poll_s: float,
        saturated: Callable[[], None] = lambda: None,
        idles: Callable[[], None] = lambda: None,
    ) -> None:
        self._claim = claim
        self._perform = perform
        self._poll_s = poll_s
        self._saturated = saturated
        self._idles = idles
        self._changed = threading.Condition()
        self._idle = 0
        self._signals = 0
        self._busy = 0
        self._closed = False
        self._looked = 0.0
        self._resting_until = 0.0
        self._threads = [
            threading.Thread(target=self._serve, name=f"slot-{number}", daemon=True)
            for number in range(1, count + 1)
        ]

    @property
    def busy(self) -> int:
        """How many slots have a run."""
        with self._changed:
            return self._busy

    @property
    def looked(self) -> float:
        """When a slot looked into the queue last, on the monotonic clock."""
        return self._looked

    def start(self) -> None:
        """Begin to claim."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> bool:
        """Have an idle slot look; False if there is none (each looks when it is done)."""
        with self._changed:
            if self._closed or self._idle <= self._signals:
                return False
            self._signals += 1
            # All: one that pauses after a failure listens here too, and would keep it.
            self._changed.notify_all()
            return True

    @property
    def wanting(self) -> bool:
        """True while a wake-up would be of use here."""
        with self._changed:
            return not self._closed and self._idle > self._signals

    def rest(self, seconds: float) -> None:
        """Claim nothing for so long: this machine can't do any run at present."""
        with self._changed:
            self._resting_until = max(self._resting_until, time.monotonic() + seconds)

    def close(self) -> None:
        """Claim nothing more. Returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait until no slot has a run; False if the time was over first."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        failures = 0
        while not self._closed:
            rest = self._resting_until - time.monotonic()
            if rest > 0:
                self._pause(rest)
                continue
            try:
                started = self._looked = time.monotonic()
                claim = self._claim()
                failures = 0
            except RunnerError as error:
                failures += 1
                if failures == 1:
                    _log.warning("claim_failed", error=error.message, code=error.code)
                self._pause(min(_FAIL_S[0] * 2**failures, _FAIL_S[1]))
                continue
            except Exception:  # noqa: BLE001 - a slot that ends would be missed for good
                _log.exception("claim_broke")
                self._pause(_FAIL_S[1])
                continue
            if claim is None:
                self._await_work()
            else:
                self._do(claim, started)

    def _do(self, claim: Claim, started: float) -> None:
        with self._changed:
            self._busy += 1
        if not self.wake():
            self._saturated()
        try:
            self._perform(claim, started)
        except Exception:  # noqa: BLE001 - the run is lost at the end of its lease
            _log.exception("run_broke", run_id=claim.run.id)
        finally:
            with self._changed:
                self._busy -= 1

    def _await_work(self) -> None:
        with self._changed:
            self._idle += 1
            self._idles()
            try:
                while not self._closed and not self._signals:
                    # One look serves all that idle.
                    due = self._looked + self._poll_s - time.monotonic()
                    if due <= 0:
                        self._looked = time.monotonic()
                        return
                    self._changed.wait(due * random.uniform(1, 1.2))  # noqa: S311
                self._signals = max(0, self._signals - 1)
            finally:
                self._idle -= 1

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)
