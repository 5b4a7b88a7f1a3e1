"""Ctrl-C and SIGTERM: the first cancels cleanly, the second forces, the third leaves.

In: the work of a command. Out: its result. The work runs in a thread of its
own and the main thread does nothing but wait, so a signal is always heard,
whatever lock the work holds.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Generic, TypeVar

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DONE = b"\0"
FORCE_S = 15.0
"""How long the work may take to end after the second signal."""


class Interruptible(Generic[T]):
    """Runs work that signals can cancel.

    Args:
        work: Called in a thread, with the token that signals cancel.
        on_cancel: Told the number of the signal, 1 for the first, in the
            main thread; prints what happens. At 3 the process ends next.
        force: Called in the main thread at the second signal: ends the
            work's runner at once.
    """

    def __init__(
        self,
        work: Callable[[Cancellation], T],
        *,
        on_cancel: Callable[[int], None],
        force: Callable[[], None],
    ) -> None:
        self._work = work
        self._told = on_cancel
        self._force = force
        self._outcome: list[T | BaseException] = []
        self._leave: threading.Timer | None = None
        self._forcer: threading.Thread | None = None
        self.cancel = Cancellation()
        self.signal: int | None = None
        """The first signal that came, or None."""

    def run(self) -> T:
        """Return what the work returned, or raise what it raised.

        After three signals the process ends on the spot; what is left of the
        run is removed by the next start.
        """
        # The kernel may give a signal to any thread, which does not wake the
        # main one out of a lock. A byte in a pipe does, whoever writes it.
        inbox, outbox = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(outbox, False)
        wakeup = signal.set_wakeup_fd(outbox, warn_on_full_buffer=False)
        before = {number: signal.signal(number, _heard) for number in _SIGNALS}
        thread = threading.Thread(target=self._target, args=(outbox,), name="work", daemon=True)
        try:
            thread.start()
            self._wait(inbox)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            os.close(inbox)
            os.close(outbox)
            # The work may have ended because another thread destroys its
            # runner: that must come to its end, too.
            if self._forcer is not None:
                self._forcer.join(FORCE_S)
            # Nobody has to be left any more.
            if self._leave is not None:
                self._leave.cancel()
        outcome = self._outcome[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _target(self, outbox: int) -> None:
        try:
            self._outcome.append(self._work(self.cancel))
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            self._outcome.append(error)
        os.write(outbox, _DONE)

    def _wait(self, inbox: int) -> None:
        count = 0
        while True:
            for number in os.read(inbox, 64):
                if number == _DONE[0]:
                    return
                if number in _SIGNALS:
                    count += 1
                    self._take(number, count)

    def _take(self, number: int, count: int) -> None:
        self.signal = self.signal or number
        self._told(count)
        if count > 2:
            os._exit(128 + self.signal)
        if count == 1:
            name = signal.Signals(number).name
            self.cancel.cancel(Canceled(f"canceled by {name}"))
        else:
            self._end_by_force()

    def _end_by_force(self) -> None:
        self._forcer = threading.Thread(target=self._force, name="force", daemon=True)
        self._forcer.start()
        # The work notices that its runner is gone; if it does not, leaving is
        # better than hanging: the next start sweeps.
        code = 128 + (self.signal or signal.SIGINT)
        self._leave = threading.Timer(FORCE_S, os._exit, (code,))
        self._leave.daemon = True
        self._leave.start()


def _heard(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the byte in the pipe tells; a handler must be there for it."""
