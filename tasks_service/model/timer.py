"""Timers of stored tasks: when a task starts by itself (G-60 to G-66)."""

from __future__ import annotations

from dataclasses import dataclass

RUN_ONCE = "run-once"
SKIP = "skip"
MISFIRES = (RUN_ONCE, SKIP)
"""What becomes of fire times nobody saw: one run for all of them, or none."""
MAX_JITTER_S = 86_400
MAX_TIMERS = 50


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer as its author wrote it.

    Attributes:
        name: Unique in the task; letters, digits, ``-`` and ``_``.
        schedule: Five fields in NCrontab's dialect, UTC; or standard cron
            behind ``CRON_TZ=Zone``.
        enabled: A disabled one keeps its place and fires never.
        jitter_s: It fires up to so much later, always by the same amount:
            many timers of one schedule spread.
        misfire: One of MISFIRES.
        windows: When it may fire (``Sat,Sun 02:00-06:00 Europe/Berlin``), and
            with ``!`` before it when not; empty is any time.
    """

    name: str
    schedule: str
    enabled: bool = True
    jitter_s: int = 0
    misfire: str = RUN_ONCE
    windows: tuple[str, ...] = ()
