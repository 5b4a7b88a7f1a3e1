"""A service's inside of base images: real store, schedulers and registry client, builds by hand.

Who stands on whom is given; a build reads its bases from the registry and
pushes an image that is made of them, so that whatever was built of what can
be told from the image alone.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from runners.model.status import RunStatus
from tasks_service.cascades.answers import stale
from tasks_service.cascades.graph import Graph
from tasks_service.config import Settings
from tasks_service.egress.policy import EgressPolicy
from tasks_service.model.cascade import MemberStatus, Wave
from tasks_service.model.run import NewRun, Run, RunEnd, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.registries import RegistryClient
from tasks_service.runs.bases import hints_of, known_digests
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler.cascades import Cascades
from tasks_service.scheduler.watching import Watching
from tasks_service.store import Store
from tests.faults.registry import Registry, registry

REQUEST = RunRequest(command="x")
TURNS = 4000
"""More than any wave of these tests takes."""


class Nobody:
    """Tells no worker: runs are taken by hand."""

    def announce(self, pool: str, run_id: str) -> None:
        """Do nothing."""


class Scheduler:
    """The duties of one scheduler that are about base images."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.client = RegistryClient(EgressPolicy(allow_hosts=("127.0.0.1",)), lambda _: ("", ""))
        self.watching = Watching(store, self.client, settings)
        self.cascades = Cascades(store, RunLife(store, Nobody(), settings), settings)

    def turn(self) -> None:
        while self.watching.look():
            pass
        self.cascades.plan()
        self.cascades.heal()
        self.cascades.advance()


class World:
    """All of it.

    Attributes:
        bases: Task → names of images it stands on. A task pushes an image of its name.
        broken: Tasks whose build fails.
        built: Tasks in the order of their builds, since ``begin``.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        found: Registry,
        bases: Mapping[str, Sequence[str]],
        **changes: float,
    ) -> None:
        self.store = store
        self.registry = found
        self.bases = bases
        self.broken: set[str] = set()
        self.built: list[str] = []
        quick = {"base_debounce": 0.0, "base_poll": 3600.0, **changes}
        self.settings = Settings(state_dir=folder, **quick)  # type: ignore[arg-type] # by name
        self.schedulers = [self.scheduler(), self.scheduler()]

    def scheduler(self) -> Scheduler:
        return Scheduler(self.store, self.settings)

    def roots(self) -> list[str]:
        """Return the images that nobody here builds."""
        return sorted({base for bases in self.bases.values() for base in bases} - set(self.bases))

    def begin(self) -> None:
        """Push all roots and have one good run of each task, parents first."""
        for name in self.roots():
            self.registry.push(name, f"{name} 1")
        for number, task in enumerate(self.bases):
            self.store.tasks.create(TaskDefinition(task, REQUEST), RunSecrets())
            self.store.runs.accept(NewRun(REQUEST, task=task), run_id=f"first-{number}")
            assert self.work()
        for one in self.schedulers:
            one.turn()
        self.built.clear()

    def work(self) -> bool:
        """Take one run and end it; return whether there was one."""
        claim = self.store.leases.claim("default", owner="w", lease_s=600)
        if claim is None:
            return False
        task = claim.run.task
        self.built.append(task)
        digests = {base: self.registry.digest(base) for base in self.bases[task]}
        record: dict[str, object] = {
            "baseImages": [
                {"reference": self.registry.ref(base), "role": "runtime", "digest": digest}
                for base, digest in digests.items()
            ]
        }
        good = task not in self.broken
        if good:
            made = self.registry.push(task, f"{task} of {sorted(digests.items())}")
            record["outputImages"] = [
                {"reference": self.registry.ref(task), "digest": made, "size": 1}
            ]
        end = RunEnd(RunStatus.SUCCEEDED if good else RunStatus.FAILED, record)
        self.store.leases.finish(claim.run.id, claim.fence, end)
        return True

    def notify(self, names: Iterable[str], digest: str = "") -> None:
        """Tell the service of pushes as Distribution does, and as the API takes it."""
        for name in names:
            target = {
                "repository": name,
                "tag": "1",
                "digest": digest or self.registry.digest(name),
            }
            self.store.cascades.hint(hints_of({"events": [{"action": "push", "target": target}]}))

    def settle(self, turns: int = TURNS, *, at_once: int = 8) -> None:
        """Have schedulers work and builds happen until nothing follows, asked for again."""
        quiet = 0
        for _ in range(turns):
            if quiet == 1:
                # Nothing was told: what was missed is found by asking.
                self.store.cascades.sweep()
            before = self._state()
            for one in self.schedulers:
                one.turn()
            worked = [self.work() for _ in range(at_once)]
            quiet = 0 if any(worked) or self._state() != before else quiet + 1
            if quiet == 3:
                return
        raise AssertionError("it does not come to rest")

    def _state(self) -> tuple[object, ...]:
        changes = self.store.cascades.unplanned()[0]
        waves = self.store.cascades.open_waves()
        return (len(changes), [(w.number, [m.status for m in w.members]) for w in waves])

    def waves(self) -> tuple[Wave, ...]:
        """Return all waves, oldest first."""
        return self.store.cascades.waves(limit=1000)[::-1]

    def above(self, names: Iterable[str]) -> set[str]:
        """Return all tasks that stand on images, however far up."""
        found, more = set(), set(names)
        while more:
            more = {t for t, bases in self.bases.items() if not more.isdisjoint(bases)} - found
            found |= more
        return found

    def check(self) -> None:
        """Fail unless each wave built each task once, on its own parents, and all is new."""
        runs: dict[str, Run] = {}
        for wave in self.waves():
            built = [m for m in wave.members if m.status is MemberStatus.BUILT]
            made = {}
            for member in built:
                run = self.store.runs.get(member.run_id)
                assert run is not None
                assert run.id not in runs, f"{run.id} is in two waves"
                runs[run.id] = run
                made[member.task] = run
            for member in built:
                used = _digests(made[member.task], "baseImages")
                for parent in member.parents:
                    if parent in made:
                        reference = self.registry.ref(parent)
                        assert used[reference] == _digests(made[parent], "outputImages")[reference]
        assert sum(Counter(self.built).values()) - self._failed() == len(runs)
        graph = Graph(*self.store.cascades.graph())
        left = {one.task for one in stale(graph, known_digests(self.store, graph))}
        assert left <= self.above(self.broken) | self.broken, left

    def _failed(self) -> int:
        return sum(
            m.status is MemberStatus.FAILED and bool(m.run_id)
            for wave in self.waves()
            for m in wave.members
        )


def _digests(run: Run, key: str) -> dict[str, str]:
    return {image["reference"]: image["digest"] for image in (run.record or {}).get(key, ())}


@contextmanager
def world(
    store: Store, folder: Path, bases: Mapping[str, Sequence[str]], **changes: float
) -> Iterator[World]:
    """Yield a world in which each task had its first run."""
    with registry() as found:
        made = World(store, folder, found, bases, **changes)
        made.begin()
        yield made
        for one in made.schedulers:
            one.client.close()


def random_bases(
    chance: random.Random, count: int, diamonds: int, *, roots: int = 1
) -> dict[str, list[str]]:
    """Return tasks in an order in which each can be built, with so many diamonds."""
    names = [f"base-{number}" for number in range(roots)]
    bases: dict[str, list[str]] = {}
    for number in range(count):
        task = f"t{number:05}"
        bases[task] = [chance.choice(names[-50:] if len(names) > 60 else names)]
        names.append(task)
    for task in chance.sample(list(bases)[3:], diamonds):
        before = [name for name in names[: names.index(task)] if name not in bases[task]]
        bases[task].append(chance.choice(before[-50:]))
    return bases
