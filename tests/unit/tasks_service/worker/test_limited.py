"""A call made at most so often, and never left out for good."""

from __future__ import annotations

import threading
import time

from tasks_service.worker.limited import Limited


class Calls:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.changed = threading.Condition()

    def __call__(self) -> None:
        with self.changed:
            self.times.append(time.monotonic())
            self.changed.notify_all()

    def await_count(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: len(self.times) >= count, 10)


def test_the_first_is_made_at_once_by_the_caller() -> None:
    calls = Calls()
    Limited(calls, every_s=60)()
    assert len(calls.times) == 1


def test_what_comes_too_soon_is_made_once_and_later() -> None:
    calls = Calls()
    limited = Limited(calls, every_s=0.3)
    for _ in range(50):
        limited()
    assert len(calls.times) == 1
    assert calls.await_count(2)
    assert calls.times[1] - calls.times[0] >= 0.29
    time.sleep(0.5)
    assert len(calls.times) == 2


def test_one_asked_for_while_a_late_one_is_made_is_not_left_out() -> None:
    calls = Calls()
    limited = Limited(lambda: (calls(), len(calls.times) == 2 and limited())[0], every_s=0.1)
    limited()
    limited()
    assert calls.await_count(3)
