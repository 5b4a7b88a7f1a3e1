"""Timers: jitter, windows, what was missed. Plain values, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from tasks_service.model.timer import SKIP, Timer
from tasks_service.runs.timer_checks import timer_errors
from tasks_service.triggers.schedule import InvalidSchedule
from tasks_service.triggers.timer import CompiledTimer, Plan
from tasks_service.triggers.windows import Windows


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def compiled(schedule: str, **more: object) -> CompiledTimer:
    return CompiledTimer(Timer("t", schedule, **more), "task")  # type: ignore[arg-type]


def moments(timer: CompiledTimer, after: str, count: int) -> list[str]:
    return [p.at.strftime("%a %d %H:%M") for p in islice(timer.upcoming(at(after)), count)]


def test_on_time_it_fires_and_plans_the_next() -> None:
    timer = compiled("0 * * * *")
    plan = timer.plan(at("2026-01-01T00:30"))
    assert plan == Plan(at("2026-01-01T01:00"), at("2026-01-01T01:00"))
    found = timer.decide(plan, at("2026-01-01T01:00:01"))
    assert (found.fire, found.missed) == (plan.due, False)
    assert found.then == Plan(at("2026-01-01T02:00"), at("2026-01-01T02:00"))


def test_hours_of_downtime_make_one_run_or_none() -> None:
    for misfire, fire in (("run-once", at("2026-01-01T04:00")), (SKIP, None)):
        timer = compiled("0 * * * *", misfire=misfire)
        plan = timer.plan(at("2026-01-01T00:30"))
        assert plan is not None
        found = timer.decide(plan, at("2026-01-01T04:30"))
        assert (found.fire, found.missed) == (fire, fire is not None)
        assert found.then == Plan(at("2026-01-01T05:00"), at("2026-01-01T05:00"))


def test_a_timer_that_skips_still_fires_the_newest_if_it_is_fresh() -> None:
    timer = compiled("* * * * *", misfire=SKIP)
    plan = Plan(at("2026-01-01T00:00"), at("2026-01-01T00:00"))
    assert timer.decide(plan, at("2026-01-01T03:00:10")).fire == at("2026-01-01T03:00")


def test_jitter_is_the_same_each_time_and_within_its_bound() -> None:
    first = CompiledTimer(Timer("a", "0 3 * * *", jitter_s=600), "x")
    times = list(islice(first.upcoming(at("2026-01-01T00:00")), 3))
    offsets = {plan.at - plan.due for plan in times}
    assert len(offsets) == 1
    assert timedelta() <= offsets.pop() <= timedelta(seconds=600)
    spread = {
        p.at
        for n in range(50)
        if (p := CompiledTimer(Timer("a", "0 3 * * *", jitter_s=600), f"x{n}").plan(times[0].due))
    }
    assert len(spread) > 40


def test_outside_its_window_it_waits_or_passes_over() -> None:
    windows = ("Sat,Sun 02:00-06:00 Europe/Berlin",)
    waits = compiled("0 12 * * *", windows=windows)
    # 12:00 never lies in the window: what was due in the week runs once, when it opens.
    assert moments(waits, "2026-01-01T00:00", 3) == ["Sat 03 01:00", "Sun 04 01:00", "Sat 10 01:00"]
    passes = compiled("0 * * * *", windows=windows, misfire=SKIP)
    assert moments(passes, "2026-01-01T00:00", 5) == [
        "Sat 03 01:00", "Sat 03 02:00", "Sat 03 03:00", "Sat 03 04:00", "Sun 04 01:00"
    ]  # fmt: skip


def test_what_waited_for_its_window_was_not_missed() -> None:
    timer = compiled("0 12 * * *", windows=("02:00-06:00",))
    plan = timer.plan(at("2026-01-01T00:00"))
    assert plan == Plan(at("2026-01-01T12:00"), at("2026-01-02T02:00"))
    assert timer.decide(plan, at("2026-01-02T02:00:01")).missed is False


def test_a_scheduler_that_wakes_outside_the_window_waits_for_it() -> None:
    timer = compiled("0 3 * * *", windows=("02:00-06:00",))
    plan = Plan(at("2026-01-01T03:00"), at("2026-01-01T03:00"))
    found = timer.decide(plan, at("2026-01-01T09:00"))
    assert (found.fire, found.then) == (None, Plan(plan.due, at("2026-01-02T02:00")))


def test_closed_windows() -> None:
    windows = Windows(("!Mon-Fri 08:00-18:00", "!Fri 18:00-24:00"))
    assert windows.allows(at("2026-01-03T12:00"))
    assert windows.opens(at("2026-01-02T09:00")) == at("2026-01-03T00:00")


def test_a_window_over_midnight_belongs_to_the_day_it_begins() -> None:
    windows = Windows(("Fri 22:00-04:00",))
    assert windows.allows(at("2026-01-03T03:59"))
    assert not windows.allows(at("2026-01-02T03:00"))


@pytest.mark.parametrize(
    "text", ["", "02:00", "25:00-26:00", "02:60-03:00", "02:00-02:00", "Foo 02:00-03:00",
             "24:00-02:00", "02:00-03:00 Mars/Base", "x" * 300]
)  # fmt: skip
def test_windows_that_can_t_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        Windows((text,))


def test_every_problem_of_a_task_s_timers_has_its_pointer() -> None:
    timers = (
        Timer("a", "0 0 * * *"),
        Timer("a", "0 1 * * *"),
        Timer("b c", "0 0 * * *"),
        Timer("d", "0 0 * * 9", windows=("nonsense",)),
        Timer("e", "0 12 * * *", misfire=SKIP, windows=("02:00-06:00",)),
    )
    assert [error.pointer for error in timer_errors(timers)] == [
        "/timers/1/name",
        "/timers/2/name",
        "/timers/2/schedule",
        "/timers/3/schedule",
        "/timers/3/windows/0",
        "/timers/4/windows",
    ]
