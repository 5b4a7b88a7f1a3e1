"""Runners that wait: each for one run, never a dead or old one, none left at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runners.backends.base import Limits, Prepared, SandboxRequest
from runners.backends.fake import FakeBackend, FakePrepared
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, Unavailable
from tasks_service.execution.warm import WarmPool
from tasks_service.execution.warm_backends import WarmBackends
from tests.faults.service import OneBackend, wait_for

REQUEST = SandboxRequest("run")


class Slow(FakeBackend):
    """Prepares when it is let; remembers how often that was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.let = threading.Semaphore(0)
        self.error: Exception | None = None

    def prepare(
        self, limits: Limits, cancel: Cancellation, *, read_only: bool = False
    ) -> Prepared | None:
        self.asked += 1
        while not self.let.acquire(timeout=0.01):
            cancel.check()
        if self.error is not None:
            raise self.error
        return super().prepare(limits, cancel, read_only=read_only)


Make = Callable[..., WarmPool]


@pytest.fixture
def make() -> Iterator[Make]:
    pools: list[WarmPool] = []

    def started(backend: FakeBackend, **changes: Any) -> WarmPool:
        settings = {"least": 1, "most": 2, "max_age_s": 600.0, **changes}
        pools.append(WarmPool(lambda: backend, Limits(), **settings))
        pools[-1].start()
        return pools[-1]

    yield started
    for pool in pools:
        pool.close()


def test_a_run_takes_one_that_waits_and_another_is_made(make: Make) -> None:
    backend = FakeBackend()
    pool = make(backend)
    wait_for(lambda: pool.ready == 1)
    first = pool.open(REQUEST, Cancellation())
    wait_for(lambda: pool.ready == 1)
    second = pool.open(REQUEST, Cancellation())
    assert first.warm
    assert second.warm
    assert first is not second
    # Each was opened once: a runner never sees two runs.
    assert [one.opened for one in backend.prepared[:2]] == [True, True]


def test_bursts_make_more_wait_up_to_what_can_run(make: Make) -> None:
    backend = FakeBackend()
    pool = make(backend, most=3)
    for _ in range(6):
        pool.open(REQUEST, Cancellation())
    wait_for(lambda: pool.ready == 3)


def test_where_none_waits_a_run_is_opened_cold(make: Make) -> None:
    backend = Slow()
    backend.error = Unavailable("no loop device")
    backend.let.release()
    pool = make(backend)
    wait_for(lambda: backend.asked == 1 and not pool.ready)
    wait_for(lambda: not pool.making)
    assert not pool.open(REQUEST, Cancellation()).warm
    # What failed is not tried again at once.
    assert backend.asked == 1


def test_a_run_waits_for_one_that_is_being_made(make: Make) -> None:
    backend = Slow()
    pool = make(backend)
    wait_for(lambda: backend.asked == 1)
    threading.Timer(0.1, backend.let.release).start()
    assert pool.open(REQUEST, Cancellation()).warm
    assert len(backend.sandboxes) == 1


def test_a_canceled_run_leaves_what_it_waited_for_to_another(make: Make) -> None:
    backend = Slow()
    pool = make(backend)
    wait_for(lambda: backend.asked == 1)
    cancel = Cancellation()
    threading.Timer(0.05, cancel.cancel).start()
    with pytest.raises(Canceled):
        pool.open(REQUEST, cancel)
    backend.let.release()
    wait_for(lambda: pool.ready == 1)
    assert pool.open(REQUEST, Cancellation()).warm


def test_one_that_died_while_it_waited_is_not_used(make: Make) -> None:
    backend = FakeBackend()
    pool = make(backend)
    wait_for(lambda: pool.ready == 1)
    (dead,) = backend.prepared
    dead.alive = False
    pool.open(REQUEST, Cancellation())
    assert dead.closed
    assert not dead.opened


def test_one_that_waited_too_long_is_not_used(make: Make) -> None:
    backend, clock = FakeBackend(), [1000.0]
    pool = make(backend, max_age_s=60.0, now=lambda: clock[0])
    wait_for(lambda: pool.ready == 1)
    clock[0] += 61
    pool.open(REQUEST, Cancellation())
    assert backend.prepared[0].closed
    assert not backend.prepared[0].opened


def test_old_ones_are_made_anew_without_any_run(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks_service.execution.warm.LOOK_S", 0.02)
    backend, clock = FakeBackend(), [1000.0]
    pool = make(backend, max_age_s=60.0, now=lambda: clock[0])
    wait_for(lambda: pool.ready == 1)
    clock[0] += 61
    wait_for(lambda: len(backend.prepared) == 2 and pool.ready == 1)
    assert [one.closed for one in backend.prepared] == [True, False]
    backend.prepared[1].alive = False
    clock[0] += 1
    wait_for(lambda: len(backend.prepared) == 3 and pool.ready == 1)


def test_a_run_that_asks_for_another_disk_gets_its_own(make: Make) -> None:
    backend = FakeBackend()
    pool = make(backend)
    wait_for(lambda: pool.ready == 1)
    large = SandboxRequest("large", limits=Limits(disk_bytes=99 << 30))
    assert not pool.open(large, Cancellation()).warm
    assert pool.open(REQUEST, Cancellation()).warm


def test_one_that_breaks_when_it_is_opened_costs_the_run_only_time(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FakePrepared, request: SandboxRequest, cancel: Cancellation) -> Any:
        raise Unavailable("it went away")

    monkeypatch.setattr(FakePrepared, "open", broken)
    backend = FakeBackend()
    pool = make(backend)
    wait_for(lambda: pool.ready == 1)
    assert not pool.open(REQUEST, Cancellation()).warm


def test_the_end_destroys_what_waits_and_what_comes(make: Make) -> None:
    backend = Slow()
    pool = make(backend, least=2)
    backend.let.release()
    wait_for(lambda: pool.ready == 1 and backend.asked == 2)
    pool.close()
    assert [one.closed for one in backend.prepared] == [True]
    assert not pool.ready
    assert not pool.making
    # A run that was claimed before still gets a runner.
    assert not pool.open(REQUEST, Cancellation()).warm


def test_only_the_installations_own_level_waits() -> None:
    backend = FakeBackend()
    warm = WarmBackends(OneBackend(backend), least=1, most=1, max_age_s=60, level="D3")
    assert warm.get() is not backend
    assert warm.get("D3") is warm.get()
    assert warm.get("D2") is backend


def test_runs_of_pull_requests_never_get_what_waits_for_trusted_runs() -> None:
    backend = FakeBackend()
    warm = WarmBackends(OneBackend(backend), least=1, most=1, max_age_s=600)
    warm.start()
    try:
        wait_for(lambda: [one.read_only for one in backend.prepared] == [False])
        untrusted = SandboxRequest("pull", read_only=True)
        assert not warm.get().open(untrusted, Cancellation()).warm
        # Now there was one, and another waits for the next: one of its own.
        wait_for(lambda: [one.read_only for one in backend.prepared] == [False, True])
        wait_for(lambda: warm.get().open(untrusted, Cancellation()).warm)
        opened = [one for one in backend.prepared if one.opened]
        assert all(one.read_only for one in opened)
        assert warm.get().open(REQUEST, Cancellation()).warm
        assert backend.prepared[0].opened
    finally:
        warm.close()
    assert all(one.opened or one.closed for one in backend.prepared)


def test_none_is_made_where_none_is_wanted() -> None:
    backend = FakeBackend()
    warm = WarmBackends(OneBackend(backend), least=0, most=4, max_age_s=60)
    warm.start()
    assert warm.get() is backend
    warm.close()
    assert backend.prepared == []
