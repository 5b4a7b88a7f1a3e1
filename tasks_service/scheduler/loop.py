"""The loop: duties that recur, each as often as it should, none in another's way.

In: duties and a clock. Out: calls. A duty that fails is told once, tried
again with back-off, and told again when it works; it stops no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runners.model.cancellation import Cancellation
from runners.model.clock import SYSTEM_CLOCK, Clock
from runners.model.errors import RunnerError
from tasks_service.process_log import get_logger

_log = get_logger(__name__)

MAX_BACK_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to do every ``every_s`` seconds.

    ``work`` does as much as fits into a moment and returns whether there is
    more of it: then it is called again at once, after the others.
    """

    name: str
    every_s: float
    work: Callable[[], bool]


class Scheduler:
    """Does its duties, one thread a group, until it is stopped.

    Args:
        groups: Duties of one group wait for each other; groups don't.
    """

    def __init__(self, groups: Sequence[Sequence[Duty]], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._stop = Cancellation()
        self._rounds = [_Round(duties, clock) for duties in groups]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin. Every duty is done at once the first time."""
        for number, round_ in enumerate(self._rounds):
            thread = threading.Thread(
                target=self._run, args=(round_,), name=f"scheduler-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_s: float = 10) -> None:
        """Stop after the duties under way. Idempotent."""
        self._stop.cancel()
        for thread in self._threads:
            thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether all groups still run and none is stuck in a duty for minutes."""
        now = self._clock.monotonic()
        return all(thread.is_alive() for thread in self._threads) and all(
            now - round_.turned < 3 * MAX_BACK_OFF_S for round_ in self._rounds
        )

    def _run(self, round_: _Round) -> None:
        while not self._stop.cancelled:
            self._clock.wait(round_.turn(), self._stop)


class _Round:
    def __init__(self, duties: Sequence[Duty], clock: Clock) -> None:
        self._clock = clock
        self._duties = list(duties)
        self._due = dict.fromkeys((duty.name for duty in duties), clock.monotonic())
        self._failures = dict.fromkeys((duty.name for duty in duties), 0)
        self.turned = clock.monotonic()

    def turn(self) -> float:
        """Do all that is due; return the seconds until the next is."""
        for duty in self._duties:
            self.turned = self._clock.monotonic()
            if self._due[duty.name] <= self.turned:
                self._due[duty.name] = self._clock.monotonic() + self._do(duty)
        self.turned = self._clock.monotonic()
        return max(0.0, min(self._due.values()) - self.turned)

    def _do(self, duty: Duty) -> float:
        """Do one duty; return the seconds until it is due again."""
        failures = self._failures[duty.name]
        try:
            more = duty.work()
        except Exception as error:  # noqa: BLE001 - one duty must not end the others
            self._failures[duty.name] = failures + 1
            if not failures:
                if isinstance(error, RunnerError):
                    _log.warning("duty_failed", duty=duty.name, error=error.message)
                else:
                    _log.exception("duty_failed", duty=duty.name)
            return float(min(duty.every_s * 2 ** min(failures, 16), MAX_BACK_OFF_S))
        if failures:
            self._failures[duty.name] = 0
            _log.info("duty_works_again", duty=duty.name, failures=failures)
        return 0.0 if more else duty.every_s
