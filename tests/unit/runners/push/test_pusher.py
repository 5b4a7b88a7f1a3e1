from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from runners.model.cancellation import Cancellation
from runners.model.clock import ManualClock
from runners.model.errors import Canceled, Denied, RunnerError, Unavailable
from runners.model.record import PushedImage
from runners.push.pusher import push_all
from runners.sandbox import Sandbox


@dataclass
class Registry:
    """A sandbox whose pushes fail as told, then succeed."""

    errors: list[RunnerError] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def push(self, reference: str, *_: Any) -> PushedImage:
        self.pushed.append(reference)
        if self.errors:
            raise self.errors.pop(0)
        return PushedImage(reference, "sha256:x")


class Lines:
    def __init__(self) -> None:
        self.text = b""

    def write(self, stream: str, data: bytes) -> None:
        self.text += data


def push(registry: Registry, clock: ManualClock, cancel: Cancellation | None = None) -> Any:
    return push_all(
        ["a:1", "b:1"],
        cast("Sandbox", registry),
        cast("Any", Lines()),
        cancel or Cancellation(),
        clock,
    )


def test_images_are_pushed_in_order() -> None:
    registry = Registry()
    assert [image.reference for image in push(registry, ManualClock())] == ["a:1", "b:1"]


def test_an_absent_registry_is_tried_three_times_with_growing_pauses() -> None:
    registry, clock = Registry([Unavailable("503")] * 2), ManualClock()
    thread = threading.Thread(target=push, args=(registry, clock))
    thread.start()
    for pause in (0.25, 0.5):
        assert clock.await_timer(pause)
        clock.advance(pause)
    thread.join(10)
    assert registry.pushed == ["a:1", "a:1", "a:1", "b:1"]


def test_the_last_failure_says_how_often_it_was_tried() -> None:
    registry, clock = Registry([Unavailable("answers 503")] * 3), ManualClock()
    caught: list[RunnerError] = []

    def work() -> None:
        try:
            push(registry, clock)
        except RunnerError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    for pause in (0.25, 0.5):
        assert clock.await_timer(pause)
        clock.advance(pause)
    thread.join(10)
    assert "after 3 attempts: answers 503" in caught[0].message
    assert registry.pushed == ["a:1"] * 3


def test_a_refusal_is_not_tried_again() -> None:
    registry = Registry([Denied("401")])
    with pytest.raises(Denied):
        push(registry, ManualClock())
    assert registry.pushed == ["a:1"]


def test_a_cancel_ends_the_pause() -> None:
    cancel = Cancellation()
    cancel.cancel(Canceled("by the user"))
    with pytest.raises(Canceled):
        push(Registry([Unavailable("503")]), ManualClock(), cancel)
