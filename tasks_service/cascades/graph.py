"""Who stands on whom: edges and outputs in, ways through them out.

An image that a task pushes and another task builds on makes the one a parent
of the other. A task that builds on its own image (``FROM app:previous``) is
not its own parent: such an edge is a seed and triggers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from tasks_service.model.cascade import Edge, Output

V = TypeVar("V")


class Graph:
    """Tasks and references, both ways. Immutable."""

    def __init__(self, edges: Iterable[Edge], outputs: Iterable[Output]) -> None:
        self.edges = tuple(edges)
        self.outputs = tuple(outputs)
        self.producer = {output.reference: output.task for output in self.outputs}
        """Reference → the task that pushed it last."""

    @cached_property
    def edges_of(self) -> Mapping[str, tuple[Edge, ...]]:
        """Task → its edges."""
        return _grouped((edge.task, edge) for edge in self.edges)

    @cached_property
    def outputs_of(self) -> Mapping[str, tuple[Output, ...]]:
        """Task → what it pushes."""
        return _grouped((output.task, output) for output in self.outputs)

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """Reference → the tasks that stand on it, seeds left out."""
        pairs = dict.fromkeys(
            (edge.reference, edge.task)
            for edge in self.edges
            if self.producer.get(edge.reference) != edge.task
        )
        return _grouped(pairs)

    @cached_property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """Task → the tasks whose images it stands on."""
        pairs = dict.fromkeys(
            (edge.task, producer)
            for edge in self.edges
            if (producer := self.producer.get(edge.reference)) not in (None, edge.task)
            and producer is not None
        )
        return _grouped(pairs)

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Task → the tasks that stand on its images."""
        return _grouped((parent, task) for task, found in self.parents.items() for parent in found)

    def reach(self, tasks: Iterable[str]) -> set[str]:
        """Return ``tasks`` and all that stand on them, however far up."""
        found = set(tasks)
        todo = list(found)
        while todo:
            for child in self.children.get(todo.pop(), ()):
                if child not in found:
                    found.add(child)
                    todo.append(child)
        return found

    def chain(self, reference: str, task: str) -> tuple[str, ...]:
        """Return the shortest way from a reference to a task, as task names; empty if none."""
        before: dict[str, str] = dict.fromkeys(self.users.get(reference, ()), "")
        todo = list(before)
        for current in todo:
            if current == task:
                return tuple(reversed(list(_back(before, task))))
            for child in self.children.get(current, ()):
                if child not in before:
                    before[child] = current
                    todo.append(child)
        return ()


def _back(before: Mapping[str, str], task: str) -> Iterable[str]:
    while task:
        yield task
        task = before[task]


def _grouped(pairs: Iterable[tuple[str, V]]) -> dict[str, tuple[V, ...]]:
    found: dict[str, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def circles(tasks: set[str], children: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the sets of tasks that stand on each other, each as a path back to its start.

    Tarjan's algorithm without recursion: a chain of 10,000 images is no
    reason to run out of stack.
    """
    found: list[tuple[str, ...]] = []
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in sorted(tasks):
        if root in index:
            continue
        work = [(root, iter(children.get(root, ())))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            task, rest = work[-1]
            child = next((c for c in rest if c in tasks), None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[task])
                if low[task] == index[task]:
                    _close(task, stack, on_stack, children, found)
            elif child not in index:
                index[child] = low[child] = len(index)
                stack.append(child)
                on_stack.add(child)
                work.append((child, iter(children.get(child, ()))))
            elif child in on_stack:
                low[task] = min(low[task], index[child])
    return tuple(found)


def _close(
    task: str,
    stack: list[str],
    on_stack: set[str],
    children: Mapping[str, Sequence[str]],
    found: list[tuple[str, ...]],
) -> None:
    component: set[str] = set()
    while task not in component:
        member = stack.pop()
        on_stack.discard(member)
        component.add(member)
    if len(component) > 1:
        found.append(_path(min(component), component, children))


def _path(
    start: str, component: set[str], children: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return the shortest way within ``component`` from ``start`` back to it."""
    before: dict[str, str] = {}
    todo = [start]
    for current in todo:
        for child in children.get(current, ()):
            if child == start:
                return (*_walk(before, start, current), start)
            if child in component and child not in before:
                before[child] = current
                todo.append(child)
    return (start,)


def _walk(before: Mapping[str, str], start: str, end: str) -> list[str]:
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]
