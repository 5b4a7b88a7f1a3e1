"""Random graphs: every descendant once, parents first, digests of the wave, nothing for nothing."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace

import pytest

from tasks_service.cascades.graph import Graph
from tasks_service.cascades.plan import plan_wave
from tasks_service.cascades.step import START, always, drift, next_moves, outcome
from tasks_service.model.cascade import Edge, Member, MemberStatus, Output, WaveStatus

ROOT = "docker.io/library/root:1"


def image(number: int) -> str:
    return f"registry.example/i{number}:1"


@dataclass
class World:
    """Tasks, and builders that take any time and may fail; digests are of what went in."""

    bases: dict[int, list[str]]
    digests: dict[str, str] = field(default_factory=dict)
    edges: dict[str, list[Edge]] = field(default_factory=dict)
    built: list[str] = field(default_factory=list)
    same: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def build(self, task: str) -> bool:
        """Build one task from what its bases are now."""
        self.built.append(task)
        if task in self.broken:
            return False
        number = int(task[1:])
        self.edges[task] = [
            Edge(task, base, digest=self.digests[base]) for base in self.bases[number]
        ]
        if task not in self.same:
            self.digests[image(number)] = str(
                hash(tuple(self.digests[base] for base in self.bases[number]))
            )
        return True

    def graph(self) -> Graph:
        """Return what the service would know."""
        outputs = [Output(f"t{n}", image(n), self.digests[image(n)]) for n in self.bases]
        return Graph([edge for found in self.edges.values() for edge in found], outputs)


def world(seed: int, images: int = 1000, diamonds: int = 200) -> World:
    """Return a graph whose images all descend from the root; so many have two ways to it."""
    rng = random.Random(seed)
    bases: dict[int, list[str]] = {0: [ROOT]}
    two = set(rng.sample(range(2, images), diamonds))
    for number in range(1, images):
        count = 2 if number in two else 1
        bases[number] = [image(n) for n in rng.sample(range(number), min(count, number))]
    found = World(bases, {ROOT: "v1"})
    for number in range(images):
        found.build(f"t{number}")
    found.built.clear()
    return found


def run_wave(world: World, seed: int) -> dict[str, Member]:
    """Plan and run one wave, builds ending in any order."""
    rng = random.Random(seed)
    plan = plan_wave(world.graph(), [ROOT], triggers=always)
    members = {member.task: member for member in plan.members}
    running: list[str] = []
    while outcome(members.values()) is None:
        for move in next_moves(tuple(members.values()), world.graph(), world.digests):
            members[move.task] = replace(members[move.task], status=move.status)
            if move.status is START:
                running.append(move.task)
        if running:
            task = running.pop(rng.randrange(len(running)))
            good = world.build(task)
            status = MemberStatus.BUILT if good else MemberStatus.FAILED
            members[task] = replace(members[task], status=status)
    return members


def small(seed: int) -> World:
    return world(seed, images=60, diamonds=20)


def test_a_thousand_images_with_diamonds_are_each_built_once() -> None:
    found = world(7)
    found.digests[ROOT] = "v2"
    members = run_wave(found, 7)
    assert sorted(found.built) == sorted(f"t{n}" for n in range(1000))
    assert outcome(members.values()) is WaveStatus.SUCCEEDED
    edges = [edge for group in found.edges.values() for edge in group]
    assert drift(edges, found.digests) == ()


@pytest.mark.parametrize("seed", range(20))
def test_parents_are_built_before_children(seed: int) -> None:
    found = small(seed)
    found.digests[ROOT] = "v2"
    run_wave(found, seed)
    place = {task: number for number, task in enumerate(found.built)}
    for number, bases in found.bases.items():
        for base in bases:
            if base != ROOT:
                parent = base.removeprefix("registry.example/i").removesuffix(":1")
                assert place[f"t{parent}"] < place[f"t{number}"]


@pytest.mark.parametrize("seed", range(20))
def test_a_parent_that_came_out_the_same_ends_the_wave_there(seed: int) -> None:
    found = small(seed)
    found.digests[ROOT] = "v2"
    found.same = {f"t{n}" for n in random.Random(seed).sample(range(60), 30)}
    members = run_wave(found, seed)
    for task in found.built:
        parents = members[task].parents
        assert not parents or any(p in found.built and p not in found.same for p in parents)
    edges = [edge for group in found.edges.values() for edge in group]
    assert drift(edges, found.digests) == ()


@pytest.mark.parametrize("seed", range(20))
def test_what_stands_on_a_failure_is_blocked_and_the_rest_is_built(seed: int) -> None:
    found = small(seed)
    found.digests[ROOT] = "v2"
    found.broken = {f"t{n}" for n in random.Random(seed).sample(range(1, 60), 6)}
    members = run_wave(found, seed)
    above = found.graph().reach(found.broken)
    assert outcome(members.values()) is WaveStatus.FAILED
    for task, member in members.items():
        if task not in above:
            assert member.status is MemberStatus.BUILT
        elif task not in found.broken:
            assert member.status is MemberStatus.BLOCKED
    assert len(found.built) == len(set(found.built))


def test_a_wave_for_a_base_that_moved_back_builds_nothing() -> None:
    found = small(1)
    run_wave(found, 1)
    assert found.built == []


def circle() -> Graph:
    edges = [Edge("a", image(2)), Edge("b", image(1)), Edge("c", image(2)), Edge("d", ROOT)]
    edges += [Edge("a", ROOT)]
    return Graph(edges, [Output("a", image(1), ""), Output("b", image(2), "")])


def test_tasks_that_build_on_each_other_are_refused_with_their_path() -> None:
    plan = plan_wave(circle(), [ROOT], triggers=always)
    assert [member.task for member in plan.members] == ["d"]
    assert plan.refused == dict.fromkeys("abc", ("a", "b", "a"))


def test_a_task_that_builds_on_its_own_image_does_not_trigger_itself() -> None:
    graph = Graph([Edge("a", image(1), digest="old")], [Output("a", image(1), "new")])
    assert plan_wave(graph, [image(1)], triggers=always).members == ()


def test_tasks_that_do_not_want_it_are_left_out_with_what_stands_on_them_alone() -> None:
    graph = Graph([Edge("a", ROOT), Edge("b", image(1))], [Output("a", image(1), "")])
    plan = plan_wave(graph, [ROOT], triggers=lambda task, reference: task != "a")
    assert plan.members == ()


def test_a_member_whose_task_runs_anyway_waits() -> None:
    graph = Graph([Edge("a", ROOT, digest="v1")], [])
    members = plan_wave(graph, [ROOT], triggers=always).members
    assert next_moves(members, graph, {ROOT: "v2"}, busy={"a"}) == ()
    (move,) = next_moves(members, graph, {ROOT: "v2"})
    assert (move.task, move.status, move.reason) == ("a", START, f"{ROOT} moved")


def test_the_longest_way_up_comes_first() -> None:
    edges = [Edge("z", ROOT), Edge("a", ROOT), Edge("m", image(1)), Edge("n", image(2))]
    graph = Graph(edges, [Output("z", image(1), ""), Output("m", image(2), "")])
    plan = plan_wave(graph, [ROOT], triggers=always)
    assert [member.task for member in plan.members] == ["z", "m", "a", "n"]


def test_a_way_from_a_reference_to_a_task_is_shown() -> None:
    edges = [Edge("z", ROOT), Edge("m", image(1)), Edge("n", image(2))]
    graph = Graph(edges, [Output("z", image(1), ""), Output("m", image(2), "")])
    assert graph.chain(ROOT, "n") == ("z", "m", "n")
    assert graph.chain(image(2), "z") == ()


def test_ten_thousand_dependants_over_fifty_thousand_edges_are_planned_in_two_seconds() -> None:
    rng = random.Random(3)
    edges = [Edge("t0", ROOT)]
    for number in range(1, 10_000):
        edges += [Edge(f"t{number}", image(rng.randrange(number))) for _ in range(5)]
    graph = Graph(edges, [Output(f"t{n}", image(n), "") for n in range(10_000)])
    begun = time.process_time()
    plan = plan_wave(graph, [ROOT], triggers=always)
    assert len(plan.members) == 10_000
    assert time.process_time() - begun < 2
