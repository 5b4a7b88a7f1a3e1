"""Waves on real databases: planned once, run once each, whoever and how many schedulers try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.api.why import why_view
from tasks_service.cascades.graph import Graph
from tasks_service.config import Settings
from tasks_service.errors import NotFound
from tasks_service.model.cascade import Wave, WaveStatus
from tasks_service.model.run import NewRun, RunEnd, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler import cascades as module
from tasks_service.scheduler.cascades import Cascades
from tasks_service.scheduler.promotion import Promotions
from tasks_service.store import Store
from tasks_service.triggers.policies import PolicyFile
from tests.contract.stores import KINDS, opened

BASES = {"lib": ["base"], "one": ["lib"], "two": ["lib"], "both": ["one", "two"]}


class Nobody:
    def announce(self, pool: str, run_id: str) -> None:
        """Tell nobody: the test takes the runs itself."""


def ref(name: str) -> str:
    return f"registry.example/{name}:1"


class World:
    """Two schedulers, a registry and a worker, all by hand."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        bases: Mapping[str, Sequence[str]] = BASES,
        policies: str = "",
        *,
        restores: bool = False,
    ) -> None:
        self.store = store
        self.bases = bases
        self.digests = {"base": "v1"}
        self.built: list[str] = []
        self.broken: set[str] = set()
        self.pruned = False
        path = folder / "policies.toml"
        path.write_text(policies)
        settings = Settings(state_dir=folder, base_debounce=0, base_policies=str(path))
        promotions = Promotions(store, settings, tags=lambda login: self) if restores else None
        self.schedulers = [
            Cascades(store, RunLife(store, Nobody(), settings), settings, promotions)
            for _ in range(2)
        ]
        for task in bases:
            store.tasks.create(TaskDefinition(task, RunRequest(command="x")), RunSecrets())
            store.runs.accept(NewRun(RunRequest(command="x"), task=task), run_id=f"first-{task}")
            self.work()
        self.built.clear()
        self.poll()

    def work(self) -> bool:
        """Take one run and end it; return whether there was one."""
        claim = self.store.leases.claim("default", owner="w", lease_s=60)
        if claim is None:
            return False
        task = claim.run.task
        self.built.append(task)
        held = dict(claim.run.request.pins)
        used = {b: held.get(ref(b), self.digests[b]) for b in self.bases[task]}
        bases = [{"reference": ref(b), "role": "runtime", "digest": used[b]} for b in used]
        good = task not in self.broken
        if good:
            self.digests[task] = f"{task}({','.join(used.values())})"
        out = [{"reference": ref(task), "digest": self.digests.get(task, ""), "size": 1}]
        record = {"baseImages": bases, "outputImages": out}
        status = RunStatus.SUCCEEDED if good else RunStatus.FAILED
        self.store.leases.finish(claim.run.id, claim.fence, RunEnd(status, record))
        return True

    def retag(self, reference: str, digest: str) -> None:
        """Be a registry whose tags can be moved."""
        if self.pruned:
            raise NotFound("the registry does not hold it")
        self.digests[reference.split("/")[1].removesuffix(":1")] = digest

    def close(self) -> None:
        """Be done."""

    def poll(self) -> None:
        """Write what the registry has of every watched reference."""
        for watch in self.store.cascades.watches():
            digest = self.digests[watch.reference.split("/")[1].removesuffix(":1")]
            self.store.cascades.checked(watch, digest, via="poll", next_s=60)

    def move(self, digest: str) -> None:
        self.digests["base"] = digest
        self.poll()

    def schedule(self) -> None:
        for scheduler in self.schedulers:
            scheduler.plan()
            scheduler.advance()

    def turn(self, *, poll: bool = True) -> None:
        """Have both schedulers do all they do, and the worker one run, until all is quiet."""
        for _ in range(30):
            self.schedule()
            self.work()
            if poll:
                self.poll()

    def wave(self) -> Wave:
        return self.store.cascades.waves()[0]


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with opened(request.param, tmp_path) as store:
        yield World(store, tmp_path)


def test_two_schedulers_rebuild_each_task_once_and_open_one_wave(world: World) -> None:
    world.move("v2")
    world.turn()
    assert world.built in (["lib", "one", "two", "both"], ["lib", "two", "one", "both"])
    assert [wave.status for wave in world.store.cascades.waves()] == [WaveStatus.SUCCEEDED]
    assert {change.wave for change in world.store.cascades.changes_of(ref("lib"))} == {1}


def test_a_base_that_flaps_before_it_settles_builds_nothing(world: World) -> None:
    world.move("v2")
    world.move("v1")
    world.turn()
    assert world.built == []
    assert world.store.cascades.waves() == ()


def test_a_push_during_a_wave_opens_the_next_one_after_it(world: World) -> None:
    world.move("v2")
    for scheduler in world.schedulers:
        scheduler.plan()
        scheduler.advance()
    world.work()
    world.move("v3")
    world.turn()
    assert len(world.store.cascades.waves()) == 2
    assert max(world.built.count(task) for task in BASES) <= 2
    assert world.digests["both"].count("v3") == 2
    assert "v2" not in world.digests["both"]


def test_a_failure_blocks_what_stands_on_it_and_is_tried_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.broken = {"one"}
    world.move("v2")
    world.turn()
    assert {m.task: str(m.status) for m in world.wave().members} == {
        "lib": "Built",
        "one": "Failed",
        "two": "Built",
        "both": "Blocked",
    }
    world.broken = set()
    world.built.clear()
    for scheduler in world.schedulers:
        scheduler.heal()
    world.turn()
    assert world.built == []
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    for scheduler in world.schedulers:
        scheduler.heal()
    world.turn()
    assert world.built == ["one", "both"]
    assert world.wave().status is WaveStatus.SUCCEEDED


def test_a_canceled_wave_is_left_alone_until_the_next_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    world.move("v2")
    world.schedulers[0].plan()
    assert world.store.cascades.set_status(1, [WaveStatus.RUNNING], WaveStatus.CANCELED)
    world.schedulers[0].heal()
    world.turn()
    assert world.built == []
    world.move("v3")
    world.turn()
    assert len(world.built) == 4


def test_a_paused_wave_starts_nothing_until_it_is_resumed(world: World) -> None:
    world.move("v2")
    world.schedulers[0].plan()
    assert world.store.cascades.set_status(1, [WaveStatus.RUNNING], WaveStatus.PAUSED)
    world.turn()
    assert world.built == []
    assert world.store.cascades.set_status(1, [WaveStatus.PAUSED], WaveStatus.RUNNING)
    world.turn()
    assert len(world.built) == 4


WIDE = {"lib": ["base"], "side": ["lib", "base"]}


@pytest.fixture(params=KINDS)
def wide(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A task that stands on the base itself and on another that does."""
    with opened(request.param, tmp_path) as store:
        yield World(store, tmp_path, WIDE)


def test_a_wave_is_built_with_what_was_there_when_it_was_opened(wide: World) -> None:
    wide.move("v2")
    wide.schedule()
    wide.work()
    # The registry has the next one, and nobody told yet.
    wide.digests["base"] = "v3"
    wide.turn(poll=False)
    assert wide.digests["side"] == "side(lib(v2),v2)"
    assert wide.wave().pins == {ref("base"): "v2"}
    runs = {m.task: wide.store.runs.get(m.run_id) for m in wide.wave().members}
    assert {task: dict(run.request.pins) for task, run in runs.items() if run} == {
        "lib": {ref("base"): "v2"},
        "side": {ref("base"): "v2", ref("lib"): "lib(v2)"},
    }
    wide.turn()
    assert wide.digests["side"] == "side(lib(v3),v3)"
    assert len(wide.store.cascades.waves()) == 2


def test_what_has_not_begun_when_a_base_moves_again_is_built_by_the_next_wave_only(
    wide: World,
) -> None:
    wide.move("v2")
    wide.schedule()
    wide.work()
    wide.move("v3")
    wide.turn()
    assert wide.built == ["lib", "lib", "side"]
    assert wide.digests["side"] == "side(lib(v3),v3)"
    second, first = wide.store.cascades.waves()
    assert [str(m.status) for m in first.members] == ["Built", "Superseded"]
    assert [str(m.status) for m in second.members] == ["Built", "Built"]
    assert (first.status, second.status) == (WaveStatus.SUCCEEDED, WaveStatus.SUCCEEDED)


def test_a_base_that_moves_faster_than_waves_keeps_nobody_from_being_built(world: World) -> None:
    for number in range(2, 40):
        world.move(f"v{number}")
        world.schedule()
        world.work()
    assert world.built.count("both") >= 3
    world.turn()
    assert world.digests["both"].count("v39") == 2


def test_what_was_left_to_a_wave_that_need_not_come_is_built_all_the_same(world: World) -> None:
    world.move("v2")
    world.schedule()
    world.move("v3")
    world.schedule()
    world.move("v2")
    world.turn()
    assert world.built == ["lib"]
    for scheduler in world.schedulers:
        scheduler.heal()
    world.turn()
    assert sorted(world.built) == ["both", "lib", "one", "two"]
    assert world.digests["both"].count("v2") == 2


def test_a_task_that_somebody_ran_with_what_is_newer_is_not_taken_back(wide: World) -> None:
    wide.move("v2")
    for scheduler in wide.schedulers:
        scheduler.plan()
    wide.digests["base"] = "v3"
    wide.store.runs.accept(NewRun(RunRequest(command="x"), task="lib"), run_id="by-hand")
    wide.work()
    wide.poll()
    wide.turn()
    assert wide.digests["side"] == "side(lib(v3),v3)"
    assert "lib(v2)" not in wide.digests.values()
    assert wide.built == ["lib", "side"]


GUARD = f'[[policy]]\nname = "guard"\nimages = ["{ref("base")}"]\ndowngrade = "hold"\n'


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_that_goes_back_is_held_by_policy_until_it_moves_on(
    kind: str, tmp_path: Path
) -> None:
    with opened(kind, tmp_path) as store:
        world = World(store, tmp_path, WIDE, GUARD)
        world.move("v2")
        world.turn()
        assert world.built == ["lib", "side"]
        world.move("v1")
        for scheduler in world.schedulers:
            scheduler.heal()
        world.turn()
        assert world.built == ["lib", "side"]
        graph = Graph(*store.cascades.graph())
        why = why_view(
            store, graph, ref("side"), PolicyFile(str(tmp_path / "policies.toml")).current()
        )
        assert why.verdict == "held"
        assert "went back to what it was before; policy guard holds downgrades" in why.reason
        # Mended at the registry: nothing is held any more.
        world.move("v2")
        world.turn()
        assert not store.cascades.unplanned()[0]
        assert world.built == ["lib", "side"]
        world.move("v3")
        world.turn()
        assert world.built == ["lib", "side"] * 2
        assert world.digests["side"] == "side(lib(v3),v3)"


def test_a_base_that_goes_back_is_followed_without_a_policy(wide: World) -> None:
    wide.move("v2")
    wide.turn()
    wide.move("v1")
    wide.turn()
    assert wide.digests["side"] == "side(lib(v1),v1)"


@pytest.fixture(params=KINDS)
def restoring(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with opened(request.param, tmp_path) as store:
        yield World(store, tmp_path, restores=True)


def test_a_base_that_goes_back_brings_back_what_was_built_on_it_without_a_build(
    restoring: World,
) -> None:
    world = restoring
    first = dict(world.digests)
    world.move("v2")
    world.turn()
    second = dict(world.digests)
    world.built.clear()
    world.move("v1")
    world.turn()
    assert world.built == []
    assert world.digests == first
    assert {str(m.status) for m in world.wave().members} == {"Restored"}
    assert {m.run_id for m in world.wave().members} == {f"first-{task}" for task in BASES}
    assert world.wave().status is WaveStatus.SUCCEEDED
    # And forth again; each wave is the only one of its change.
    world.move("v2")
    world.turn()
    assert (world.built, world.digests) == ([], second)
    assert len(world.store.cascades.waves()) == 3
    for scheduler in world.schedulers:
        scheduler.heal()
    world.turn()
    assert len(world.store.cascades.waves()) == 3
    world.move("v3")
    world.turn()
    assert len(world.built) == 4


def test_what_the_registry_does_not_hold_any_more_is_built(restoring: World) -> None:
    restoring.move("v2")
    restoring.turn()
    restoring.built.clear()
    restoring.pruned = True
    restoring.move("v1")
    restoring.turn()
    assert len(restoring.built) == 4
    assert restoring.wave().status is WaveStatus.SUCCEEDED


def test_a_task_that_changed_since_is_built_and_what_stands_on_it(restoring: World) -> None:
    world = restoring
    world.move("v2")
    world.turn()
    world.built.clear()
    world.store.tasks.replace(TaskDefinition("one", RunRequest(command="y")), RunSecrets())
    world.move("v1")
    world.turn()
    assert "one" in world.built
    assert not {"lib", "two"} & set(world.built)
    assert world.digests["both"].count("v1") == 2
