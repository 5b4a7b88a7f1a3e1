"""The queue inside one process: fast, stoppable, nobody else's."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.config import Settings
from tasks_service.queue import Consumer, NoQueue, open_queue


class Heard:
    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()


def test_a_wake_is_heard_at_once_and_the_consumer_stops(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    heard, other = Heard(), Heard()
    consumer = Consumer(settings, heard, concurrency=1)
    neighbour = Consumer(Settings(state_dir=tmp_path / "other"), other, concurrency=1)
    consumer.start()
    neighbour.start()
    assert consumer.await_ready(10)
    assert neighbour.await_ready(10)
    queue = open_queue(settings, embedded=True)
    started = time.monotonic()
    queue.wake("default")
    assert heard.event.wait(5)
    assert time.monotonic() - started < 1
    consumer.stop()
    neighbour.stop()
    assert not consumer.alive
    assert not neighbour.alive
    # What stopped the consumers was no wake-up for the neighbour.
    assert not other.event.is_set()
    queue.close()
    with pytest.raises(Unavailable):
        queue.wake("default")


def test_a_wake_right_after_another_is_heard_at_once(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    heard = threading.Semaphore(0)
    consumer = Consumer(settings, heard.release, concurrency=1)
    consumer.start()
    assert consumer.await_ready(10)
    queue = open_queue(settings, embedded=True)
    started = time.monotonic()
    for _ in range(5):
        queue.wake("default")
        assert heard.acquire(timeout=5)
    # Celery's loop turns every other second: one that waited for it took eight.
    assert time.monotonic() - started < 2
    consumer.stop()
    queue.close()


def test_without_a_broker_nobody_is_woken(tmp_path: Path) -> None:
    queue = open_queue(Settings(state_dir=tmp_path))
    assert isinstance(queue, NoQueue)
    queue.wake("default")
    queue.close()


def test_sockets_of_the_process_are_left_alone() -> None:
    from celery.worker import worker

    from tasks_service.queue import controller

    assert controller.JSON
    with worker.default_socket_timeout(5):
        assert socket.getdefaulttimeout() is None
