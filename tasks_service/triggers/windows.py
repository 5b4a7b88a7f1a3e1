"""Maintenance windows: texts in, whether and when a timer may fire out. Pure.

``[!][DAYS ]HH:MM-HH:MM[ ZONE]``: ``Sat,Sun 02:00-06:00 Europe/Berlin``,
``22:00-04:00``, ``!Mon-Fri 08:00-18:00``. Without days it is every day; an
end before the start is on the next day; ``!`` closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tasks_service.triggers.schedule import InvalidSchedule
from tasks_service.triggers.standard import find_zone

MAX_WINDOWS = 20
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?P<closed>!)?\s*(?:(?P<days>[A-Za-z*][A-Za-z,\-]*)\s+)?"
    r"(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d)(?:\s+(?P<zone>\S+))?"
)


@dataclass(frozen=True, slots=True)
class Window:
    """One window; ``first`` and ``last`` are minutes of the local day."""

    closed: bool
    days: frozenset[int]
    first: int
    last: int
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Window:
        """Return the window of a text.

        Raises:
            InvalidSchedule: It can't be read.
        """
        found = _WINDOW.fullmatch(text.strip()) if len(text) <= 200 else None
        if found is None:
            raise InvalidSchedule(
                f"{text[:60]!r} is not a window",
                hint="write '[!][DAYS ]HH:MM-HH:MM[ ZONE]', such as"
                " 'Sat,Sun 02:00-06:00 Europe/Berlin'",
            )
        first, last = _minutes(found["from"]), _minutes(found["to"])
        if first in (last, 1440):
            raise InvalidSchedule(f"window {text[:60]!r} has no time in it")
        return cls(
            bool(found["closed"]),
            _days(found["days"] or "*"),
            first,
            last if last > first else last + 1440,
            find_zone(found["zone"] or "UTC"),
        )

    def spans(self, around: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Yield its spans from the day before ``around`` for so many days, in UTC."""
        today = around.astimezone(self.zone).date()
        for number in range(-2, days):
            day = today + timedelta(days=number)
            if day.weekday() in self.days:
                yield self._at(day, self.first), self._at(day, self.last)

    def _at(self, day: date, minute: int) -> datetime:
        day += timedelta(days=minute // 1440)
        clock = time(minute % 1440 // 60, minute % 60)
        return datetime.combine(day, clock, tzinfo=self.zone).astimezone(UTC)


class Windows:
    """All windows of a timer.

    Raises:
        InvalidSchedule: One can't be read; ``parse`` of Window tells which.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found = [Window.parse(text) for text in texts]
        self._open = [window for window in found if not window.closed]
        self._closed = [window for window in found if window.closed]

    def __bool__(self) -> bool:
        return bool(self._open or self._closed)

    def allows(self, moment: datetime) -> bool:
        """Return whether a timer may fire at ``moment``."""

        def within(window: Window) -> bool:
            return any(start <= moment < end for start, end in window.spans(moment, 2))

        if any(within(window) for window in self._closed):
            return False
        return not self._open or any(within(window) for window in self._open)

    def opens(self, moment: datetime) -> datetime | None:
        """Return ``moment`` if it is allowed, else the next that is; None if none is ever."""
        if self.allows(moment):
            return moment
        edges = set()
        for window in self._open:
            edges |= {start for start, _ in window.spans(moment, 16)}
        for window in self._closed:
            edges |= {end for _, end in window.spans(moment, 16)}
        return next((edge for edge in sorted(edges) if edge > moment and self.allows(edge)), None)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    found = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or found > 1440:
        raise InvalidSchedule(f"{text} is no time of day")
    return found


def _days(text: str) -> frozenset[int]:
    if text == "*":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        one, dash, other = part.partition("-")
        first = _day(one)
        last = _day(other) if dash else first
        found |= {(first + n) % 7 for n in range((last - first) % 7 + 1)}
    return frozenset(found)


def _day(text: str) -> int:
    if len(text) >= 3:
        for index, name in enumerate(_DAYS):
            if text.lower()[:3] == name:
                return index
    raise InvalidSchedule(f"{text[:20]!r} is no weekday", hint="write Mon, Tue, … Sun")
