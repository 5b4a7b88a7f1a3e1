"""The order of a wave: a graph and moved references in, members out.

Parents come before children, and of those that are ready the ones with the
longest way above them come first: they hold up the most. What stands in a
circle is refused with its path, and with it all that stands on it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tasks_service.cascades.graph import Graph, circles
from tasks_service.model.cascade import Member


@dataclass(frozen=True, slots=True)
class Plan:
    """A wave before it begins.

    Attributes:
        members: In order.
        refused: Tasks that are in a circle, or above one → its path.
    """

    members: tuple[Member, ...]
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def plan_wave(graph: Graph, moved: Iterable[str], *, triggers: Callable[[str, str], bool]) -> Plan:
    """Return who must be rebuilt because references moved, in which order.

    Args:
        graph: Who stands on whom.
        moved: References that have another digest now.
        triggers: Whether a task (first) may be rebuilt because of a
            reference (second) at all.
    """
    roots = {
        task
        for reference in moved
        for task in graph.users.get(reference, ())
        if triggers(task, reference)
    }
    return order(graph, reach(graph, roots, triggers))


def reach(graph: Graph, roots: set[str], triggers: Callable[[str, str], bool]) -> set[str]:
    """Return these tasks and all that would follow if their images moved."""
    found, todo = set(roots), sorted(roots)
    while todo:
        for output in graph.outputs_of.get(todo.pop(), ()):
            for child in graph.users.get(output.reference, ()):
                if child not in found and triggers(child, output.reference):
                    found.add(child)
                    todo.append(child)
    return found


def order(graph: Graph, tasks: set[str]) -> Plan:
    """Return these tasks in order, without those that circles hold."""
    refused = _refused(graph, tasks)
    left = tasks - refused.keys()
    parents = {
        task: tuple(parent for parent in graph.parents.get(task, ()) if parent in left)
        for task in left
    }
    height = _heights(graph, left, parents)
    needs = {task: len(found) for task, found in parents.items()}
    ready = [(-height[task], task) for task in left if not needs[task]]
    heapq.heapify(ready)
    members: list[Member] = []
    while ready:
        _, task = heapq.heappop(ready)
        members.append(Member(task, len(members) + 1, parents[task]))
        for child in graph.children.get(task, ()):
            if child in left:
                needs[child] -= 1
                if not needs[child]:
                    heapq.heappush(ready, (-height[child], child))
    return Plan(tuple(members), refused)


def _refused(graph: Graph, tasks: set[str]) -> dict[str, tuple[str, ...]]:
    refused: dict[str, tuple[str, ...]] = {}
    for path in circles(tasks, graph.children):
        for task in sorted(graph.reach(path) & tasks):
            refused.setdefault(task, path)
    return refused


def _heights(
    graph: Graph, tasks: set[str], parents: Mapping[str, tuple[str, ...]]
) -> dict[str, int]:
    """Return the longest way up from each task."""
    open_children = {
        task: sum(child in tasks for child in graph.children.get(task, ())) for task in tasks
    }
    height = dict.fromkeys(tasks, 0)
    todo = [task for task in tasks if not open_children[task]]
    for task in todo:
        for parent in parents[task]:
            height[parent] = max(height[parent], height[task] + 1)
            open_children[parent] -= 1
            if not open_children[parent]:
                todo.append(parent)
    return height
