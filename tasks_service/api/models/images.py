"""Bodies of base images, watches and waves."""

from __future__ import annotations

from collections.abc import Mapping

from tasks_service.api.models.base import Page, View, rfc3339, rfc3339_or_none
from tasks_service.cascades.answers import Stale
from tasks_service.cascades.plan import Plan
from tasks_service.model.cascade import Change, Edge, Member, Watch, Wave


class WatchView(View):
    """A reference that is looked after. ``blind``: its registry has not answered lately."""

    reference: str
    digest: str
    via: str
    check_time: str | None
    change_time: str | None
    next_time: str
    failures: int
    error: str
    blind: bool


class WatchPageView(Page):
    """All of them, by name."""

    items: list[WatchView]


class ChangeView(View):
    """A reference got another digest."""

    reference: str
    old: str
    new: str
    time: str
    via: str


class MemberView(View):
    """A task of a wave."""

    task: str
    position: int
    parents: list[str]
    status: str
    run: str
    reason: str


class WaveView(View):
    """A wave of rebuilds.

    ``refused``: tasks in a circle, and its path; ``pins``: what its runs are built with
    of what is not its own; ``reason``: why it stopped by itself.
    """

    number: int
    status: str
    create_time: str
    finish_time: str | None
    changes: list[ChangeView]
    members: list[MemberView]
    refused: dict[str, list[str]]
    pins: dict[str, str]
    reason: str


class WavePageView(Page):
    """Waves, newest first."""

    items: list[WaveView]


class EdgeView(View):
    """A task stands on an image; ``producer`` is the task that pushes it, if one does."""

    task: str
    reference: str
    role: str
    digest: str
    run: str
    producer: str
    stale: bool


class OutputView(View):
    """What a task pushed last."""

    task: str
    reference: str
    digest: str
    run: str


class GraphView(View):
    """Who stands on what."""

    edges: list[EdgeView]
    outputs: list[OutputView]


class ImpactView(View):
    """What would be rebuilt if an image moved, in order.

    ``held``: who stands on it and would not be, and why; ``later``: what the wave, or one
    of its tasks, would have to wait for.
    """

    reference: str
    members: list[MemberView]
    refused: dict[str, list[str]]
    held: dict[str, str]
    later: dict[str, str]
    expected_seconds: float | None


class StaleView(View):
    """A task whose images stand on something older than there is."""

    task: str
    edges: list[EdgeView]


class StalePageView(Page):
    """Stale tasks, by name."""

    items: list[StaleView]


class LinkView(View):
    """One link of the chain from an image back to what began it."""

    task: str
    run: str
    status: str
    time: str
    image: str
    old: str
    new: str
    wave: int | None
    cause: str
    actor: str


class WhyView(View):
    """Why an image was rebuilt, or was not.

    ``verdict``: built, unchanged, running, waiting, blocked, failed, refused,
    held, pinned, untracked; ``reason`` in words; ``chain`` from the image's last run
    back to the first cause.
    """

    reference: str
    task: str
    verdict: str
    reason: str
    chain: list[LinkView]


def watch_view(watch: Watch, *, blind: bool) -> WatchView:
    """Return the view of a watched reference."""
    return WatchView(
        reference=watch.reference,
        digest=watch.digest,
        via=watch.via,
        check_time=rfc3339_or_none(watch.checked),
        change_time=rfc3339_or_none(watch.changed),
        next_time=rfc3339(watch.due),
        failures=watch.failures,
        error=watch.error,
        blind=blind,
    )


def change_view(change: Change) -> ChangeView:
    """Return the view of a change."""
    return ChangeView(
        reference=change.reference,
        old=change.old,
        new=change.new,
        time=rfc3339(change.seen),
        via=change.via,
    )


def member_view(member: Member) -> MemberView:
    """Return the view of a member."""
    return MemberView(
        task=member.task,
        position=member.position,
        parents=list(member.parents),
        status=str(member.status),
        run=member.run_id,
        reason=member.reason,
    )


def wave_view(wave: Wave) -> WaveView:
    """Return the view of a wave."""
    return WaveView(
        number=wave.number,
        status=str(wave.status),
        create_time=rfc3339(wave.created),
        finish_time=rfc3339_or_none(wave.finished),
        changes=[change_view(change) for change in wave.changes],
        members=[member_view(member) for member in wave.members],
        refused={task: list(path) for task, path in wave.refused.items()},
        pins=dict(wave.pins),
        reason=wave.reason,
    )


def edge_view(edge: Edge, *, producer: str, stale: bool) -> EdgeView:
    """Return the view of an edge."""
    return EdgeView(
        task=edge.task,
        reference=edge.reference,
        role=edge.role,
        digest=edge.digest,
        run=edge.run_id,
        producer=producer,
        stale=stale,
    )


def impact_view(
    reference: str,
    plan: Plan,
    seconds: float | None,
    *,
    held: Mapping[str, str],
    later: Mapping[str, str],
) -> ImpactView:
    """Return the view of what would follow."""
    return ImpactView(
        reference=reference,
        members=[member_view(member) for member in plan.members],
        refused={task: list(path) for task, path in plan.refused.items()},
        held=dict(held),
        later=dict(later),
        expected_seconds=seconds,
    )


def stale_view(found: Stale, producer: dict[str, str]) -> StaleView:
    """Return the view of a stale task."""
    edges = [
        edge_view(edge, producer=producer.get(edge.reference, ""), stale=True)
        for edge in found.edges
    ]
    return StaleView(task=found.task, edges=edges)
