"""How registries are asked: politely, until a notification is confirmed, never twice a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runners.model.errors import Denied, Unavailable
from tasks_service.config import Settings
from tasks_service.errors import NotFound
from tasks_service.model.cascade import Watch
from tasks_service.registries import Answer, TooMany
from tasks_service.scheduler.watching import LADDER_S, Watching

BASE = "registry.example/base:1"
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Watches:
    """Keeps one reference as the store does."""

    def __init__(self, *watches: Watch) -> None:
        self.found = {watch.reference: watch for watch in watches}
        self.next: list[float] = []
        self.moved: list[tuple[str, str]] = []

    def sweep(self) -> None:
        """Everything is due anyway."""

    def due(self, *, limit: int) -> tuple[Watch, ...]:
        return tuple(self.found.values())[:limit]

    def checked(
        self, watch: Watch, digest: str, *, via: str, next_s: float, tries: int, equal: bool
    ) -> bool:
        self.next.append(next_s)
        hinted = watch.hinted if tries else ""
        self.found[watch.reference] = replace(
            watch, digest=digest, hinted=hinted, hint_tries=tries, failures=0
        )
        if digest != watch.digest and not equal:
            self.moved.append((digest, via))
        return digest != watch.digest

    def failed_check(self, watch: Watch, error: str, *, next_s: float) -> None:
        self.next.append(next_s)
        self.found[watch.reference] = replace(watch, failures=watch.failures + 1, error=error)


class Registry:
    """Answers what the test says."""

    def __init__(self, answer: Callable[[str], Answer]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def digest(self, reference: str, known: str = "") -> Answer:
        self.asked.append((reference, known))
        return self.answer(reference)


def watching(watches: Watches, registry: Registry) -> Watching:
    store: Any = SimpleNamespace(cascades=watches)
    settings = Settings(state_dir=Path("nowhere"), base_poll=300)
    return Watching(store, registry, settings, spread=lambda: 0.5)


def fails(error: Exception) -> Registry:
    def answer(reference: str) -> Answer:
        raise error

    return Registry(answer)


def test_what_is_known_is_told_to_the_registry_so_that_it_may_answer_shortly() -> None:
    watches = Watches(Watch(BASE, OLD))
    registry = Registry(lambda _: Answer(OLD, unchanged=True))
    watching(watches, registry).look()
    assert registry.asked == [(BASE, OLD)]
    assert (watches.moved, watches.next) == ([], [300.0])


def test_a_notification_before_its_tag_is_asked_for_again_until_the_tag_is_there() -> None:
    watches = Watches(Watch(BASE, OLD, hinted=NEW))
    answers = iter([OLD, OLD, OLD, NEW])
    look = watching(watches, Registry(lambda _: Answer(next(answers)))).look
    for _ in range(4):
        look()
    assert watches.next == [*LADDER_S[:3], 300.0]
    assert watches.moved == [(NEW, "notification")]
    assert watches.found[BASE].hinted == ""


def test_a_forged_notification_is_given_up_and_the_registry_is_believed() -> None:
    watches = Watches(Watch(BASE, OLD, hinted=NEW))
    look = watching(watches, Registry(lambda _: Answer(OLD))).look
    for _ in range(len(LADDER_S) + 1):
        look()
    assert watches.next == [*LADDER_S, 300.0]
    assert (watches.moved, watches.found[BASE].hinted) == ([], "")


def test_a_registry_that_says_too_many_is_left_alone_for_all_its_references() -> None:
    other = "registry.example/other:1"
    elsewhere = "elsewhere.example/base:1"
    watches = Watches(Watch(BASE, OLD), Watch(other, OLD), Watch(elsewhere, OLD))

    def answer(reference: str) -> Answer:
        if reference.startswith("registry"):
            raise TooMany("registry.example", 90)
        return Answer(OLD)

    registry = Registry(answer)
    watching(watches, registry).look()
    assert [reference for reference, _ in registry.asked] == [BASE, elsewhere]
    assert min(watches.next[:2]) > 89


def test_a_registry_that_is_away_is_asked_less_and_less() -> None:
    watches = Watches(Watch(BASE, OLD))
    look = watching(watches, fails(Unavailable("no route"))).look
    for _ in range(12):
        look()
    assert watches.next == sorted(watches.next)
    assert watches.next[0] < 6
    assert watches.next[-1] <= 3600 * 1.2
    assert watches.found[BASE].digest == OLD


@pytest.mark.parametrize("error", [NotFound("gone"), Denied("private")])
def test_a_tag_that_is_gone_or_may_not_be_asked_for_keeps_what_is_known(error: Exception) -> None:
    watches = Watches(Watch(BASE, OLD))
    watching(watches, fails(error)).look()
    assert watches.found[BASE].digest == OLD
    assert (watches.moved, watches.next) == ([], [300.0])


def test_what_is_the_same_image_under_another_digest_did_not_move() -> None:
    watches = Watches(Watch(BASE, OLD))
    store: Any = SimpleNamespace(cascades=watches)
    settings = Settings(state_dir=Path("nowhere"), base_poll=300)
    asked: list[tuple[str, str, str]] = []

    def equal(reference: str, old: str, new: str) -> bool:
        asked.append((reference, old, new))
        return True

    registry = Registry(lambda _: Answer(NEW))
    look = Watching(store, registry, settings, spread=lambda: 0.5, equal=equal).look
    look()
    look()
    assert watches.moved == []
    assert watches.found[BASE].digest == NEW
    assert asked == [(BASE, OLD, NEW)]
