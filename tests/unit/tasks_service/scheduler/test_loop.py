from __future__ import annotations

import threading
from collections.abc import Callable

from runners.model.clock import ManualClock
from runners.model.errors import Unavailable
from tasks_service.scheduler.loop import Duty, Scheduler, _Round


def recorded(name: str, every_s: float, *answers: object) -> tuple[Duty, list[str]]:
    calls: list[str] = []
    left = list(answers)

    def work() -> bool:
        calls.append(name)
        answer = left.pop(0) if left else False
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    return Duty(name, every_s, work), calls


def turns(round_: _Round, clock: ManualClock, seconds: float) -> None:
    """Let time pass as a thread would see it."""
    end = clock.monotonic() + seconds
    while (wait := round_.turn()) <= end - clock.monotonic():
        clock.advance(wait)
    clock.advance(end - clock.monotonic())


def test_duties_are_done_at_once_and_then_as_often_as_they_should() -> None:
    clock = ManualClock()
    often, often_calls = recorded("often", 5)
    rarely, rarely_calls = recorded("rarely", 60)
    turns(_Round([often, rarely], clock), clock, 59)
    assert (len(often_calls), len(rarely_calls)) == (12, 1)


def test_what_has_more_to_do_is_called_again_at_once() -> None:
    clock = ManualClock()
    duty, calls = recorded("moves", 60, True, True, False)
    turns(_Round([duty], clock), clock, 1)
    assert len(calls) == 3


def test_a_failing_duty_stops_no_other_and_waits_longer_each_time() -> None:
    clock = ManualClock()
    bad, bad_calls = recorded("bad", 5, *[Unavailable("away")] * 4, ValueError("odd"))
    good, good_calls = recorded("good", 5)
    round_ = _Round([bad, good], clock)
    turns(round_, clock, 34)
    assert len(good_calls) == 7
    # At 0, 5, 15 and 35 seconds.
    assert len(bad_calls) == 3
    turns(round_, clock, 200)
    assert len(bad_calls) > 20


def test_a_scheduler_stops_soon_and_knows_when_a_duty_hangs() -> None:
    clock = ManualClock()
    entered, let_go = threading.Event(), threading.Event()

    def hang() -> bool:
        entered.set()
        let_go.wait(10)
        return False

    scheduler = Scheduler([[Duty("hang", 5, hang)]], clock=clock)
    scheduler.start()
    assert entered.wait(5)
    assert scheduler.alive
    clock.advance(600)
    assert not scheduler.alive
    let_go.set()
    scheduler.stop()


def test_stopping_interrupts_the_wait() -> None:
    done = threading.Event()

    def work() -> bool:
        done.set()
        return False

    wait: Callable[[], bool] = work
    scheduler = Scheduler([[Duty("d", 3600, wait)]])
    scheduler.start()
    assert done.wait(5)
    scheduler.stop()
    assert not scheduler.alive
