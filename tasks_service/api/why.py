"""``GET /why``: the chain of causes of an image's last run, or what keeps it from a run."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from tasks_service.api.models.base import rfc3339
from tasks_service.api.models.images import LinkView, WhyView
from tasks_service.cascades.graph import Graph
from tasks_service.cascades.step import drift
from tasks_service.model.cascade import Edge, MemberStatus, Wave
from tasks_service.model.run import Run
from tasks_service.runs.bases import KIND, known_digests, soaking_until, triggers
from tasks_service.store import Store
from tasks_service.triggers.policies import Policies

MAX_LINKS = 32
_VERDICTS = {
    MemberStatus.WAITING: "waiting",
    MemberStatus.RUNNING: "running",
    MemberStatus.FAILED: "failed",
    MemberStatus.BLOCKED: "blocked",
    MemberStatus.CANCELED: "held",
    MemberStatus.SUPERSEDED: "waiting",
}


def why_view(store: Store, graph: Graph, reference: str, policies: Policies) -> WhyView:
    """Return the answer for a reference."""
    task = graph.producer.get(reference, "")
    if not task:
        known = reference in graph.users
        words = (
            f"no task pushes it; {len(graph.users[reference])} stand on it"
            if known
            else "no good run of a stored task has pushed it or stood on it"
        )
        return WhyView(reference=reference, task="", verdict="untracked", reason=words, chain=[])
    output = next(o for o in graph.outputs_of[task] if o.reference == reference)
    verdict, reason = _verdict(store, graph, task, policies)
    chain = _chain(store, output.run_id)
    if not reason and chain:
        reason = _told(chain[0])
    return WhyView(reference=reference, task=task, verdict=verdict, reason=reason, chain=chain)


def _verdict(store: Store, graph: Graph, task: str, policies: Policies) -> tuple[str, str]:
    """Return where a task stands; ``built`` without a reason where nothing is to be done."""
    own = {output.reference for output in graph.outputs_of.get(task, ())}
    edges = [e for e in graph.edges_of.get(task, ()) if e.reference not in own]
    if not edges:
        return "built", "it stands on no image that could move"
    if all("@" in edge.reference for edge in edges):
        return "pinned", "its Dockerfile holds every image it stands on at a digest"
    moved = drift(edges, known_digests(store, graph))
    wave = store.cascades.last_of(task)
    if not moved:
        unchanged = _unchanged(wave, task)
        return ("unchanged", unchanged) if unchanged else ("built", "")
    names = ", ".join(edge.reference for edge in moved)
    member = next((m for m in wave.members if m.task == task), None) if wave else None
    if member is not None and wave is not None and member.status in _VERDICTS:
        return _VERDICTS[member.status], f"wave {wave.number}: {member.reason or names + ' moved'}"
    wants = triggers(store, graph, policies)
    moved = tuple(edge for edge in moved if wants(task, edge.reference))
    if not moved:
        return "held", f"{names} moved, but by the task or a policy that is no reason to rebuild"
    if soaks := _soaks(store, graph, moved, policies):
        return "held", soaks
    for found in store.cascades.waves(limit=20):
        if task in found.refused:
            return "refused", f"wave {found.number}: circle {' -> '.join(found.refused[task])}"
    return "waiting", f"{names} moved; the next wave is to come"


def _soaks(store: Store, graph: Graph, moved: Sequence[Edge], policies: Policies) -> str:
    """Return until when all that moved is held; empty where something is not."""
    changes, now = store.cascades.unplanned()
    until = soaking_until(store, changes, graph, policies)
    ends = {e.reference: until.get(e.reference, 0.0) for e in moved}
    if not ends or min(ends.values()) <= now:
        return ""
    return "; ".join(_waits(name, end, policies) for name, end in ends.items())


def _waits(name: str, end: float, policies: Policies) -> str:
    if end != inf:
        return f"{name} moved and soaks until {rfc3339(end)}"
    policy = policies.of_image(name).name
    return f"{name} went back to what it was before; policy {policy} holds downgrades"


def _unchanged(wave: Wave | None, task: str) -> str:
    if wave is None:
        return ""
    member = next((m for m in wave.members if m.task == task), None)
    if member is None or member.status is not MemberStatus.UNCHANGED:
        return ""
    return f"wave {wave.number} left it alone: {member.reason}"


def _told(link: LinkView) -> str:
    if link.cause != KIND:
        return f"run {link.run} was started by {link.actor or 'somebody'} ({link.cause})"
    return f"run {link.run}: {link.image} moved"


def _chain(store: Store, run_id: str) -> list[LinkView]:
    chain: list[LinkView] = []
    seen: set[str] = set()
    while run_id and run_id not in seen and len(chain) < MAX_LINKS:
        seen.add(run_id)
        run = store.runs.get(run_id)
        if run is None:
            break
        chain.append(_link(run))
        run_id = _before(store, run)
    return chain


def _before(store: Store, run: Run) -> str:
    """Return the run of the same wave that pushed what this run was started for."""
    detail = run.cause.detail
    wave, parent = detail.get("wave", ""), detail.get("task", "")
    if run.cause.kind != KIND or not wave.isdecimal() or not parent:
        return ""
    members = store.cascades.wave(int(wave)).members
    return next((m.run_id for m in members if m.task == parent), "")


def _link(run: Run) -> LinkView:
    detail = run.cause.detail
    wave = detail.get("wave", "")
    return LinkView(
        task=run.task,
        run=run.id,
        status=str(run.status),
        time=rfc3339(run.created),
        image=detail.get("image", ""),
        old=detail.get("old", ""),
        new=detail.get("new", ""),
        wave=int(wave) if wave.isdecimal() else None,
        cause=run.cause.kind,
        actor=run.cause.actor,
    )
