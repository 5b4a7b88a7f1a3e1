"""What to do next in a wave: its members and today's digests in, moves out.

Decided from what is, never from what was told: called twice, late or by two
schedulers it says the same. A member is run only if something it stands on is
not what it was built with. So a parent that came out byte for byte the same
ends the wave there, and a task that was rebuilt meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tasks_service.cascades.graph import Graph
from tasks_service.model.cascade import Edge, Member, MemberStatus, Wave, WaveStatus

START = MemberStatus.RUNNING
_NO_IMAGE = frozenset({MemberStatus.FAILED, MemberStatus.BLOCKED, MemberStatus.CANCELED})


def always(task: str, reference: str) -> bool:
    """Let every reference trigger every task."""
    del task, reference
    return True


@dataclass(frozen=True, slots=True)
class Move:
    """A member's next status; ``START`` wants a run first."""

    task: str
    status: MemberStatus
    reason: str
    because: Edge | None = None


def drift(
    edges: Iterable[Edge],
    digests: Mapping[str, str],
    *,
    pins: Mapping[str, str] = MappingProxyType({}),
    triggers: Callable[[str, str], bool] = always,
) -> tuple[Edge, ...]:
    """Return the edges whose reference is something else now than it was built with.

    What nobody knows the digest of, on either side, did not move. Nor did what is
    held at another digest by ``pins``, if it was built with what is there now.
    """

    def moved(edge: Edge) -> bool:
        newest = digests.get(edge.reference) or edge.digest
        held = pins.get(edge.reference) or newest
        return bool(edge.digest) and edge.digest not in (held, newest)

    return tuple(edge for edge in edges if moved(edge) and triggers(edge.task, edge.reference))


def next_moves(
    members: Collection[Member],
    graph: Graph,
    digests: Mapping[str, str],
    *,
    pins: Mapping[str, str] = MappingProxyType({}),
    busy: Collection[str] = (),
    triggers: Callable[[str, str], bool] = always,
) -> tuple[Move, ...]:
    """Return what can be done now, in the wave's order.

    Args:
        members: All of the wave, as they stand.
        graph: Edges with the digests of the last good runs.
        digests: What references are now, this wave's own outputs included.
        pins: What the wave holds references at, whatever they are now.
        busy: Tasks that run for another reason: their members wait.
        triggers: As for ``plan_wave``.
    """
    status = {member.task: member.status for member in members}
    moves = []
    for member in sorted(members, key=lambda one: one.position):
        if member.status is not MemberStatus.WAITING:
            continue
        move = _judge(member, status, graph, digests, pins, busy, triggers)
        if move is not None:
            status[member.task] = move.status
            moves.append(move)
    return tuple(moves)


def _judge(
    member: Member,
    status: Mapping[str, MemberStatus],
    graph: Graph,
    digests: Mapping[str, str],
    pins: Mapping[str, str],
    busy: Collection[str],
    triggers: Callable[[str, str], bool],
) -> Move | None:
    lost = [parent for parent in member.parents if status[parent] in _NO_IMAGE]
    if lost:
        return Move(member.task, MemberStatus.BLOCKED, f"blocked by {', '.join(lost)}")
    if member.task in busy or any(not status[parent].finished for parent in member.parents):
        return None
    own = {output.reference for output in graph.outputs_of.get(member.task, ())}
    edges = [e for e in graph.edges_of.get(member.task, ()) if e.reference not in own]
    moved = drift(edges, digests, pins=pins, triggers=triggers)
    if not moved:
        words = "all it stands on is what it was built with"
        return Move(member.task, MemberStatus.UNCHANGED, words)
    return Move(member.task, START, f"{moved[0].reference} moved", moved[0])


def outcome(members: Iterable[Member]) -> WaveStatus | None:
    """Return how a wave ended, or None while something of it is to come."""
    found = {member.status for member in members}
    if not all(status.finished for status in found):
        return None
    if found & {MemberStatus.FAILED, MemberStatus.BLOCKED}:
        return WaveStatus.FAILED
    # What it left to the next wave is that one's to build.
    return WaveStatus.CANCELED if MemberStatus.CANCELED in found else WaveStatus.SUCCEEDED


def held_at(
    graph: Graph, tasks: Collection[str], digests: Mapping[str, str], old: Mapping[str, str]
) -> dict[str, str]:
    """Return what a wave of these tasks holds the references from outside at.

    Args:
        graph: Who stands on whom.
        tasks: Its members; what they push is the wave's own and moves with it.
        digests: What references are now.
        old: What references were whose new digest is not to be used yet.
    """
    found = {}
    for task in tasks:
        for edge in graph.edges_of.get(task, ()):
            name = edge.reference
            # What a Dockerfile holds at a digest needs no help.
            if "@" in name or graph.producer.get(name) in tasks:
                continue
            if digest := old.get(name) or digests.get(name):
                found[name] = digest
    return found


def pins_of(graph: Graph, wave: Wave, task: str) -> tuple[tuple[str, str], ...]:
    """Return what a run of one member is built with: by the wave, and by its parents' runs."""
    tasks = {member.task for member in wave.members} - {task}
    made = {output.reference: output.digest for output in graph.outputs if output.task in tasks}
    names = {edge.reference for edge in graph.edges_of.get(task, ())}
    whole = {**made, **wave.pins}
    return tuple(sorted((name, whole[name]) for name in names if whole.get(name)))
