"""Two worker processes on one Redis: runs start at once, wherever there is an idle hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.queue import open_queue
from tasks_service.store import open_store
from tasks_service.store.schema import upgrade
from tests.contract.stores import ENVELOPE, KINDS, database
from tests.faults.parts import redis_server
from tests.faults.process import WorkerProcess, wait_until_said
from tests.faults.service import Inside, check_invariants, inside, wait_for


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inside]:
    with redis_server(tmp_path) as server, database(request.param, tmp_path) as url:
        store = open_store(url, ENVELOPE)
        upgrade(store.database)
        with inside(store, tmp_path, database_url=url, redis_url=server.url, lease=10.0) as found:
            yield found
        store.close()


def test_one_message_reaches_all_idle_hands(service: Inside) -> None:
    """Five runs, one wake-up: both workers' four slots are busy within a moment, not a poll."""
    workers = [WorkerProcess(service), WorkerProcess(service)]
    queue = open_queue(service.settings)
    try:
        wait_for(lambda: len(service.store.workers.list()) == 2)
        _heard(service, queue)
        for number in range(5):
            service.accept(f"r{number}", "sleep-60000")
        queue.wake("default")
        wait_for(
            lambda: sum(service.run(f"r{n}").status is not RunStatus.QUEUED for n in range(5)) == 4,
            within_s=10,
        )
        assert len({service.run(f"r{n}").owner for n in range(5)} - {""}) == 2
        for number in range(5):
            service.store.runs.request_cancel(f"r{number}", reason="seen enough")
        runs = service.ended(*(f"r{n}" for n in range(5)))
        assert {run.status for run in runs} == {RunStatus.CANCELED}
        check_invariants(service)
    finally:
        queue.close()
        for worker in workers:
            worker.end()


def test_a_wake_is_not_swallowed_by_a_worker_whose_hands_are_full(service: Inside) -> None:
    busy = WorkerProcess(service, concurrency=1)
    idle = None
    queue = open_queue(service.settings)
    try:
        service.accept("long", "sleep-6000")
        queue.wake("default")
        wait_until_said(service, "long", "begun")
        idle = WorkerProcess(service, concurrency=1)
        _heard(service, queue)
        for number in range(6):
            started = time.monotonic()
            service.accept(f"r{number}", "say")
            queue.wake("default")
            service.ended(f"r{number}")
            assert time.monotonic() - started < 10
        assert not service.run("long").status.finished
    finally:
        queue.close()
        for worker in (busy, idle):
            if worker is not None:
                worker.end()


def _heard(service: Inside, queue: object) -> None:
    """Return once a wake-up starts a run: the consumers are connected."""
    name = service.accept(f"first{len(service.accepted)}", "say")
    deadline = time.monotonic() + 20
    while not service.run(name).status.finished:
        assert time.monotonic() < deadline
        queue.wake("default")  # type: ignore[attr-defined]
        time.sleep(0.2)
