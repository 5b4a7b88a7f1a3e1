"""Faults of timers: schedulers that race and crash, clocks that jump, hours that come twice.

Each function fails unless what must hold holds. F19 and F20 are those of the
project's list of faults. Clocks are moved by hand where SQLite asks for them.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, update

from runners.model.clock import ManualClock
from tasks_service.config import Settings
from tasks_service.model.run import Run, RunFilter, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.model.timer import Timer
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler.timers import TimerDuty
from tasks_service.store import Store
from tasks_service.store.tables import timer_fires, timers
from tests.contract.stores import opened

HOUR_S = 3600


class Crash(Exception):
    """A scheduler died here."""


class Crashing:
    """A store whose scheduler dies now and then, before or after what it wrote is there."""

    def __init__(self, store: Store, chance: random.Random, often: float) -> None:
        self._store, self._chance, self._often = store, chance, often

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def timers(self) -> Any:
        return self

    def due(self, *, limit: int) -> Any:
        # Small bites, so that two schedulers meet in the middle of them.
        return self._store.timers.due(limit=min(limit, self._chance.randrange(1, 40)))

    def secrets(self, task: str) -> RunSecrets:
        return self._store.timers.secrets(task)

    def settle(self, outcomes: Any, *, max_queued: int = 0) -> Any:
        if self._chance.random() < self._often:
            raise Crash
        found = self._store.timers.settle(outcomes, max_queued=max_queued)
        if self._chance.random() < self._often:
            raise Crash
        return found


class Announced:
    """Wakes nobody."""

    def announce(self, pool: str, run_id: str) -> None:
        """Do nothing."""


def scheduler(store: Any, folder: Path) -> TimerDuty:
    """Return a scheduler's duty of timers."""
    settings = Settings(state_dir=folder, max_queued=0)
    return TimerDuty(store, RunLife(store, Announced(), settings), Announced())


def store_task(store: Store, name: str, *schedules: str) -> None:
    """Store a task with a timer for each schedule: t0, t1, …"""
    found = tuple(Timer(f"t{number}", text) for number, text in enumerate(schedules))
    definition = TaskDefinition(name, RunRequest(command="alpine true"), timers=found)
    store.tasks.create(definition, RunSecrets())


def fired(store: Store) -> list[Run]:
    """Return all runs of timers."""
    found: list[Run] = []
    cursor = ""
    while True:
        page = store.runs.list(RunFilter(cause="timer"), limit=500, cursor=cursor)
        found += page.runs
        cursor = page.cursor
        if not cursor:
            return found


def occurrence(run: Run) -> tuple[str, str, str]:
    """Return which fire time of which timer a run is for."""
    return run.task, run.cause.actor, run.cause.detail["scheduleOccurrence"]


def work(duties: list[TimerDuty], together: Callable[..., Any] = map) -> None:
    """Have all schedulers do what is due; those that crash start again."""

    def one(duty: TimerDuty) -> None:
        for _ in range(1000):
            try:
                if not duty.fire():
                    return
            except Crash:
                continue

    list(together(one, duties))


def schedulers_that_crash(
    store: Store, folder: Path, chance: random.Random, *, count: int = 100, rounds: int = 3
) -> None:
    """F19: three schedulers race and die at any moment: each fire time starts one run."""
    for number in range(count):
        store_task(store, f"app-{number}", "0 0 29 2 *")
    often = 0.3
    duties = [
        scheduler(Crashing(store, random.Random(chance.random()), often), folder) for _ in range(3)
    ]
    calm = scheduler(store, folder)
    work([calm])
    past = time.time() // 60 * 60 - HOUR_S
    with ThreadPoolExecutor(3) as pool:
        for turn in range(1, rounds + 1):
            # Their time has come: minutes of the last hour, whatever the schedule says.
            store.database.write(
                lambda c, turn=turn: c.execute(update(timers).values(due=past + 60 * turn, at=past))
            )
            work(duties, pool.map)
            work([calm])
            runs = Counter(run.task for run in fired(store))
            assert set(runs.values()) == {turn}, runs.most_common(3)
            assert len(runs) == count
    # Nobody was told of those whose scheduler died: the others find them.
    assert list(store.recovery.unannounced(older_than_s=0)) == ["default"]


def clocks_that_jump(folder: Path, chance: random.Random, *, jumps: int = 40) -> None:
    """F20: the clock jumps back and forth: no fire time twice, and each minute again after."""
    clock = ManualClock()
    clock.advance(90 - clock.now().timestamp() % 60)
    with opened("sqlite", folder, clock) as store:
        store_task(store, "app", "* * * * *", "*/7 * * * *", "CRON_TZ=Europe/Berlin 0 * * * *")
        duties = [scheduler(store, folder) for _ in range(2)]
        work(duties)
        latest = clock.now()
        for _ in range(jumps):
            clock.advance(chance.choice((1, 1, 1, -1)) * chance.randrange(5, 3 * HOUR_S))
            for _ in range(chance.randrange(1, 6)):
                work(chance.sample(duties, 2))
                clock.advance(chance.randrange(1, 61))
            latest = max(latest, clock.now())
            once(store)
        # It stands right again, beyond all that was seen: nothing is left out.
        clock.advance((latest - clock.now()).total_seconds() + 120)
        work(duties)
        before = minutes(store)
        for _ in range(10):
            clock.advance(60)
            work(duties)
        once(store)
        assert len(minutes(store) - before) == 10


def hours_that_come_twice_or_never(folder: Path, chance: random.Random, *, days: int = 4) -> None:
    """F20: around changes of clocks: a fixed hour fires once a day, quarters by the real time."""
    zones = ["Europe/Berlin", "America/New_York", "America/St_Johns", "Pacific/Auckland"]
    zones += ["Europe/London", "America/Santiago", "Australia/Sydney", "Atlantic/Azores"]
    for number, zone in enumerate(chance.sample(zones, 2)):
        for change in changes(zone, 2026 + chance.randrange(8)):
            place = folder / f"{number}-{change:%Y%m%d}"
            place.mkdir()
            _day(place, zone, change, chance, days)


def changes(zone: str, year: int) -> list[datetime]:
    """Return when a zone's clocks change in a year, UTC."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(366 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [
        hour
        for hour, (one, two) in zip(hours[1:], itertools.pairwise(offsets), strict=False)
        if one != two
    ]


def _day(folder: Path, zone: str, change: datetime, chance: random.Random, days: int) -> None:
    fixed = f"{chance.randrange(0, 60, 5)} {chance.randrange(4)}"
    clock = ManualClock()
    begin = change - timedelta(days=days // 2)
    clock.advance((begin - clock.now()).total_seconds())
    with opened("sqlite", folder, clock) as store:
        store_task(store, "app", f"CRON_TZ={zone} {fixed} * * *", f"CRON_TZ={zone} */15 * * * *")
        duties = [scheduler(store, folder) for _ in range(2)]
        work(duties)
        for _ in range(days * 24 * 12):
            clock.advance(300)
            work(chance.sample(duties, 2))
        once(store)
        by_day: Counter[Any] = Counter()
        quarters = 0
        for run in fired(store):
            assert "missed" not in run.cause.detail, (zone, fixed, run.cause)
            at = datetime.fromisoformat(occurrence(run)[2])
            if run.cause.actor == "t0":
                by_day[at.astimezone(ZoneInfo(zone)).date()] += 1
            else:
                quarters += 1
        assert set(by_day.values()) == {1}, (zone, fixed, by_day)
        assert days - 1 <= len(by_day) <= days + 1, (zone, fixed, by_day)
        assert abs(quarters - days * 96) <= 1, (zone, change, quarters)


def once(store: Store) -> None:
    """Fail if a fire time started two runs, or one that is not noted."""
    found = [occurrence(run) for run in fired(store)]
    assert len(found) == len(set(found)), Counter(found).most_common(1)
    noted = store.database.read(
        lambda c: {row.run_id for row in c.execute(select(timer_fires)) if row.run_id}
    )
    assert {run.id for run in fired(store)} == noted


def minutes(store: Store) -> set[str]:
    """Return the fire times of the timer of every minute that started a run."""
    return {occurrence(run)[2] for run in fired(store) if run.cause.actor == "t0"}
