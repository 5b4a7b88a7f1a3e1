from __future__ import annotations

import threading

from runners.model.cancellation import Cancellation
from runners.model.clock import ManualClock, SystemClock


def test_callbacks_run_in_the_order_of_their_due_time() -> None:
    clock, ran = ManualClock(), []
    clock.call_after(2, lambda: ran.append("late"))
    clock.call_after(1, lambda: ran.append("early"))
    clock.advance(3)
    assert ran == ["early", "late"]


def test_a_callback_taken_back_does_not_run() -> None:
    clock, ran = ManualClock(), []
    drop = clock.call_after(1, lambda: ran.append("x"))
    drop()
    drop()
    clock.advance(2)
    assert ran == []


def test_a_callback_sees_its_own_time() -> None:
    clock, seen = ManualClock(), []
    clock.call_after(1, lambda: seen.append(clock.monotonic()))
    clock.advance(5)
    assert seen == [1]
    assert clock.monotonic() == 5


def test_waiting_ends_with_the_cancel() -> None:
    clock, cancel = ManualClock(), Cancellation()
    thread = threading.Thread(target=clock.wait, args=(60, cancel))
    thread.start()
    assert clock.await_timer(60)
    cancel.cancel()
    thread.join(10)
    assert not thread.is_alive()


def test_the_system_clock_calls_back() -> None:
    called = threading.Event()
    clock = SystemClock()
    later = threading.Event()
    clock.call_after(60, later.set)
    clock.call_after(0, called.set)
    assert called.wait(10)
    assert not later.is_set()


def test_the_system_clock_takes_callbacks_back() -> None:
    clock, ran, done = SystemClock(), [], threading.Event()
    drop = clock.call_after(0.001, lambda: ran.append("x"))
    drop()
    clock.call_after(0.002, done.set)
    assert done.wait(10)
    assert ran == []
