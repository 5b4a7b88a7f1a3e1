"""Runs: start, list, show, cancel, run again, keep (A-01, A-03, A-04)."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from runners.model.status import RunStatus
from tasks_service.api.caller import Author, Caller, Reader, Runner
from tasks_service.api.conversion import request_json, request_of
from tasks_service.api.models.base import nearest, parse_time
from tasks_service.api.models.inputs import Approval, RunInput, RunPatch
from tasks_service.api.models.views import RunPageView, RunView, run_view
from tasks_service.api.parts import Parts, Wired
from tasks_service.api.routes.paging import Cursor, Limit, link_next
from tasks_service.model.run import Cause, NewRun, Run, RunFilter
from tasks_service.runs.fields import FieldError, InvalidFields, raise_if_any
from tasks_service.runs.lifecycle import QUICK_BUILD, QUICK_RUN, Once, find_run

router = APIRouter(prefix="/api/v1", tags=["runs"])
IdempotencyKey = Annotated[
    str,
    Header(
        max_length=200,
        description="Makes the same request, sent again, answer with the run of the first time.",
    ),
]
_Text = Annotated[str, Query(max_length=512)]


def shown(run: Run, parts: Parts, *, whole: bool = True) -> RunView:
    """Return the view of a run, with its place while it waits."""
    place = None
    if run.status is RunStatus.QUEUED:
        place = parts.store.runs.place(run)
    return run_view(run, request_json(run.request, run.request.secret_names, whole=whole), place)


def accepted(run: Run, parts: Parts, response: Response) -> RunView:
    """Return the view of a run that was just accepted, and where it is."""
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return shown(run, parts)


def once_of(caller: Caller, key: str, *body: Any) -> Once | None:
    """Return what makes the request the same as another; None without a key."""
    if not key:
        return None
    text = json.dumps(body, sort_keys=True, default=str)
    return Once(caller.token.id, key, hashlib.sha256(text.encode()).hexdigest())


@router.post("/runs", status_code=202)
def start(
    body: RunInput,
    caller: Runner,
    parts: Wired,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> RunView:
    """Start a quick run: a task file, one command, or a build."""
    caller.require_quick_runs()
    request, secrets, errors = request_of(body)
    raise_if_any(errors)
    new = NewRun(
        request=request,
        secrets=secrets,
        cause=Cause("manual", caller.name),
        run_type=QUICK_RUN if request.build is None else QUICK_BUILD,
    )
    once = once_of(caller, idempotency_key, "run", body.model_dump())
    run = parts.life.accept(new, once=once)
    caller.audit(parts.store, "run.create", f"runs/{run.id}")
    return accepted(run, parts, response)


@router.get("/runs")
def list_runs(  # noqa: PLR0913, PLR0917 - one parameter a filter
    caller: Reader,
    parts: Wired,
    request: Request,
    response: Response,
    task: _Text = "",
    status: Annotated[list[str] | None, Query(max_length=20)] = None,
    cause: _Text = "",
    image: _Text = "",
    commit: _Text = "",
    pool: _Text = "",
    since: _Text = "",
    until: _Text = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> RunPageView:
    """List runs, newest first."""
    errors: list[FieldError] = []
    which = RunFilter(
        task=_plain("task", task, errors),
        task_globs=caller.globs,
        statuses=_statuses(status or [], errors),
        cause=_plain("cause", cause, errors),
        image=_plain("image", image, errors),
        commit=_plain("commit", commit, errors),
        pool=_plain("pool", pool, errors),
        since=_time("since", since, errors),
        until=_time("until", until, errors),
    )
    if errors:
        raise InvalidFields(errors)
    page = parts.store.runs.list(which, limit=limit, cursor=cursor)
    link_next(request, response, page.cursor)
    return RunPageView(
        items=[
            run_view(run, request_json(run.request, run.request.secret_names)) for run in page.runs
        ],
        cursor=page.cursor,
    )


def _plain(name: str, text: str, errors: list[FieldError]) -> str:
    if "\0" in text:
        errors.append(FieldError(name, "holds a NUL character"))
        return ""
    return text


def _statuses(given: list[str], errors: list[FieldError]) -> tuple[RunStatus, ...]:
    known = {str(status).lower(): status for status in RunStatus}
    found = []
    for text in (part for entry in given for part in entry.split(",") if part):
        status = known.get(text.lower())
        if status is None:
            near = nearest(text[:40], [str(status) for status in RunStatus])
            said = f"; did you mean '{near}'?" if near else f": one of {', '.join(RunStatus)}"
            errors.append(FieldError("status", f"{text[:40]!r} is no status{said}"))
        else:
            found.append(status)
    return tuple(found)


def _time(name: str, text: str, errors: list[FieldError]) -> float | None:
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        errors.append(FieldError(name, str(error)))
        return None


@router.get("/runs/{run_id}")
def show(run_id: str, caller: Reader, parts: Wired) -> RunView:
    """Return a run; while it waits, also where it stands."""
    return shown(find_run(parts.store, run_id, caller.sees), parts)


@router.patch("/runs/{run_id}")
def change(run_id: str, body: RunPatch, caller: Runner, parts: Wired) -> RunView:
    """Keep a run beyond retention, or no longer (C-137)."""
    find_run(parts.store, run_id, caller.sees)
    run = parts.store.runs.set_archived(run_id, body.archived)
    caller.audit(parts.store, "run.archive", f"runs/{run.id}", archived=body.archived)
    return shown(run, parts)


@router.post("/runs/{run_id}/approve", status_code=202)
def approve(run_id: str, body: Approval, caller: Author, parts: Wired) -> RunView:
    """Let the run of a fork's pull request be taken; it stays without secrets and pushes."""
    run = find_run(parts.store, run_id, caller.sees)
    run = parts.life.approve(run, commit=body.commit)
    commit = run.cause.detail.get("commitId", "")
    caller.audit(parts.store, "run.approve", f"runs/{run.id}", commit=commit)
    return shown(run, parts)


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel(run_id: str, caller: Runner, parts: Wired) -> RunView:
    """Ask for a run's end. One that is finished stays as it is (C-138)."""
    find_run(parts.store, run_id, caller.sees)
    run = parts.life.cancel(run_id, actor=caller.name)
    caller.audit(parts.store, "run.cancel", f"runs/{run.id}")
    return shown(run, parts)


@router.post("/runs/{run_id}/rerun", status_code=202)
def rerun(
    run_id: str,
    caller: Runner,
    parts: Wired,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> RunView:
    """Start the same once more."""
    before = find_run(parts.store, run_id, caller.sees)
    once = once_of(caller, idempotency_key, "rerun", run_id)
    run = parts.life.rerun(before, actor=caller.name, once=once)
    caller.audit(parts.store, "run.rerun", f"runs/{run.id}", run=run_id)
    return accepted(run, parts, response)
