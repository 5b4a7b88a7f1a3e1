"""Rows for the service: runs through API, queue and worker, with runners that do nothing."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import func, select

from tasks_service.store.tables import runs
from tests.bench.bare_celery import drain
from tests.bench.measure import Row, compare
from tests.bench.place import Place
from tests.bench.service_place import NO_OP, Service, at_work, kinds, percentile, service

COUNT = 1000
SLOTS = 4
FIRSTS = 100
_KINDS = ("postgresql", "sqlite")
NOOP_ROWS = tuple(f"service-runs-{name}-{kind}" for kind in _KINDS for name in ("whole", "drain"))
FIRST_STEP_ROWS = tuple(f"service-first-step-{kind}" for kind in _KINDS)


def _span(place: Service) -> tuple[float, float]:
    """Return when the first of the runs was claimed, and when the last ended."""
    query = select(func.min(runs.c.started), func.max(runs.c.finished))
    return place.store.database.read(lambda connection: tuple(connection.execute(query).one()))


def _whole(kind: str, redis_url: str) -> float:
    """Post runs to a service at work; return milliseconds a run until the last is recorded."""
    with at_work(kind, redis_url, SLOTS) as found:
        found.post(SLOTS)
        found.await_ended(SLOTS)
        start = time.time()
        found.post(COUNT)
        found.await_ended(COUNT + SLOTS)
        return (_span(found)[1] - start) * 1000 / COUNT


def _drained(kind: str, redis_url: str) -> float:
    """Post runs first, then have a worker; return milliseconds a run from claim to record."""
    with service(kind, redis_url) as found:
        found.post(COUNT)
        with found.working(SLOTS):
            found.await_ended(COUNT)
            first, last = _span(found)
            return (last - first) * 1000 / COUNT


def noop(place: Place) -> Iterator[Row]:
    """No-op runs / bare Celery's no-op jobs on the same Redis: milliseconds each.

    At least half its speed is a ratio of two at most.
    """
    redis_url = os.environ["TASKS_TEST_REDIS"]
    for kind, queue in kinds():
        for name, ours in (("whole", _whole), ("drain", _drained)):
            yield compare(
                f"service-runs-{name}-{kind}",
                lambda ours=ours, kind=kind, queue=queue: ours(kind, queue),
                lambda: drain(redis_url, 5 * COUNT) * 1000 / (5 * COUNT),
                goal=2.0,
                rounds=min(place.rounds, 3),
                unit="ms/run",
            )


def first_step(place: Place) -> Iterator[Row]:
    """From just before the POST to the start of the first step: median, milliseconds."""
    del place
    for kind, queue in kinds():
        with at_work(kind, queue, 2) as found:
            took = [_to_first_step(found, number) for number in range(FIRSTS + 5)]
        warm = took[5:]
        print(f"  {kind}: p95 {percentile(warm, 0.95):.1f} ms")
        median = statistics.median(warm)
        yield Row(f"service-first-step-{kind}", median, None, None, 60.0, "ms", len(warm))


def _to_first_step(place: Service, before: int) -> float:
    link = place.connect()
    start = time.time()
    posted = link.call("POST", "/api/v1/runs", {**NO_OP, "pool": place.settings.pool})
    place.await_ended(before + 1)
    record = link.call("GET", f"/api/v1/runs/{posted['id']}")
    link.close()
    began = datetime.fromisoformat(record["steps"][0]["startTime"]).timestamp()
    return (began - start) * 1000
