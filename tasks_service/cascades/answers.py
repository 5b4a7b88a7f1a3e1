"""Answers to people's questions about base images: why, what if, what is stale.

In: a graph and today's digests. Out: small values that the API shows. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tasks_service.cascades.graph import Graph
from tasks_service.cascades.plan import Plan, plan_wave
from tasks_service.cascades.step import always, drift
from tasks_service.model.cascade import Edge, Member


@dataclass(frozen=True, slots=True)
class Stale:
    """A task that stands on something that moved since its last good run."""

    task: str
    edges: tuple[Edge, ...]


def stale(graph: Graph, digests: Mapping[str, str]) -> tuple[Stale, ...]:
    """Return every task that does not stand on what its references are now, by name."""
    found: dict[str, list[Edge]] = {}
    for edge in drift(graph.edges, digests):
        if graph.producer.get(edge.reference) != edge.task:
            found.setdefault(edge.task, []).append(edge)
    return tuple(Stale(task, tuple(found[task])) for task in sorted(found))


def impact(graph: Graph, reference: str, *, triggers: Callable[[str, str], bool] = always) -> Plan:
    """Return the wave that would follow if a reference, or a task's image, moved now."""
    return plan_wave(graph, [reference], triggers=triggers)


def left_out(
    graph: Graph, reference: str, plan: Plan, *, why_not: Callable[[str, str], str]
) -> Mapping[str, str]:
    """Return who stands on a reference, however far up, and would not be rebuilt, and why.

    Args:
        graph: Who stands on whom.
        reference: What moves.
        plan: What would be rebuilt.
        why_not: See ``runs.bases.objections``.
    """
    built = {member.task for member in plan.members} | plan.refused.keys()
    found: dict[str, str] = {}
    for edge in graph.edges:
        name, mark, digest = edge.reference.partition("@")
        if mark and name == reference and edge.task not in built:
            found[edge.task] = f"its Dockerfile holds {name} at {digest}"
    roots = graph.users.get(reference, ())
    for task in sorted(graph.reach(roots) - built):
        own = why_not(task, reference) if task in roots else ""
        parents = (p for p in graph.parents.get(task, ()) if p in built or p in found)
        images = {o.reference: o.task for p in parents for o in graph.outputs_of.get(p, ())}
        used = (e.reference for e in graph.edges_of.get(task, ()) if e.reference in images)
        follows = (why_not(task, name) for name in used)
        words = own or next(filter(None, follows), "")
        found.setdefault(task, words or "what it stands on would not be rebuilt")
    return dict(sorted(found.items()))


def expected_s(members: Iterable[Member], durations: Mapping[str, float]) -> float | None:
    """Return how long a wave takes with workers enough; None where nobody knows.

    A task without a known time takes the mean of the others.
    """
    if not durations:
        return None
    mean = sum(durations.values()) / len(durations)
    ends: dict[str, float] = {}
    for member in members:
        begin = max((ends[parent] for parent in member.parents), default=0.0)
        ends[member.task] = begin + durations.get(member.task, mean)
    return max(ends.values(), default=0.0)


def around(graph: Graph, reference: str) -> Graph:
    """Return what stands on a reference, and what that stands on: the part one asked for."""
    producer = graph.producer.get(reference)
    above = graph.reach(graph.users.get(reference, ()))
    below = {producer} if producer else set()
    todo = list(below)
    while todo:
        for parent in graph.parents.get(todo.pop(), ()):
            if parent not in below:
                below.add(parent)
                todo.append(parent)
    tasks = above | below
    return restricted(graph, lambda task: task in tasks)


def restricted(graph: Graph, sees: Callable[[str], bool]) -> Graph:
    """Return the part of a graph that belongs to some tasks."""
    return Graph(
        (edge for edge in graph.edges if sees(edge.task)),
        (output for output in graph.outputs if sees(output.task)),
    )
