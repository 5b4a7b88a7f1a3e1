"""Rows for timers: 10,000 due in one minute, until the last has fired, each once.

Real schedulers, each a process of its own (``python -m tests.bench.timers``):
one on SQLite, as in ``tasks up``; two on PostgreSQL.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog
from sqlalchemy import Connection, delete, func, select, update

from tasks_service.config import Settings
from tasks_service.model.run import RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.model.timer import Timer
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler import Scheduler, TimerDuty
from tasks_service.store import Store, open_store
from tasks_service.store.schema import upgrade
from tasks_service.store.tables import run_images, runs, timer_fires, timers
from tests.bench.measure import Row, compare
from tests.bench.place import ROOT, BenchError, Place
from tests.contract.stores import ENVELOPE, KINDS, database

TIMERS = 10_000
GOAL_S = 60.0
_PATIENCE_S = 600.0


def due(place: Place) -> Iterator[Row]:
    """Seconds from the minute that 10,000 timers wait for until all have fired."""
    for kind in KINDS:
        schedulers = 1 if kind == "sqlite" else 2
        with tempfile.TemporaryDirectory() as folder, database(kind, Path(folder)) as url:
            store = open_store(url, ENVELOPE)
            try:
                _fill(store)
                yield compare(
                    f"timers-{TIMERS}-due-{kind}",
                    lambda store=store, url=url, count=schedulers: _fired(store, url, count),
                    None,
                    goal=GOAL_S,
                    rounds=min(place.rounds, 3),
                )
            finally:
                store.close()


def _fill(store: Store) -> None:
    upgrade(store.database)
    for number in range(TIMERS):
        daily = (Timer("t", "0 3 * * *"),)
        task = TaskDefinition(f"app-{number}", RunRequest(command="alpine true"), timers=daily)
        store.tasks.create(task, RunSecrets(values=("TOKEN=secret",)))


def _fired(store: Store, url: str, schedulers: int) -> float:
    """Have all timers become due at one moment; return how long it took to fire them."""
    _clear(store)
    with ExitStack() as stack:
        for _ in range(schedulers):
            stack.enter_context(_scheduler(url))
        _await(store, lambda: _count(store, planned=True) == TIMERS)
        # Their time came, a day early: all at once, a minute ago at most.
        begun = time.perf_counter()
        store.database.write(
            lambda c: c.execute(update(timers).values(at=time.time(), due=time.time() // 60 * 60))
        )
        _await(store, lambda: _count(store) >= TIMERS)
        took = time.perf_counter() - begun
        # Nobody fires any of them again.
        time.sleep(2)
    distinct = store.database.read(
        lambda c: c.execute(select(func.count(func.distinct(runs.c.task)))).scalar_one()
    )
    if (_count(store), distinct) != (TIMERS, TIMERS):
        raise BenchError(f"{_count(store)} runs of {distinct} tasks for {TIMERS} timers")
    return took


def _clear(store: Store) -> None:
    def work(connection: Connection) -> None:
        for table in (run_images, runs, timer_fires):
            connection.execute(delete(table))
        connection.execute(update(timers).values(due=None, at=0))

    store.database.write(work)


def _count(store: Store, *, planned: bool = False) -> int:
    query = select(func.count()).select_from(runs)
    if planned:
        query = select(func.count()).select_from(timers).where(timers.c.due.is_not(None))
    return int(store.database.read(lambda c: c.execute(query).scalar_one()))


def _await(store: Store, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"only {_count(store)} of {TIMERS} fired in {_PATIENCE_S:.0f} s")
        time.sleep(0.1)


@contextmanager
def _scheduler(url: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.timers", url],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise BenchError("a scheduler did not start")
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


class _Nobody:
    """Wakes no workers: there are none."""

    def announce(self, pool: str, run_id: str) -> None:
        """Do nothing."""


def serve(url: str) -> None:
    """Be a scheduler of timers until standard input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    store = open_store(url, ENVELOPE)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder))
        life = RunLife(store, _Nobody(), settings)
        scheduler = Scheduler((TimerDuty(store, life, _Nobody()).group(),))
        scheduler.start()
        print("ready", flush=True)
        sys.stdin.read()
        scheduler.stop()
    store.close()


if __name__ == "__main__":
    serve(sys.argv[1])
