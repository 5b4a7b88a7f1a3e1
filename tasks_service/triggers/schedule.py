"""Schedules: a text in, fire times out. Two dialects behind one port.

Five fields alone are NCrontab, as Azure reads them (``ncrontab.py``). Behind
``CRON_TZ=Zone`` stands standard cron in that zone (``standard.py``). Times
are aware datetimes in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from runners.model.errors import InvalidInput

ZONE_MARKS = ("CRON_TZ=", "TZ=")
MAX_TEXT = 256
NEVER_YEARS = 40
"""A schedule without a fire time for so long has none: 29 February on a given
weekday comes at least once in that time."""


class InvalidSchedule(InvalidInput):
    """A schedule that can't be; ``column`` counts from 1 in its text."""

    code = "invalid_schedule"

    def __init__(self, message: str, *, column: int = 1, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.column = column


class Schedule(Protocol):
    """When something is due. Immutable."""

    @property
    def zone(self) -> str:
        """Name of the time zone the fields are read in."""
        ...

    def next(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly after ``after``, or None within NEVER_YEARS."""
        ...

    def words(self) -> str:
        """Return the schedule in words, for people."""
        ...


def parse_schedule(text: str) -> Schedule:
    """Return the schedule of a text.

    Raises:
        InvalidSchedule: It can't be read, or has no fire time ever.
    """
    from tasks_service.triggers.ncrontab import NCrontab
    from tasks_service.triggers.standard import StandardCron

    if len(text) > MAX_TEXT:
        raise InvalidSchedule(f"the schedule is longer than {MAX_TEXT} characters")
    words = text.split()
    if not words:
        raise InvalidSchedule("the schedule is empty", hint="five fields, such as '0 3 * * *'")
    found: Schedule
    if words[0].startswith(ZONE_MARKS):
        found = StandardCron(text)
    elif words[0].startswith("@"):
        raise InvalidSchedule(
            f"{words[0][:20]!r} is of standard cron", hint=f"write 'CRON_TZ=UTC {words[0][:20]}'"
        )
    else:
        found = NCrontab(text)
    if found.next(datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise InvalidSchedule(
            "the schedule never fires: there is no such day in the months it names"
        )
    return found


def latest(schedule: Schedule, since: datetime, until: datetime) -> datetime | None:
    """Return the last fire time in ``[since, until]``, or None.

    Quick for long spans too: it looks back from the end in growing steps.
    """
    span = timedelta(minutes=2)
    while True:
        start = max(since, until - span) - timedelta(seconds=1)
        found, following = None, schedule.next(start)
        while following is not None and following <= until:
            found, following = following, schedule.next(following)
        if found is not None or start < since:
            return found
        span *= 2
