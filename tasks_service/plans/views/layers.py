"""The plan's graph in layers: what can run at once, and how to draw it.

In: ids and needs. Out: edges without the redundant ones, and an order of
nodes in layers with few crossings. Called by the tree, Mermaid and SVG views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 8
_LARGE = 400


def reduced_needs(steps: Sequence[tuple[str, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """Return each step's needs without those that follow from the others."""
    above: dict[str, frozenset[str]] = {}
    reduced: dict[str, tuple[str, ...]] = {}
    for step_id, needs in steps:
        implied = frozenset().union(*(above[name] for name in needs))
        reduced[step_id] = tuple(name for name in needs if name not in implied)
        above[step_id] = implied | frozenset(needs)
    return reduced


def depths(steps: Sequence[tuple[str, Sequence[str]]]) -> dict[str, int]:
    """Return how many steps must come before each, along the longest way."""
    depth: dict[str, int] = {}
    for step_id, needs in steps:
        depth[step_id] = max((depth[name] + 1 for name in needs), default=0)
    return depth


@dataclass(frozen=True, slots=True)
class Layered:
    """Nodes by layer, top first; ``chains`` are edges through every layer.

    A node whose name starts with a NUL is a bend of a long edge, no step.
    """

    layers: list[list[str]]
    chains: list[list[str]]


def layered(steps: Sequence[tuple[str, Sequence[str]]]) -> Layered:
    """Arrange the graph: layers by depth, long edges bent, crossings reduced."""
    needs = reduced_needs(steps) if len(steps) <= _LARGE else {k: tuple(v) for k, v in steps}
    depth = depths(steps)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for step_id, _ in steps:
        layers[depth[step_id]].append(step_id)
    chains: list[list[str]] = []
    bends: set[str] = set()
    for step_id, _ in steps:
        for name in needs[step_id]:
            chain = [name]
            for level in range(depth[name] + 1, depth[step_id]):
                # Long edges of one step share their way.
                bend = f"\0{level}-{name}"
                if bend not in bends:
                    bends.add(bend)
                    layers[level].append(bend)
                chain.append(bend)
            chain.append(step_id)
            chains.append(chain)
    up, down = _neighbours(chains)
    if len(steps) <= _LARGE:
        for sweep in range(_SWEEPS):
            _sweep(layers, up if sweep % 2 == 0 else down, forward=sweep % 2 == 0)
    return Layered(layers, chains)


def _neighbours(
    chains: Sequence[Sequence[str]],
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    up: dict[str, list[str]] = {}
    down: dict[str, list[str]] = {}
    for chain in chains:
        for before, after in pairwise(chain):
            if before not in up.setdefault(after, []):
                up[after].append(before)
                down.setdefault(before, []).append(after)
    return up, down


def _sweep(
    layers: list[list[str]], neighbours: Mapping[str, Sequence[str]], *, forward: bool
) -> None:
    """Order each layer by the mean place of its neighbours in the one before."""
    order = range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1)
    for level in order:
        other = layers[level - 1 if forward else level + 1]
        place = {name: index / max(1, len(other) - 1) for index, name in enumerate(other)}
        own = layers[level]
        now = {name: index / max(1, len(own) - 1) for index, name in enumerate(own)}

        def mean(name: str, place: dict[str, float] = place, now: dict[str, float] = now) -> float:
            places = [place[n] for n in neighbours.get(name, ()) if n in place]
            return sum(places) / len(places) if places else now[name]

        own.sort(key=mean)
