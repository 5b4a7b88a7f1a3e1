"""NCrontab's five fields, UTC, as the original service reads them (G-60 to G-62).

It differs from cron: day of month AND weekday must both match (G-61b), names
match by prefix, a reversed range is swapped, Sunday is 0 only (G-61, G-61a).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tasks_service.triggers import words
from tasks_service.triggers.schedule import NEVER_YEARS, InvalidSchedule

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


@dataclass(frozen=True, slots=True)
class _Field:
    title: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int:
        """Return a number or a name's number.

        Raises:
            ValueError: One sentence.
        """
        if re.fullmatch(r"[0-9]{1,4}", text):
            number = int(text)
            if not self.low <= number <= self.high:
                seven = number == 7 and self.names == WEEKDAYS
                more = "; Sunday is 0 here" if seven else ""
                raise ValueError(f"{number} is not in {self.low}-{self.high}{more}")
            return number
        if self.names and text.isalpha():
            for index, name in enumerate(self.names):
                if name.lower().startswith(text.lower()):
                    return self.low + index
            raise ValueError(f"{text[:20]!r} is no {self.title}")
        if text in ("?", "L", "W") or "#" in text:
            raise ValueError(f"{text[:20]!r} is not known to NCrontab")
        raise ValueError(f"{text[:20]!r} is not a number" + (" or a name" if self.names else ""))

    def parse(self, text: str) -> frozenset[int]:
        """Return the values a field names."""
        found: set[int] = set()
        for part in text.split(","):
            found |= self._part(part)
        return frozenset(found)

    def _part(self, part: str) -> set[int]:
        base, slash, step_text = part.partition("/")
        step = 1
        if slash:
            if not re.fullmatch(r"[0-9]{1,4}", step_text) or not int(step_text):
                raise ValueError(f"step {step_text[:20]!r} is not a number above 0")
            step = int(step_text)
        if base == "*":
            first, last = self.low, self.high
        elif "-" in base:
            one, _, other = base.partition("-")
            first, last = sorted((self.value(one), self.value(other)))
        else:
            first = self.value(base)
            # "a/n" counts from a to the end of the field (G-61).
            last = self.high if slash else first
        return set(range(first, last + 1, step))


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 6, WEEKDAYS),
)


class NCrontab:
    """A schedule of five fields in UTC.

    Raises:
        InvalidSchedule: A field can't be read, with its column.
    """

    zone = "UTC"

    def __init__(self, text: str) -> None:
        parts = [(found[0], found.start() + 1) for found in re.finditer(r"\S+", text)]
        if len(parts) != len(FIELDS):
            raise InvalidSchedule(
                f"a schedule has exactly 5 fields, not {len(parts)}",
                hint="minute hour day-of-month month weekday, in UTC; there is no field of seconds",
            )
        values = []
        for field, (part, column) in zip(FIELDS, parts, strict=True):
            try:
                values.append(field.parse(part))
            except ValueError as error:
                raise InvalidSchedule(f"{field.title}: {error}", column=column) from None
        self._minutes, self._hours = sorted(values[0]), sorted(values[1])
        self._days, self._months, self._weekdays = values[2:]
        self._texts = [part for part, _ in parts]

    def next(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly after ``after`` (G-61c)."""
        start = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        day, last = start.date(), start.year + NEVER_YEARS
        first: tuple[int, int] | None = (start.hour, start.minute)
        while day.year <= last:
            if day.month not in self._months:
                day, first = _next_month(day), None
                continue
            if day.day in self._days and day.isoweekday() % 7 in self._weekdays:
                found = self._time(first or (0, 0))
                if found is not None:
                    return datetime(day.year, day.month, day.day, *found, tzinfo=UTC)
            day, first = day + timedelta(days=1), None
        return None

    def _time(self, since: tuple[int, int]) -> tuple[int, int] | None:
        hour, minute = since
        for candidate in self._hours:
            if candidate > hour:
                return candidate, self._minutes[0]
            if candidate == hour:
                for found in self._minutes:
                    if found >= minute:
                        return candidate, found
        return None

    def words(self) -> str:
        """Return the schedule in words."""
        minute, hour, *_ = self._texts
        parts = [words.time_of_day(minute, hour, self._minutes, self._hours)]
        if len(self._days) < 31:
            parts.append(f"on day {words.listed(sorted(self._days))} of the month")
        if len(self._weekdays) < 7:
            joined = "if it is" if len(self._days) < 31 else "on"
            parts.append(f"{joined} {words.named(sorted(self._weekdays), WEEKDAYS, 0)}")
        if len(self._months) < 12:
            parts.append(f"in {words.named(sorted(self._months), MONTHS, 1)}")
        return " ".join(parts) + " UTC"


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
