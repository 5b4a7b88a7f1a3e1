"""Signals: heard while threads run, first clean, second by force."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, InvalidInput
from tasks_service.cli.interrupt import Interruptible


def interruptible(work: object, force: object = lambda: None) -> Interruptible[object]:
    return Interruptible(work, on_cancel=lambda _: None, force=force)  # type: ignore[arg-type]


def test_work_returns_its_result() -> None:
    assert interruptible(lambda _: 7).run() == 7


def test_work_raises_its_error() -> None:
    def fall(_: Cancellation) -> None:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput, match="no"):
        interruptible(fall).run()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_cancels(number: signal.Signals) -> None:
    def wait(cancel: Cancellation) -> None:
        os.kill(os.getpid(), number)
        cancel.wait(30)
        cancel.check()

    work = interruptible(wait)
    with pytest.raises(Canceled, match=number.name):
        work.run()
    assert work.signal == number


def test_the_second_signal_forces() -> None:
    forced = threading.Event()

    def stubborn(cancel: Cancellation) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        cancel.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)
        return "gone" if forced.wait(30) else "stuck"

    work = interruptible(stubborn, forced.set)
    assert work.run() == "gone"
    assert work.signal == signal.SIGINT


def test_what_the_second_signal_began_is_waited_for() -> None:
    began, done = threading.Event(), threading.Event()

    def force() -> None:
        began.set()
        work_ended.wait(30)
        done.set()

    work_ended = threading.Event()

    def work(cancel: Cancellation) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        cancel.wait(30)
        os.kill(os.getpid(), signal.SIGINT)
        began.wait(30)
        work_ended.set()

    interruptible(work, force).run()
    assert done.is_set()


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    interruptible(lambda _: None).run()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_third_signal_ends_the_process() -> None:
    program = """
import os, signal
from tasks_service.cli.interrupt import Interruptible
def stuck(cancel):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        told.clear()
        os.kill(os.getpid(), number)
        told.wait(20)
    import threading; threading.Event().wait()
import threading
told = threading.Event()
Interruptible(stuck, on_cancel=lambda n: told.set(), force=lambda: None).run()
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert done.returncode == 128 + signal.SIGTERM
