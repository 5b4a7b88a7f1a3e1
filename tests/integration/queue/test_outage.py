"""Wake-ups through a real Redis that is killed, stopped, frozen and emptied.

Wake-ups may be lost; the queue must never hang a caller, and a consumer must
take messages again once Redis is back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from runners.model.errors import Unavailable
from tasks_service.config import Settings
from tasks_service.devstack.databases import RedisServer
from tasks_service.queue import BrokerCheck, Consumer, Queue, open_queue
from tasks_service.queue.publisher import WAKE_S
from tests.faults.parts import await_that, redis_server

POOL = "default"
ROOM_S = 0.5
BACK_S = 30


class Counted:
    """Counts wake-ups, and how many were in work at once."""

    def __init__(self) -> None:
        self.count = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.count += 1
        self.gate.wait(BACK_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, redis_url=server.url, pool=POOL)


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    queue = open_queue(settings)
    yield queue
    queue.close()


@pytest.fixture
def consumer(settings: Settings) -> Iterator[tuple[Consumer, Counted]]:
    counted = Counted()
    consumer = Consumer(settings, counted, concurrency=2)
    consumer.start()
    assert consumer.await_ready(BACK_S)
    yield consumer, counted
    counted.gate.set()
    consumer.stop()
    assert not consumer.alive


def wake_until_heard(queue: Queue, counted: Counted) -> None:
    before = counted.count

    def heard() -> bool:
        try:
            queue.wake(POOL)
        except Unavailable:
            return False
        time.sleep(0.1)
        return counted.count > before

    await_that(heard)


def test_a_wake_reaches_a_worker_of_the_pool(
    queue: Queue, consumer: tuple[Consumer, Counted]
) -> None:
    _, counted = consumer
    queue.wake("another")
    queue.wake(POOL)
    await_that(lambda: counted.count == 1)


@pytest.mark.parametrize("busy", [False, True])
def test_wakes_are_heard_again_after_redis_was_killed(
    server: RedisServer, queue: Queue, consumer: tuple[Consumer, Counted], busy: bool
) -> None:
    """With a wake-up in work too: Celery 5.7.0 with late ack would exit then."""
    worker, counted = consumer
    if busy:
        counted.gate.clear()
    wake_until_heard(queue, counted)
    server.kill()
    with pytest.raises(Unavailable):
        queue.wake(POOL)
    time.sleep(1)
    server.start()
    counted.gate.set()
    wake_until_heard(queue, counted)
    assert worker.alive
    assert worker.exit_code is None


def test_a_dead_redis_holds_nobody(server: RedisServer, queue: Queue) -> None:
    queue.wake(POOL)
    server.stop()
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(Unavailable):
            queue.wake(POOL)
        assert time.monotonic() - started < WAKE_S + ROOM_S


def test_a_hung_redis_holds_nobody_longer_than_the_limit(
    server: RedisServer, queue: Queue, consumer: tuple[Consumer, Counted]
) -> None:
    _, counted = consumer
    queue.wake(POOL)
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        waits: list[float] = []

        def wake() -> None:
            started = time.monotonic()
            with pytest.raises(Unavailable):
                queue.wake(POOL)
            waits.append(time.monotonic() - started)

        callers = [threading.Thread(target=wake) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(BACK_S)
        assert len(waits) == 20
        assert max(waits) < WAKE_S + ROOM_S
        # Once it is known to hang nobody waits at all any more.
        started = time.monotonic()
        with pytest.raises(Unavailable):
            queue.wake(POOL)
        assert time.monotonic() - started < WAKE_S + ROOM_S
    finally:
        os.kill(pid, signal.SIGCONT)
    wake_until_heard(queue, counted)


def test_a_consumer_may_start_before_redis(server: RedisServer, settings: Settings) -> None:
    server.stop()
    counted = Counted()
    consumer = Consumer(settings, counted, concurrency=1)
    consumer.start()
    assert not consumer.await_ready(0.5)
    server.start()
    assert consumer.await_ready(BACK_S)
    queue = open_queue(settings)
    wake_until_heard(queue, counted)
    queue.close()
    consumer.stop()
    assert not consumer.alive


def test_a_consumer_stops_while_redis_is_away(server: RedisServer, settings: Settings) -> None:
    consumer = Consumer(settings, Counted(), concurrency=1)
    consumer.start()
    assert consumer.await_ready(BACK_S)
    server.kill()
    consumer.stop()
    await_that(lambda: not consumer.alive)


def test_what_is_no_message_of_ours_is_dropped_and_counted(
    server: RedisServer, settings: Settings, queue: Queue, consumer: tuple[Consumer, Counted]
) -> None:
    from tasks_service.queue.app import JOB, PREFIX, make_app, queue_name

    worker, counted = consumer
    app = make_app(settings, publishes=True)
    name = queue_name(settings, POOL)
    app.send_task(JOB, args=[{"v": 2, "pool": POOL}], queue=name)
    app.send_task(JOB, args=["text"], queue=name)
    app.send_task("something.else", args=[], queue=name)
    await_that(lambda: worker.dropped == 3)
    with redis.Redis.from_url(server.url) as client:
        client.lpush(f"{PREFIX}{name}", b"no message at all")
    app.close()
    wake_until_heard(queue, counted)
    assert worker.alive


def test_an_emptied_redis_loses_no_more_than_wakes(
    server: RedisServer, queue: Queue, consumer: tuple[Consumer, Counted]
) -> None:
    _, counted = consumer
    queue.wake(POOL)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    wake_until_heard(queue, counted)


def test_health_tells_a_broker_that_is_dead_or_hangs_and_one_that_forgets(
    server: RedisServer, settings: Settings
) -> None:
    check = BrokerCheck(settings)
    check()
    assert not check.warn()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert check.warn()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            check()
        assert time.monotonic() - started < 1 + ROOM_S
    finally:
        os.kill(pid, signal.SIGCONT)
    check()
    server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        check()
    check.close()
