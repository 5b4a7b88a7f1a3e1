"""Schedules in both dialects: fire times, words, and what is refused."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_service.triggers.schedule import InvalidSchedule, Schedule, latest, parse_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(schedule: Schedule, after: datetime, count: int) -> list[str]:
    found = []
    moment: datetime | None = after
    for _ in range(count):
        assert moment is not None
        moment = schedule.next(moment)
        assert moment is not None
        found.append(moment.strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("*/5 * * * *", "2026-01-01T00:00", ["2026-01-01 00:05", "2026-01-01 00:10"]),
        ("0 0 * * *", "2026-01-01T00:00", ["2026-01-02 00:00"]),
        # Day of month AND weekday: Fridays the 13th only (G-61b).
        ("0 0 13 * 5", "2026-01-01T00:00", ["2026-02-13 00:00", "2026-03-13 00:00",
                                            "2026-11-13 00:00"]),
        # a/n counts to the end of the field (G-61).
        ("50/5 3 * * *", "2026-01-01T00:00", ["2026-01-01 03:50", "2026-01-01 03:55"]),
        ("0 12 * * Fri-Mon", "2026-01-01T00:00", ["2026-01-01 12:00", "2026-01-02 12:00",
                                                  "2026-01-05 12:00"]),
        ("0 0 1 J *", "2026-01-01T00:00", ["2027-01-01 00:00"]),
        ("0 0 31 * *", "2026-01-31T00:00", ["2026-03-31 00:00", "2026-05-31 00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29 00:00"]),
        ("0 0 29 2 Thu", "2026-01-01T00:00", ["2052-02-29 00:00"]),
    ],
)  # fmt: skip
def test_ncrontab(text: str, after: str, expected: list[str]) -> None:
    assert times(parse_schedule(text), at(after), len(expected)) == expected


def test_a_reversed_range_of_weekdays_is_swapped_as_numbers() -> None:
    assert parse_schedule("0 0 * * Fri-Mon").words() == "at 00:00 on Monday to Friday UTC"


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ("", "empty", 1),
        ("* * * *", "exactly 5 fields, not 4", 1),
        ("0 * * * * *", "exactly 5 fields, not 6", 1),
        ("0 0 * * 7", "Sunday is 0", 9),
        ("60 * * * *", "minute: 60", 1),
        ("0 24 * * *", "hour: 24", 3),
        ("0 0 0 * *", "day of month: 0", 5),
        ("0 0 * Foo *", "month: 'Foo'", 7),
        ("*/0 * * * *", "step", 1),
        ("0 0 ? * *", "NCrontab", 5),
        ("0 0 L * *", "day of month", 5),
        ("0 0 * * 5#2", "NCrontab", 9),
        ("@daily", "CRON_TZ=UTC @daily", 1),
        ("0 0 30 2 *", "never fires", 1),
        ("0 0 31 4,6,9,11 *", "never fires", 1),
        ("1" * 300, "longer", 1),
        ("CRON_TZ=Mars/Base 0 0 * * *", "no time zone 'Mars/Base'", 9),
        ("CRON_TZ=../../etc/passwd 0 0 * * *", "no time zone", 9),
        ("CRON_TZ=UTC 0 0 * *", "5 fields, not 4", 13),
        ("CRON_TZ=UTC 0 25 * * *", "hour: '25'", 15),
        ("CRON_TZ=UTC 0 0 30 2 *", "day-of-month: '30'", 17),
        ("CRON_TZ=UTC @never", "not known", 13),
    ],
)
def test_what_can_t_be_is_refused_with_its_column(text: str, said: str, column: int) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(text)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("*/15 * * * *", "every 15 minutes UTC"),
        ("30 3 * * Mon-Fri", "at 03:30 on Monday to Friday UTC"),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month if it is Friday UTC"),
        ("5 * * 6-8 *", "at minute 5 of every hour in June to August UTC"),
        ("CRON_TZ=Europe/Berlin @daily", "at 00:00 every day Europe/Berlin"),
    ],
)
def test_in_words(text: str, said: str) -> None:
    assert parse_schedule(text).words() == said


def test_standard_cron_takes_day_or_weekday() -> None:
    found = parse_schedule("CRON_TZ=UTC 0 0 13 * 5")
    assert times(found, at("2026-01-01T00:00"), 3) == [
        "2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"
    ]  # fmt: skip


def test_a_time_that_does_not_exist_fires_once_after_the_gap() -> None:
    # Berlin, 29 March 2026: 02:00 becomes 03:00.
    found = parse_schedule("CRON_TZ=Europe/Berlin 15,45 2 * * *")
    assert times(found, at("2026-03-28T12:00"), 3) == [
        "2026-03-29 01:00", "2026-03-30 00:15", "2026-03-30 00:45"
    ]  # fmt: skip


def test_an_hour_that_comes_twice_fires_once() -> None:
    # Berlin, 25 October 2026: 03:00 becomes 02:00.
    found = parse_schedule("CRON_TZ=Europe/Berlin 30 2 * * *")
    assert times(found, at("2026-10-24T12:00"), 2) == ["2026-10-25 00:30", "2026-10-26 01:30"]
    # Asked between the two: the second one is not another day's.
    assert times(found, at("2026-10-25T01:10"), 1) == ["2026-10-26 01:30"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                                  "Asia/Kolkata", "America/Santiago"])  # fmt: skip
def test_ten_years_of_a_nightly_timer_fire_once_a_local_day(zone: str) -> None:
    found = parse_schedule(f"CRON_TZ={zone} 30 2 * * *")
    moment, days = at("2024-01-01T12:00"), []
    while moment.year < 2034:
        following = found.next(moment)
        assert following is not None
        assert following > moment
        moment = following
        days.append(moment.astimezone(ZoneInfo(zone)).date())
    assert len(days) == len(set(days))
    assert all(b - a == timedelta(days=1) for a, b in itertools.pairwise(days))


FIELD = st.sampled_from(["*", "0", "5", "*/7", "1-3", "2,4"])


DAYS = st.sampled_from(
    [("*", "*"), ("1", "*"), ("28-31", "*"), ("*", "5"), ("*", "0,6"), ("*", "1-3")]
)


@settings(max_examples=200, deadline=None)
@given(FIELD, FIELD, DAYS, st.sampled_from(["*", "2", "1-6/2"]),
       st.integers(1_704_067_200, 1_990_000_000))  # fmt: skip
def test_both_dialects_agree_where_day_and_weekday_are_not_both_restricted(
    minute: str, hour: str, days: tuple[str, str], month: str, after: int
) -> None:
    fields = f"{minute} {hour} {days[0]} {month} {days[1]}"
    ours, standard = parse_schedule(fields), parse_schedule(f"CRON_TZ=UTC {fields}")
    moment = datetime.fromtimestamp(after, UTC)
    for _ in range(3):
        following = ours.next(moment)
        assert following is not None
        assert following == standard.next(moment)
        assert latest(ours, moment + timedelta(seconds=1), following) == following
        moment = following


def test_the_latest_of_many_is_found_quickly() -> None:
    found = parse_schedule("* * * * *")
    since, until = at("2020-01-01T00:00"), at("2026-01-01T00:00:30")
    assert latest(found, since, until) == at("2026-01-01T00:00")
    yearly = parse_schedule("0 0 1 3 *")
    assert latest(yearly, since, until) == at("2025-03-01T00:00")
    assert latest(yearly, at("2025-03-02T00:00"), until) is None
