"""How long a process lives: until it is told to stop, politely or at once.

The first SIGTERM or SIGINT asks, a second one insists. Used by every daemon.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_POLL_S = 3600.0


class Lifetime:
    """Turns signals into two events. Use it as a context, in the main thread."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._insisted = threading.Event()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # as signal returned it

    def end(self) -> None:
        """Ask, as the first signal does. Safe in any thread."""
        self._asked.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Return once somebody asked, or after a time."""
        if timeout_s is not None:
            self._asked.wait(timeout_s)
            return
        # Without a limit a signal handler would not get to run.
        while not self._asked.wait(_POLL_S):
            pass

    @property
    def asked(self) -> bool:
        """Whether the process shall stop."""
        return self._asked.is_set()

    @property
    def insisted(self) -> bool:
        """Whether it shall stop at once."""
        return self._insisted.is_set()

    def _take(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._asked.is_set():
            self._insisted.set()
        self._asked.set()
