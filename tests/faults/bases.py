"""Faults and attacks of base images, as functions of a store, a folder and a seed.

Each ends with what must always hold: in a wave each task is built once and on
what the wave built, what stood on something old does not any more, and
nothing is built that need not be.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks_service.model.cascade import WaveStatus
from tasks_service.model.run import NewRun
from tasks_service.runs.bases import hints_of
from tasks_service.store import Store
from tests.faults.cascade import REQUEST, World, random_bases, world
from tests.faults.service import wait_for

DIAMOND = {"lib": ["base"], "one": ["lib"], "two": ["lib"], "both": ["one", "two"]}
Fault = Callable[..., None]
"""Takes a store, a folder, chance, and how much by name."""


def forged_duplicated_shuffled(
    store: Store, folder: Path, chance: random.Random, *, count: int = 60, diamonds: int = 12
) -> None:
    """A root moves; its notification comes ten times, among forged ones, in any order."""
    with world(store, folder, random_bases(chance, count, diamonds)) as it:
        it.registry.push("base-0", "base-0 2")
        names = ["base-0"] * 10 + chance.choices(list(it.bases), k=10)
        forged = [("base-0", "sha256:" + "f" * 64)] * 10 + [("nobody/knows", "sha256:" + "0" * 64)]
        told = [(name, "") for name in names] + forged
        chance.shuffle(told)
        for name, digest in told:
            it.notify([name], digest or it.registry.digest(name))
            if chance.random() < 0.3:
                chance.choice(it.schedulers).turn()
        for body in ({}, [], "x", {"events": [{"action": "push", "target": 7}]}, {"events": {}}):
            store.cascades.hint(hints_of(body))
        it.settle()
        assert Counter(it.built) == Counter(it.above(["base-0"]))
        assert len(it.waves()) == 1
        it.check()


def two_schedulers_at_once(
    store: Store, folder: Path, chance: random.Random, *, count: int = 40, diamonds: int = 8
) -> None:
    """Two schedulers plan and go on at the same time, each in a thread of its own."""
    with world(store, folder, random_bases(chance, count, diamonds)) as it:
        it.registry.push("base-0", "base-0 2")
        it.notify(["base-0"])
        stop = threading.Event()
        problems: list[BaseException] = []

        def go(number: int) -> None:
            try:
                while not stop.is_set():
                    it.schedulers[number].turn()
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=go, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: (not it.work() and _all_over(it)) or bool(problems), within_s=120)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for problem in problems:
            raise problem
        it.settle()
        assert Counter(it.built) == Counter(it.above(["base-0"]))
        it.check()


def down_while_five_bases_move(
    store: Store, folder: Path, chance: random.Random, *, count: int = 40, diamonds: int = 8
) -> None:
    """No scheduler runs and no notification comes while five bases move, some of them twice."""
    with world(store, folder, random_bases(chance, count, diamonds, roots=8)) as it:
        moved = chance.sample(it.roots(), min(5, len(it.roots())))
        for version in (2, 3):
            for name in moved[: 5 if version == 2 else 2]:
                it.registry.push(name, f"{name} {version}")
        it.schedulers = [it.scheduler(), it.scheduler()]
        it.settle()
        assert Counter(it.built) == Counter(it.above(moved))
        it.check()


def killed_between_any_two_writes(
    store: Store, folder: Path, chance: random.Random, *, count: int = 20, diamonds: int = 4
) -> None:
    """A scheduler dies before or after any write; others begin anew, and die as well."""
    with world(store, folder, random_bases(chance, count, diamonds)) as it:
        for version in (2, 3):
            it.registry.push("base-0", f"base-0 {version}")
            it.notify(["base-0"])
            for _ in range(30):
                mortal: Any = _Mortal(store, chance.randrange(1, 12))
                one = it.scheduler()
                parts: list[Any] = [one.cascades, one.cascades._life]
                for part in [one.watching] if chance.random() < 0.2 else parts:
                    part._store = mortal
                try:
                    one.turn()
                except _Killed:
                    it.work()
                finally:
                    one.client.close()
            it.settle()
        assert set(it.built) == it.above(["base-0"])
        it.check()


def notified_before_the_tag_is_written(store: Store, folder: Path, chance: random.Random) -> None:
    """The registry tells of a push, and says for a while that the tag is what it was."""
    with world(store, folder, DIAMOND) as it:
        late = chance.randrange(1, 4)
        new = it.registry.push("base", "base 2", late=late)
        it.notify(["base"])
        asked = len(it.registry.asked)

        def found() -> bool:
            for one in it.schedulers:
                one.turn()
            return bool(it.waves())

        wait_for(found, within_s=20)
        assert len(it.registry.asked) - asked >= late + 1
        it.settle()
        assert sorted(it.built) == sorted(DIAMOND)
        (change,) = store.cascades.changes_of(it.registry.ref("base"))
        assert change.new == new
        it.check()


def wrong_accept(store: Store, folder: Path, chance: random.Random) -> None:
    """Who asks without taking an index is told another digest: nobody asks so."""
    del chance
    with world(store, folder, DIAMOND) as it:
        assert it.registry.told("base", "application/json") != it.registry.digest("base")
        store.cascades.sweep()
        it.settle()
        assert (it.built, it.waves()) == ([], ())


def too_many_requests(store: Store, folder: Path, chance: random.Random) -> None:
    """The registry answers 429: it is left alone, never asked by GET, and asked again later."""
    with world(store, folder, DIAMOND) as it:
        it.registry.push("base", "base 2")
        it.registry.busy_s = 2
        it.notify(["base"])
        before = len(it.registry.asked)
        for _ in range(chance.randrange(5, 20)):
            for one in it.schedulers:
                one.turn()
        # Each scheduler learns it once, by one request.
        assert 1 <= len(it.registry.asked) - before <= 2
        watch = next(w for w in store.cascades.watches() if w.reference == it.registry.ref("base"))
        assert watch.failures >= 1
        assert "fewer requests" in watch.error
        it.registry.busy_s = None

        def found() -> bool:
            for one in it.schedulers:
                one.turn()
            return bool(it.waves())

        wait_for(found, within_s=20)
        it.settle()
        assert sorted(it.built) == sorted(DIAMOND)
        assert {method for method, _ in it.registry.asked} == {"HEAD"}
        it.check()


def flapping(store: Store, folder: Path, chance: random.Random, *, rounds: int = 6) -> None:
    """A base goes from A to B and back, before it settles and in the middle of waves."""
    with world(store, folder, DIAMOND) as it:
        it.registry.push("base", "base 2")
        it.schedulers[0].watching.look()
        it.notify(["base"])
        it.schedulers[0].watching.look()
        it.registry.push("base", "base 1")
        it.notify(["base"])
        it.settle()
        assert (it.built, it.waves()) == ([], ())
        for number in range(rounds):
            it.registry.push("base", f"base {1 + number % 2}")
            it.notify(["base"])
            for _ in range(chance.randrange(6)):
                chance.choice(it.schedulers).turn()
                it.work()
        it.settle()
        assert len(it.waves()) <= rounds
        assert max(Counter(it.built).values(), default=0) <= len(it.waves())
        it.check()


def base_that_breaks_a_third(
    store: Store, folder: Path, chance: random.Random, *, count: int = 100
) -> None:
    """A base breaks 30 % of what stands on it: few learn it, the rest waits for a person."""
    bases = {f"t{number:05}": ["base"] for number in range(count)}
    with world(store, folder, bases) as it:
        it.broken = set(chance.sample(sorted(bases), count * 3 // 10))
        it.registry.push("base", "base 2")
        it.notify(["base"])
        it.settle()
        (wave,) = it.waves()
        assert wave.status is WaveStatus.PAUSED
        assert "runs failed" in wave.reason
        # It trips in the first cohort, or in the second one at the latest.
        assert len(it.built) <= count // 10 + 1
        assert set(it.built) & it.broken
        assert store.cascades.set_status(1, [WaveStatus.PAUSED], WaveStatus.RUNNING)
        it.settle()
        assert Counter(it.built) == Counter(list(bases)), (len(it.built), len(bases))
        it.check()


def young_digests(store: Store, folder: Path, chance: random.Random) -> None:
    """A bad digest is taken back while it soaks: nothing is built. The next one is, in time."""
    policies = folder / "policies.toml"
    policies.write_text('[[policy]]\nname = "slow"\nimages = ["*/base:1"]\nsoak = "2s"\n')
    with world(store, folder, {**DIAMOND, "other": ["else", "lib"]}) as it:
        it.settings = replace(it.settings, base_policies=str(policies))
        it.schedulers = [it.scheduler(), it.scheduler()]
        for version in (2, 1):
            it.registry.push("base", f"base {version}")
            it.notify(["base"])
            for _ in range(chance.randrange(1, 5)):
                chance.choice(it.schedulers).turn()
        # What does not soak goes on meanwhile.
        it.registry.push("else", "else 2")
        it.notify(["else"])
        it.settle()
        assert it.built == ["other"]
        it.registry.push("base", "base 3")
        it.notify(["base"])
        it.settle()
        assert it.built == ["other"]
        wait_for(lambda: [one.turn() for one in it.schedulers] and len(it.waves()) == 2)
        it.settle()
        assert sorted(it.built[1:]) == sorted([*DIAMOND, "other"])
        it.check()


def circle(store: Store, folder: Path, chance: random.Random) -> None:
    """Two tasks build on each other: both are refused with the way around, the rest is built."""
    with world(store, folder, {**DIAMOND, "a": ["base"], "b": ["a"], "c": ["b"]}) as it:
        _come_to_stand_on(it, "a", ["base", "b"])
        it.built.clear()
        it.registry.push("base", "base 2")
        it.notify(["base"] * chance.randrange(1, 4))
        for _ in range(40):
            for one in it.schedulers:
                one.turn()
            it.work()
        assert sorted(it.built) == sorted(DIAMOND)
        wave = it.waves()[0]
        assert wave.status is WaveStatus.SUCCEEDED
        assert set(wave.refused) == {"a", "b", "c"}
        assert set(wave.refused.values()) == {("a", "b", "a")}


def _come_to_stand_on(it: World, task: str, bases: list[str]) -> None:
    """Have a task built on other images from now on."""
    it.bases = {**it.bases, task: bases}
    it.store.runs.accept(NewRun(REQUEST, task=task), run_id=f"again-{task}")
    assert it.work()


def _all_over(it: World) -> bool:
    waves = it.waves()
    return bool(waves) and all(wave.finished is not None for wave in waves)


_WRITES = {"sweep", "checked", "settle", "open_wave", "move", "set_status", "reserve", "accept"}


class _Killed(BaseException):
    """The scheduler is dead."""


class _Mortal:
    """A store, or a part of one, that kills who writes to it: before or after some write."""

    def __init__(self, part: Any, calls: int, left: list[int] | None = None) -> None:
        self._part = part
        self._left = left if left is not None else [calls]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return _Mortal(found, 0, self._left)
        if name not in _WRITES:
            return found

        def call(*words: Any, **more: Any) -> Any:
            self._left[0] -= 1
            if self._left[0] == 0:
                raise _Killed
            done = found(*words, **more)
            self._left[0] -= 1
            if self._left[0] == 0:
                raise _Killed
            return done

        return call


_MANY = {"count": 1000, "diamonds": 200}
LARGE: tuple[tuple[Fault, dict[str, int]], ...] = (
    (forged_duplicated_shuffled, _MANY),
    (two_schedulers_at_once, {"count": 200, "diamonds": 40}),
    (down_while_five_bases_move, {"count": 200, "diamonds": 40}),
    (killed_between_any_two_writes, {"count": 100, "diamonds": 20}),
    (notified_before_the_tag_is_written, {}),
    (wrong_accept, {}),
    (too_many_requests, {}),
    (flapping, {"rounds": 60}),
    (base_that_breaks_a_third, {"count": 1000}),
    (young_digests, {}),
    (circle, {}),
)
QUICK = tuple(fault for fault, _ in LARGE)
