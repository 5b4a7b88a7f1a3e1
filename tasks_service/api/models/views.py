"""Bodies that go out, and how they are made of the values behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks_service.api.models.base import Page, View, rfc3339, rfc3339_or_none
from tasks_service.model.access import AuditEntry, Token, Worker
from tasks_service.model.run import QueuePlace, Run
from tasks_service.store.recovery import PoolStatus


class CauseView(View):
    """Why a run was started."""

    kind: str
    actor: str
    detail: dict[str, str]


class ErrorView(View):
    """What ended a run."""

    code: str
    message: str
    hint: str


class SourceView(View):
    """Where a run's source came from."""

    location: str
    commit: str
    branch: str


class QueueView(View):
    """Where a queued run stands."""

    position: int
    expected_wait_seconds: float | None


class RunnerView(View):
    """How a run got its runner: ``warm`` waited for it, ``cold`` was made for it."""

    start: str
    seconds: float


class RunView(View):
    """A run. ``runId`` is the same as ``id``; ``request`` holds no secret."""

    id: str
    run_id: str
    status: str
    run_type: str
    task: str
    cause: CauseView
    source: SourceView
    commit: str
    branch: str
    registry: str
    platform: str
    isolation: str
    runner: RunnerView | None
    pool: str
    lane: str
    create_time: str
    start_time: str | None
    finish_time: str | None
    attempt: int
    error: ErrorView | None
    steps: list[dict[str, Any]]
    images: list[dict[str, Any]]
    output_images: list[dict[str, Any]]
    base_images: list[dict[str, Any]]
    log_state: str
    archived: bool
    cancel_requested: bool
    waits_for_approval: bool = False
    queue: QueueView | None
    request: dict[str, Any]


class RunPageView(Page):
    """Runs, newest first."""

    items: list[RunView]


def queue_view(place: QueuePlace | None) -> QueueView | None:
    """Return the view of a place in the queue."""
    if place is None:
        return None
    return QueueView(position=place.position, expected_wait_seconds=place.expected_wait_s)


def steps_of(run: Run) -> list[dict[str, Any]]:
    """Return a run's steps as the store has them."""
    return [dict(step) for step in run.steps]


def error_view(run: Run) -> ErrorView | None:
    """Return what ended a run, or None."""
    if not run.error_code:
        return None
    return ErrorView(code=run.error_code, message=run.error, hint=run.hint)


def _runner(value: Any) -> RunnerView | None:
    if not isinstance(value, Mapping):
        return None
    return RunnerView(start=str(value["start"]), seconds=float(value["seconds"]))


def run_view(run: Run, request: dict[str, Any], place: QueuePlace | None = None) -> RunView:
    """Return the view of a run.

    Args:
        run: The run.
        request: Its request as ``conversion.request_json`` shows it.
        place: Where it waits.
    """
    record = run.record or {}
    source = record.get("source") or {}
    return RunView(
        id=run.id,
        run_id=run.id,
        status=str(run.status),
        run_type=run.run_type,
        task=run.task,
        cause=CauseView(kind=run.cause.kind, actor=run.cause.actor, detail=dict(run.cause.detail)),
        source=SourceView(
            location=str(source.get("location") or request.get("source") or ""),
            commit=run.commit,
            branch=run.branch,
        ),
        commit=run.commit,
        branch=run.branch,
        registry=run.request.registry,
        platform=str(record.get("platform") or run.request.platform),
        isolation=str(record.get("isolation") or run.request.isolation),
        runner=_runner(record.get("runner")),
        pool=run.request.pool,
        lane=run.lane,
        create_time=rfc3339(run.created),
        start_time=rfc3339_or_none(run.started),
        finish_time=rfc3339_or_none(run.finished),
        attempt=run.attempt,
        error=error_view(run),
        steps=steps_of(run),
        images=list(record.get("images", [])),
        output_images=list(record.get("outputImages", [])) or _pushed(run),
        base_images=list(record.get("baseImages", [])),
        log_state=run.log_state,
        archived=run.archived,
        cancel_requested=bool(run.cancel_reason),
        waits_for_approval=run.held and not run.status.finished,
        queue=queue_view(place),
        request=request,
    )


def _pushed(run: Run) -> list[dict[str, Any]]:
    pairs = [image.rpartition("@")[::2] for image in run.images]
    return [{"reference": reference, "digest": digest} for reference, digest in pairs]


class TimerView(View):
    """A timer: as it was written, in words, and where it stands.

    ``next`` is when it fires next, jitter and windows counted in; ``lastDue``
    the fire time it acted on last, ``problem`` why that started no run.
    """

    name: str
    schedule: str
    enabled: bool
    jitter: int
    misfire: str
    windows: list[str]
    zone: str
    words: str
    next: str | None
    last_due: str | None
    last_run: str
    problem: str


class TimerPageView(Page):
    """Timers of a task."""

    items: list[TimerView]


class FireTimeView(View):
    """One fire time: what the schedule says, and when it is acted on."""

    due: str
    at: str


class FireTimesView(View):
    """The next fire times of a timer."""

    schedule: str
    zone: str
    words: str
    items: list[FireTimeView]


class TokenView(View):
    """A token, without its secret."""

    id: str
    name: str
    role: str
    tasks: list[str]
    created: str
    expires: str | None
    last_used: str | None
    revoked: bool


class NewTokenView(TokenView):
    """A token that was just made; ``token`` is shown this once."""

    token: str


class TokenPageView(Page):
    """Tokens, newest first."""

    items: list[TokenView]


def token_fields(token: Token) -> dict[str, Any]:
    """Return the fields of a TokenView."""
    return {
        "id": token.id,
        "name": token.name,
        "role": str(token.role),
        "tasks": list(token.tasks),
        "created": rfc3339(token.created),
        "expires": rfc3339_or_none(token.expires),
        "last_used": rfc3339_or_none(token.last_used),
        "revoked": token.revoked,
    }


class WhoView(View):
    """Whose token it is."""

    id: str
    name: str
    role: str
    tasks: list[str]
    expires: str | None


class VersionView(View):
    """The server's version, and that of its API."""

    version: str
    api_version: str


class AuditView(View):
    """One change."""

    number: int
    time: str
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


class AuditPageView(Page):
    """Changes, newest first."""

    items: list[AuditView]


def audit_view(entry: AuditEntry) -> AuditView:
    """Return the view of an entry."""
    return AuditView(
        number=entry.number,
        time=rfc3339(entry.time),
        actor=entry.actor,
        action=entry.action,
        object=entry.object,
        detail=dict(entry.detail),
    )


class WorkerView(View):
    """A worker process as it was seen last."""

    id: str
    pool: str
    host: str
    concurrency: int
    active: int
    started: str
    seen: str
    draining: bool


class WorkerPageView(Page):
    """All workers."""

    items: list[WorkerView]


def worker_view(worker: Worker) -> WorkerView:
    """Return the view of a worker."""
    return WorkerView(
        id=worker.id,
        pool=worker.pool,
        host=worker.host,
        concurrency=worker.concurrency,
        active=worker.active,
        started=rfc3339(worker.started),
        seen=rfc3339(worker.seen),
        draining=worker.draining,
    )


class PoolView(View):
    """A pool's hands and queue; ``oldestSeconds`` is how long its first run waits."""

    name: str
    workers: int
    concurrency: int
    active: int
    queued: int
    oldest_seconds: float


class PoolPageView(Page):
    """All pools with workers or runs."""

    items: list[PoolView]


def pool_view(status: PoolStatus) -> PoolView:
    """Return the view of a pool."""
    return PoolView(
        name=status.pool,
        workers=status.workers,
        concurrency=status.slots,
        active=status.active,
        queued=status.queued,
        oldest_seconds=round(status.oldest_s, 1),
    )


class CredentialView(View):
    """A login of a registry, without its password."""

    registry: str
    username: str


class CredentialPageView(Page):
    """Logins of a task."""

    items: list[CredentialView]


class UploadView(View):
    """An upload that is stored."""

    digest: str
    size: int


class TaskPageView(Page):
    """Tasks by name; each as GET of it answers."""

    items: list[dict[str, Any]]
