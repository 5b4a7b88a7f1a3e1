"""Standard cron in a time zone, behind ``CRON_TZ=Zone``; the dialect is cronsim's.

It follows Debian's cron: with both restricted, day of month OR weekday
matches; at a change of the clock, a job of fixed hours fires once (a time
that does not exist fires right after the gap), one of every hour goes by the
real time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tasks_service.triggers.schedule import NEVER_YEARS, InvalidSchedule

if TYPE_CHECKING:
    from cronsim import CronSim

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")


def find_zone(name: str, *, column: int = 1) -> ZoneInfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        InvalidSchedule: There is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSchedule(
            f"there is no time zone {name[:40]!r}",
            column=column,
            hint="write its name in the IANA database, such as Europe/Berlin or UTC",
        ) from None


class StandardCron:
    """A schedule of standard cron in a zone.

    Raises:
        InvalidSchedule: The zone or a field can't be read.
    """

    def __init__(self, text: str) -> None:
        mark, _, rest = text.strip().partition(" ")
        self.zone = mark.partition("=")[2]
        self._zone = find_zone(self.zone, column=mark.index("=") + 2)
        expression = rest.strip()
        if expression.startswith("@"):
            if expression.lower() not in MACROS:
                raise InvalidSchedule(
                    f"{expression[:20]!r} is not known",
                    column=len(mark) + 2,
                    hint=f"known: {', '.join(MACROS)}",
                )
            expression = MACROS[expression.lower()]
        parts = expression.split()
        if len(parts) != len(_FIELDS):
            raise InvalidSchedule(
                f"standard cron has 5 fields, not {len(parts)}",
                column=len(mark) + 2,
                hint="CRON_TZ=Zone minute hour day-of-month month weekday",
            )
        self._expression = expression
        self._check(text, len(mark))

    def _check(self, text: str, offset: int) -> None:
        from cronsim import CronSimError

        try:
            self._from(datetime(2024, 1, 1, tzinfo=UTC))
        except (CronSimError, ValueError, AssertionError, RecursionError) as error:
            wrong = str(error).removeprefix("Bad ")
            starts = [found.start() for found in re.finditer(r"\S+", text[offset:])]
            known = wrong in _FIELDS and len(starts) == len(_FIELDS)
            index = _FIELDS.index(wrong) if known else 0
            part = self._expression.split()[index]
            raise InvalidSchedule(
                f"{_FIELDS[index]}: {part[:40]!r} can't be read, or no month has such a day",
                column=offset + starts[index] + 1 if known else offset + 2,
            ) from None

    def _from(self, after: datetime) -> CronSim:
        from cronsim import CronSim

        return CronSim(self._expression, after.astimezone(self._zone))

    def next(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly after ``after``."""
        until = after + timedelta(days=366 * NEVER_YEARS)
        for local in self._from(after):
            found = local.astimezone(UTC)
            # In an hour that comes twice, and behind one that never comes,
            # the iterator can tell a time that was.
            if found > after:
                return found if found < until else None
        return None

    def words(self) -> str:
        """Return the schedule in words."""
        text = self._from(datetime(2024, 1, 1, tzinfo=UTC)).explain()
        return f"{text[:1].lower()}{text[1:]} {self.zone}"
