"""How many runners should wait, by the runs that began lately. Pure.

Used by ``warm``.
"""

from __future__ import annotations

from collections import deque

RECENT_S = 600.0
"""How long a burst is remembered."""
BURST_S = 5.0
"""Runs that begin within so long find no new runner in between: each needs its own."""


class Demand:
    """Remembers when runs began. Not thread-safe.

    Args:
        least: Runners that wait even where nothing happens.
        most: As many as can be of use: what may run at once.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = min(least, most)
        self._most = most
        self._began: deque[float] = deque()

    def note(self, now: float) -> None:
        """Take note that a run began; times must not go back."""
        self._began.append(now)

    def wanted(self, now: float) -> int:
        """Return how many runners should wait: as many as the largest recent burst took."""
        began = self._began
        while began and began[0] < now - RECENT_S:
            began.popleft()
        largest = first = 0
        for last, moment in enumerate(began):
            while began[first] < moment - BURST_S:
                first += 1
            largest = max(largest, last - first + 1)
        return max(self._least, min(largest, self._most))
