"""A run in the hands of this worker: whether it may go on, and why not.

In: what heartbeats learn. Out: the cancellation of the run, and what becomes
of it at its end. One rule for cancels that race with a push: a push that has
begun is not torn; the run is stopped when it is over.
"""

from __future__ import annotations

import threading
import time
from enum import Enum

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerError, RunnerLost, RunTimedOut
from tasks_service.model.run import Claim

PUSH_S = 30.0
"""How long a request to stop waits for a push under way."""


class Stop(Enum):
    """Why a run was stopped from outside."""

    NO = "no"
    ASKED = "asked"
    GIVEN_BACK = "given back"
    LOST = "lost"


class Held:
    """Thread-safe.

    Attributes:
        cancel: Stops the run.
        stopped_at: When that was asked for, on the monotonic clock.
    """

    def __init__(self, claim: Claim, valid_until: float) -> None:
        self.claim = claim
        self.run_id = claim.run.id
        self.fence = claim.fence
        self.cancel = Cancellation()
        self.stopped_at: float | None = None
        self._lock = threading.Lock()
        self._valid_until = valid_until
        self._stop = Stop.NO
        self._published = claim.run.published
        self._pushing_since: float | None = None
        self._asked: RunnerError | None = None

    @property
    def stop(self) -> Stop:
        """Why it was stopped, or ``NO``."""
        with self._lock:
            return self._stop

    @property
    def published(self) -> bool:
        """True once a push may have begun."""
        with self._lock:
            return self._published

    @property
    def valid(self) -> bool:
        """False once nobody may assume that the lease still runs."""
        with self._lock:
            return time.monotonic() < self._valid_until

    def renewed(self, valid_until: float) -> None:
        """Note a later end of the lease, on the monotonic clock."""
        with self._lock:
            self._valid_until = max(self._valid_until, valid_until)

    def ask(self, reason: str, code: str) -> None:
        """Stop it because somebody wants that; a push under way may end first."""
        error: RunnerError = Canceled(reason)
        if code == RunTimedOut.code:
            error = RunTimedOut(reason, hint="give it longer by --timeout")
        with self._lock:
            if self._stop is not Stop.NO:
                return
            pushing = self._pushing_since
            if pushing is not None and time.monotonic() - pushing < PUSH_S:
                self._asked = error
                return
        self._end(Stop.ASKED, error)

    def give_back(self) -> None:
        """Stop it because this worker stops."""
        self._end(Stop.GIVEN_BACK, Canceled("the worker stops"))

    def lose(self, reason: str) -> None:
        """Stop it because it is not this worker's any more: nothing may be written."""
        self._end(Stop.LOST, RunnerLost(reason))

    def push_begins(self) -> None:
        """Note that a push begins now, or that one more of a step does.

        Raises:
            RunnerError: The run is to be stopped.
        """
        self.cancel.check()
        with self._lock:
            self._published = True
            self._pushing_since = self._pushing_since or time.monotonic()

    def step_ended(self) -> None:
        """Note that a step is over, and with it its pushes."""
        with self._lock:
            self._pushing_since = None
            asked, self._asked = self._asked, None
        if asked is not None:
            self._end(Stop.ASKED, asked)

    def _end(self, stop: Stop, error: RunnerError) -> None:
        with self._lock:
            # Lost is final; whatever else came first stays.
            if self._stop is Stop.LOST or (self._stop is not Stop.NO and stop is not Stop.LOST):
                return
            self._stop = stop
            if self.stopped_at is None:
                self.stopped_at = time.monotonic()
        self.cancel.cancel(error)
