"""Timers: a schedule, jitter, windows and the time in; what is to be done out.

Called by the scheduler's duty and by the API. Pure: the clock, and what was
planned before, are arguments. A fire time is known by its *due* time, which
the schedule gives; jitter and windows only move when it is acted on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks_service.model.timer import RUN_ONCE, Timer
from tasks_service.triggers.schedule import InvalidSchedule, latest, parse_schedule
from tasks_service.triggers.windows import Windows

GRACE = timedelta(seconds=90)
"""A fire time that old when it is looked at was missed."""
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """The next thing a timer does: due then, to be acted on at ``at``."""

    due: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Attributes:
        fire: Due time to start a run for, or None.
        missed: It was missed, and is made up for.
        then: What comes next; None if nothing ever does.
    """

    fire: datetime | None
    missed: bool
    then: Plan | None


class CompiledTimer:
    """A timer that can tell when.

    Args:
        timer: As its author wrote it.
        task: Its task's name: with the timer's it decides the jitter.

    Raises:
        InvalidSchedule: Its schedule or a window can't be.
    """

    def __init__(self, timer: Timer, task: str) -> None:
        self.timer = timer
        self.schedule = parse_schedule(timer.schedule)
        self.windows = Windows(timer.windows)
        self._catches_up = timer.misfire == RUN_ONCE
        self._jitter = _jitter(f"{task}/{timer.name}", timer.jitter_s)

    def plan(self, after: datetime) -> Plan | None:
        """Return what comes first of the fire times strictly after ``after``.

        Outside its windows, a timer that makes up for what it missed waits
        for the next to open; one that skips passes over.
        """
        due = self.schedule.next(after)
        for _ in range(_TRIES):
            if due is None:
                return None
            at = due + self._jitter
            opening = self.windows.opens(at)
            if opening == at or (opening is not None and self._catches_up):
                return Plan(due, opening)
            if opening is None:
                return None
            due = self.schedule.next(opening - self._jitter - timedelta(seconds=1))
        return None

    def decide(self, plan: Plan, now: datetime) -> Decision:
        """Return what to do about a plan whose time has come (``plan.at <= now``).

        Of several fire times that passed, the newest counts; there is never
        more than one run for them.
        """
        newest = latest(self.schedule, plan.due, now - self._jitter) or plan.due
        opening = self.windows.opens(now)
        if opening != now:
            if opening is not None and self._catches_up:
                return Decision(None, False, Plan(newest, opening))
            return Decision(None, False, self.plan(newest))
        # What waited for its window to open was not missed.
        missed = now - max(newest + self._jitter, plan.at if newest == plan.due else newest) > GRACE
        fire = newest if self._catches_up or not missed else None
        return Decision(fire, missed and fire is not None, self.plan(newest))

    def upcoming(self, after: datetime) -> Iterator[Plan]:
        """Yield what comes, one after the other, as if every moment were kept."""
        plan = self.plan(after)
        while plan is not None:
            yield plan
            newest = latest(self.schedule, plan.due, plan.at - self._jitter) or plan.due
            plan = self.plan(newest)


def check_timer(timer: Timer) -> None:
    """Raise InvalidSchedule if a timer can't be, or would never fire."""
    compiled = CompiledTimer(timer, "")
    if compiled.plan(datetime.fromisoformat("2024-01-01T00:00:00+00:00")) is None:
        raise InvalidSchedule("the timer never fires: its windows leave no time of its schedule")


def _jitter(key: str, most_s: int) -> timedelta:
    if not most_s:
        return timedelta()
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    return timedelta(seconds=number % (most_s + 1))
