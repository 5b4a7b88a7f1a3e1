"""Timers on real stores: each fire time once, with two schedulers and a clock that jumps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from runners.model.clock import ManualClock
from tasks_service.config import Settings
from tasks_service.model.run import Run, RunFilter, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.model.timer import SKIP, Timer
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler.timers import TimerDuty
from tasks_service.store import Store
from tests.contract.stores import KINDS, opened

COMMAND = RunRequest(command="alpine true")
SECRETS = RunSecrets(values=("TOKEN=canary",))


class Announced:
    def __init__(self) -> None:
        self.pools: list[str] = []

    def announce(self, pool: str, run_id: str) -> None:
        self.pools.append(pool)


def duty(store: Store, folder: Path, **settings: object) -> TimerDuty:
    announced = Announced()
    chosen = replace(Settings(state_dir=folder), **settings)  # type: ignore[arg-type]
    return TimerDuty(store, RunLife(store, announced, chosen), announced)


def task(store: Store, *timers: Timer, name: str = "app", **more: object) -> None:
    definition = TaskDefinition(name, COMMAND, timers=timers, **more)  # type: ignore[arg-type]
    if store.tasks.get(name) is None:
        store.tasks.create(definition, SECRETS)
    else:
        store.tasks.replace(definition, SECRETS)


def fired(store: Store) -> list[Run]:
    return list(reversed(store.runs.list(RunFilter(cause="timer"), limit=500).runs))


def occurrences(store: Store) -> list[str]:
    return [run.cause.detail["scheduleOccurrence"] for run in fired(store)]


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    # Second 30 of a minute, so that a step of a minute crosses one edge.
    clock.advance(90 - clock.now().timestamp() % 60)
    return clock


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with opened("sqlite", tmp_path, clock) as found:
        yield found


def settle(*duties: TimerDuty) -> None:
    for one in duties:
        while one.fire():
            pass


def test_a_timer_of_every_minute_fires_ten_times_in_ten_minutes_with_two_schedulers(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    one, two = duty(store, tmp_path), duty(store, tmp_path)
    task(store, Timer("t", "* * * * *"))
    settle(one, two)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(600):
            clock.advance(1)
            list(pool.map(lambda each: each.fire(), (one, two)))
    found = occurrences(store)
    assert len(found) == len(set(found)) == 10
    times = [datetime.fromisoformat(text).timestamp() for text in found]
    assert [b - a for a, b in itertools.pairwise(times)] == [60] * 9
    run = fired(store)[0]
    assert (run.lane, run.cause.actor, run.task) == ("timer", "t", "app")
    assert store.runs.secrets(run.id) == SECRETS
    assert store.timers.states("app")["t"].last_run == fired(store)[-1].id


def test_a_clock_that_jumps_an_hour_there_and_back_repeats_nothing(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    one = duty(store, tmp_path)
    task(store, Timer("t", "* * * * *"))
    settle(one)
    clock.advance(60)
    settle(one)
    assert len(fired(store)) == 1
    clock.advance(3600)
    settle(one)
    assert len(fired(store)) == 2  # sixty missed, one run
    assert fired(store)[1].cause.detail.get("missed") is None
    clock.advance(-3600)
    settle(one)
    assert len(fired(store)) == 2
    for _ in range(5):
        clock.advance(60)
        settle(one)
    found = occurrences(store)
    assert len(found) == len(set(found)) == 7


def test_three_hours_of_downtime_make_one_run_and_skip_makes_none(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    clock.advance(3600 - clock.now().timestamp() % 3600 + 1800)  # half past
    one = duty(store, tmp_path)
    task(store, Timer("t", "0 * * * *"))
    task(store, Timer("t", "0 * * * *", misfire=SKIP), name="other")
    settle(one)
    clock.advance(3 * 3600)
    settle(one)
    (run,) = fired(store)
    assert (run.task, run.cause.detail["missed"]) == ("app", "true")
    clock.advance(1800)
    settle(one)
    assert sorted(found.task for found in fired(store)) == ["app", "app", "other"]


def test_disabled_timers_and_tasks_fire_never_and_catch_nothing_up(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    one = duty(store, tmp_path)
    task(store, Timer("t", "* * * * *", enabled=False))
    task(store, Timer("t", "* * * * *"), name="off", status="Disabled")
    settle(one)
    clock.advance(600)
    settle(one)
    task(store, Timer("t", "* * * * *"))
    settle(one)
    assert fired(store) == []
    clock.advance(60)
    settle(one)
    assert len(fired(store)) == 1
    store.tasks.delete("app")
    clock.advance(60)
    settle(one)
    assert len(fired(store)) == 1


def test_a_queue_that_is_full_makes_timers_wait(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    task(store, Timer("t", "0 0 1 1 *"), Timer("u", "* * * * *"))
    full = duty(store, tmp_path, max_queued=1)
    settle(full)
    clock.advance(60)
    settle(full)
    clock.advance(60)
    settle(full)
    assert len(fired(store)) == 1
    settle(duty(store, tmp_path))
    assert len(fired(store)) == 2


def test_of_more_timers_than_there_is_room_for_as_many_fire_as_fit(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    task(store, *(Timer(f"t{number}", "* * * * *") for number in range(5)))
    full = duty(store, tmp_path, max_queued=3)
    settle(full)
    clock.advance(60)
    settle(full)
    assert len(fired(store)) == 3
    store.runs.request_cancel(fired(store)[0].id, reason="room")
    settle(full)
    assert len(fired(store)) == 4
    assert len({run.cause.actor for run in fired(store)}) == 4


def test_a_task_that_can_t_be_run_any_more_says_why(
    store: Store, tmp_path: Path, clock: ManualClock
) -> None:
    task(store, Timer("t", "* * * * *"))
    strict = duty(store, tmp_path, max_timeout=60.0)
    settle(strict)
    clock.advance(60)
    settle(strict)
    assert fired(store) == []
    assert "timeout" in store.timers.states("app")["t"].problem


@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_due_at_once_fire_once_each_by_two_schedulers(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as store:
        for number in range(300):
            task(store, Timer("t", "* * * * *"), name=f"app-{number}")
        one, two = duty(store, tmp_path), duty(store, tmp_path)
        settle(one)
        make_due(store)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(settle, (one, two)))
        names = [run.task for run in fired(store)]
        assert len(names) == len(set(names)) == 300


def make_due(store: Store) -> None:
    """Move every plan two minutes back, as if the time had come."""
    from sqlalchemy import update

    from tasks_service.store.tables import timers

    store.database.write(
        lambda connection: connection.execute(
            update(timers).values(due=timers.c.due - 120, at=timers.c.at - 120)
        )
    )
