"""A call that is made at most so often, and never left out for good.

In: any number of calls from any thread. Out: the first at once, one for all
that come too soon after it, when its time has come. Used by ``worker``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Limited:
    """Calls ``call`` at most every ``every_s`` seconds. Thread-safe.

    What is asked for too soon is done later, not dropped: what the last call
    told of may have been over before the reason for this one came up.
    """

    def __init__(self, call: Callable[[], None], *, every_s: float) -> None:
        self._call = call
        self._every_s = every_s
        self._lock = threading.Lock()
        self._called = -every_s
        self._later = False

    def __call__(self) -> None:
        """Have it called: now, or within ``every_s`` seconds."""
        with self._lock:
            if self._later:
                return
            wait_s = self._called + self._every_s - time.monotonic()
            if wait_s > 0:
                self._later = True
                timer = threading.Timer(wait_s, self._at_last)
                timer.daemon = True
                timer.start()
                return
            self._called = time.monotonic()
        self._call()

    def _at_last(self) -> None:
        with self._lock:
            # Before the call: who asks while it is made may know more than it tells.
            self._later = False
            self._called = time.monotonic()
        self._call()
