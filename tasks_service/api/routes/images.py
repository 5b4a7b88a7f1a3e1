"""Base images: notifications of registries in; watches, graph, why, impact, stale out."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request

from runners.model.errors import Denied, InvalidInput
from tasks_service.api.caller import Author, Caller, Reader, Runner
from tasks_service.api.models.base import View
from tasks_service.api.models.images import (
    GraphView,
    ImpactView,
    OutputView,
    StalePageView,
    WatchPageView,
    WhyView,
    edge_view,
    impact_view,
    stale_view,
    watch_view,
)
from tasks_service.api.parts import Parts, Wired
from tasks_service.api.why import why_view
from tasks_service.cascades.answers import (
    around,
    expected_s,
    impact,
    left_out,
    restricted,
    stale,
)
from tasks_service.cascades.graph import Graph
from tasks_service.cascades.step import drift
from tasks_service.errors import NotFound
from tasks_service.runs.bases import delays, hints_of, known_digests, objections
from tasks_service.store.edges import canonical
from tasks_service.triggers.provider import same

router = APIRouter(prefix="/api/v1", tags=["images"])
door = APIRouter(tags=["images"])
"""Not under ``/api``: who comes here has no token."""
Image = Annotated[str, Query(max_length=512, description="A reference, with its tag.")]
_BLIND_INTERVALS = 3


class HintView(View):
    """How many watched references a notification named."""

    watched: int


@router.post("/events/registry", status_code=202)
async def registry_event(caller: Runner, parts: Wired, request: Request) -> HintView:
    """Take a registry's notification (Distribution, Harbor, ACR, GHCR, Docker Hub, Quay, ECR).

    Whatever it says is a hint only: the registry itself is asked then.
    """
    del caller
    return await _hinted(parts, request)


@door.post("/hooks/registry/{key}", include_in_schema=False, status_code=202)
async def keyed_event(key: str, parts: Wired, request: Request) -> HintView:
    """Take a notification of a registry that can send no login: the URL has a key."""
    wanted = parts.settings.event_key
    if not wanted or not same(key, wanted):
        raise Denied(
            "there is no such door for notifications",
            hint="the URL ends in the service's event_key",
        )
    return await _hinted(parts, request)


async def _hinted(parts: Parts, request: Request) -> HintView:
    body = await request.body()
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("the notification is not JSON") from None
    if parts.restarts.seen(event):
        await anyio.to_thread.run_sync(parts.store.cascades.sweep)
    hints = hints_of(event)
    if not hints:
        return HintView(watched=0)
    count = await anyio.to_thread.run_sync(parts.store.cascades.hint, hints)
    return HintView(watched=count)


@router.get("/watches")
def list_watches(caller: Reader, parts: Wired) -> WatchPageView:
    """List the references that are looked after, and whether anything is blind."""
    graph = _graph(parts, caller)
    seen = {edge.reference for edge in graph.edges}
    bound = time.time() - _BLIND_INTERVALS * max(parts.settings.base_poll, 1.0)
    return WatchPageView(
        items=[
            watch_view(watch, blind=watch.failures > 0 and (watch.checked or 0.0) < bound)
            for watch in parts.store.cascades.watches()
            if watch.reference in seen
        ]
    )


@router.post("/watches/sweep", status_code=202)
def sweep(caller: Author, parts: Wired) -> None:
    """Have every watched reference asked for now."""
    parts.store.cascades.sweep()
    caller.audit(parts.store, "watch.sweep", "watches")


@router.get("/graph")
def graph(caller: Reader, parts: Wired, image: Image = "") -> GraphView:
    """Return who stands on what; with ``image`` what stands on it and what it stands on."""
    found = _graph(parts, caller)
    digests = known_digests(parts.store, found)
    if image:
        found = around(found, _known(found, image))
    moved = set(drift(found.edges, digests))
    return GraphView(
        edges=[
            edge_view(edge, producer=found.producer.get(edge.reference, ""), stale=edge in moved)
            for edge in found.edges
        ],
        outputs=[
            OutputView(task=o.task, reference=o.reference, digest=o.digest, run=o.run_id)
            for o in found.outputs
        ],
    )


@router.get("/impact")
def impact_of(caller: Reader, parts: Wired, image: Image) -> ImpactView:
    """Return what would be rebuilt if an image moved now: who, in which order, how long.

    And who stands on it and would not be, or not at once, and why.
    """
    found = _graph(parts, caller)
    reference = _known(found, image)
    policies = parts.policies.current()
    why_not = objections(parts.store, found, policies)
    plan = impact(found, reference, triggers=lambda task, name: not why_not(task, name))
    return impact_view(
        reference,
        plan,
        expected_s(plan.members, parts.store.cascades.durations()),
        held=left_out(found, reference, plan, why_not=why_not),
        later=delays(found, reference, plan.members, policies),
    )


@router.get("/stale")
def stale_tasks(caller: Reader, parts: Wired) -> StalePageView:
    """List tasks whose images stand on something older than there is."""
    found = _graph(parts, caller)
    return StalePageView(
        items=[
            stale_view(one, dict(found.producer))
            for one in stale(found, known_digests(parts.store, found))
        ]
    )


@router.get("/why")
def why(caller: Reader, parts: Wired, image: Image) -> WhyView:
    """Tell why an image was rebuilt last, back to the first cause, or why it was not."""
    found = _graph(parts, caller)
    return why_view(parts.store, found, _reference(image), parts.policies.current())


def _graph(parts: Parts, caller: Caller) -> Graph:
    found = Graph(*parts.store.cascades.graph())
    return restricted(found, caller.sees) if caller.globs else found


def _reference(image: str) -> str:
    name = canonical(image)
    if not name:
        raise InvalidInput(f"{image[:80]!r} is not an image reference")
    return name


def _known(graph: Graph, image: str) -> str:
    """Return the full name of an image that somebody pushes or stands on.

    Raises:
        NotFound: Nobody does.
    """
    name = _reference(image)
    known: Any = graph.users.keys() | graph.producer.keys()
    if name not in known:
        raise NotFound(
            f"no task pushes {name} or stands on it",
            hint="tasks are known by their last good run; `tasks graph` shows all",
        )
    return name
