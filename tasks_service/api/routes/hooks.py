"""Commit triggers of stored tasks, and the door for what Git servers send."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from tasks_service.api.caller import Author, Caller, Reader, Runner
from tasks_service.api.models.base import rfc3339
from tasks_service.api.models.hooks import (
    DeliveryPageView,
    DeliveryView,
    HookChanges,
    HookFields,
    HookPageView,
    HookView,
    NewHookView,
    RegistrationView,
    TryFields,
    TryView,
)
from tasks_service.api.parts import Parts, Wired
from tasks_service.model.commit import CommitTrigger, Delivery, Hook, HookSecrets
from tasks_service.runs.commits import Deliveries, git_location
from tasks_service.runs.fields import FieldError, raise_if_any
from tasks_service.runs.hook_checks import trigger_errors
from tasks_service.runs.webhooks import Webhooks
from tasks_service.triggers.origin import completed
from tasks_service.triggers.push import BRANCH, Push, checked_push

router = APIRouter(prefix="/api/v1", tags=["triggers"])
door = APIRouter(tags=["triggers"])
"""Not under ``/api``: who comes here carries a signature, not a token."""
Limit = Annotated[int, Query(ge=1, le=500, description="How many deliveries.")]


@door.post("/hooks/{hook}", include_in_schema=False, status_code=202)
async def deliver(hook: str, request: Request, parts: Wired) -> JSONResponse:
    """Take a delivery of a Git server."""
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    deliveries = Deliveries(parts.store, parts.life)
    found = await anyio.to_thread.run_sync(deliveries.take, hook, headers, body)
    told: dict[str, Any] = {"items": [{"runId": one.run_id, "note": one.note} for one in found]}
    return JSONResponse(told, status_code=202)


@router.get("/tasks/{name}/triggers")
def list_triggers(name: str, caller: Reader, parts: Wired) -> HookPageView:
    """List the commit triggers of a task, each with its newest delivery."""
    caller.require_task(name)
    task = parts.store.tasks.find(name[:200])
    hooks = parts.store.hooks.list(task.name)
    newest = parts.store.hooks.newest([hook.id for hook in hooks])
    return HookPageView(items=[_view(parts, hook, newest.get(hook.id)) for hook in hooks])


@router.post("/tasks/{name}/triggers", status_code=201)
def add_trigger(name: str, body: HookFields, caller: Author, parts: Wired) -> NewHookView:
    """Add a commit trigger; the answer holds the webhook's secret, this once."""
    caller.require_task(name)
    task = parts.store.tasks.find(name[:200])
    trigger = completed(
        CommitTrigger(
            name=body.name,
            provider=body.provider,
            repository=body.repository,
            refs=tuple(body.refs),
            paths=tuple(body.paths),
            api_url=body.api_url,
            enabled=body.enabled,
            pushes=body.pushes,
            pull_requests=body.pull_requests,
            poll_seconds=body.poll_seconds,
        ),
        git_location(task),
    )
    raise_if_any(tuple(trigger_errors(trigger, body.secret, body.token, parts.life.rules)))
    secret = body.secret or secrets.token_urlsafe(32)
    hook = parts.store.hooks.add(
        secrets.token_urlsafe(18), task.name, trigger, HookSecrets(secret, body.token)
    )
    caller.audit(parts.store, "trigger.add", task.name, trigger=trigger.name)
    registration = RegistrationView(registered=False, problem="")
    if body.register_webhook:
        registration = _registered(parts, hook)
    return NewHookView(
        **_view(parts, hook).model_dump(by_alias=False), secret=secret, registration=registration
    )


@router.patch("/tasks/{name}/triggers/{trigger}")
def change_trigger(
    name: str, trigger: str, body: HookChanges, caller: Author, parts: Wired
) -> HookView:
    """Change a commit trigger; its URL stays."""
    hook = _find(parts, caller, name, trigger)
    given = {key: value for key, value in body.model_dump().items() if value is not None}
    kept = HookSecrets(
        given.pop("secret", "") or hook.secrets.secret, given.pop("token", hook.secrets.token)
    )
    for key in ("refs", "paths"):
        if key in given:
            given[key] = tuple(given[key])
    changed = dataclasses.replace(hook.trigger, **given)
    raise_if_any(tuple(trigger_errors(changed, kept.secret, kept.token, parts.life.rules)))
    if kept.token == hook.secrets.token and kept.token and changed.api_url != hook.trigger.api_url:
        # Who may not read the token must not have it sent elsewhere.
        raise_if_any([FieldError("/token", "give it again: the status API is another one")])
    hook = parts.store.hooks.change(hook, changed, kept)
    caller.audit(parts.store, "trigger.change", hook.task, trigger=changed.name)
    return _view(parts, hook)


@router.delete("/tasks/{name}/triggers/{trigger}", status_code=204)
def remove_trigger(name: str, trigger: str, caller: Author, parts: Wired) -> Response:
    """Remove a commit trigger and what was delivered to it, and its webhook, if it can be."""
    hook = _find(parts, caller, name, trigger)
    _webhooks(parts).disconnect(hook)
    parts.store.hooks.remove(hook.id)
    caller.audit(parts.store, "trigger.remove", hook.task, trigger=hook.trigger.name)
    return Response(status_code=204)


@router.post("/tasks/{name}/triggers/{trigger}/register")
def register_webhook(name: str, trigger: str, caller: Author, parts: Wired) -> RegistrationView:
    """Make the webhook at the Git server with the trigger's token, or mend the one it has."""
    hook = _find(parts, caller, name, trigger)
    caller.audit(parts.store, "trigger.register", hook.task, trigger=hook.trigger.name)
    return _registered(parts, hook)


@router.post("/tasks/{name}/triggers/{trigger}/test")
def try_trigger(name: str, trigger: str, body: TryFields, caller: Reader, parts: Wired) -> TryView:
    """Tell whether a push would start a run. Nothing is started, nothing is stored."""
    hook = _find(parts, caller, name, trigger)
    push = Push(
        repository=hook.trigger.repository,
        ref=body.ref if body.ref.startswith("refs/") else BRANCH + body.ref,
        before="1" * 40,
        commit="2" * 40,
        message=body.message,
        paths=None if body.paths is None else tuple(body.paths),
    )
    note = Deliveries(parts.store, parts.life).judge(hook, checked_push(push))
    return TryView(starts=not note, note=note)


@router.get("/tasks/{name}/triggers/{trigger}/deliveries")
def list_deliveries(
    name: str, trigger: str, caller: Reader, parts: Wired, limit: Limit = 50
) -> DeliveryPageView:
    """List the pushes that arrived last, newest first."""
    hook = _find(parts, caller, name, trigger)
    found = parts.store.hooks.deliveries(hook.id, limit=limit)
    return DeliveryPageView(items=[DeliveryView.of(one) for one in found])


@router.post("/tasks/{name}/triggers/{trigger}/deliveries/{delivery}/redeliver", status_code=202)
def redeliver(name: str, trigger: str, delivery: str, caller: Runner, parts: Wired) -> DeliveryView:
    """Judge a push that arrived before once more, as the trigger and its task are now."""
    hook = _find(parts, caller, name, trigger)
    stored = parts.store.hooks.delivery(hook.id, delivery[:100])
    found = Deliveries(parts.store, parts.life).again(hook, stored)
    caller.audit(parts.store, "trigger.redeliver", hook.task, trigger=trigger, delivery=stored.id)
    return DeliveryView.of(found)


def _find(parts: Parts, caller: Caller, name: str, trigger: str) -> Hook:
    caller.require_task(name)
    return parts.store.hooks.find(parts.store.tasks.find(name[:200]).name, trigger)


def _view(parts: Parts, hook: Hook, last: Delivery | None = None) -> HookView:
    trigger = hook.trigger
    base = parts.settings.public_url.rstrip("/")
    return HookView(
        name=trigger.name,
        provider=trigger.provider,
        repository=trigger.repository,
        refs=list(trigger.refs),
        paths=list(trigger.paths),
        api_url=trigger.api_url,
        enabled=trigger.enabled,
        pushes=trigger.pushes,
        pull_requests=trigger.pull_requests,
        poll_seconds=_pace(parts, trigger),
        polled=None if hook.polled is None else rfc3339(hook.polled),
        poll_problem=hook.poll_problem,
        url=f"{base}/hooks/{hook.id}",
        has_token=bool(hook.secrets.token),
        last=DeliveryView.of(last) if last is not None else None,
    )


def _pace(parts: Parts, trigger: CommitTrigger) -> float:
    if not (trigger.enabled and trigger.pushes):
        return 0.0
    return parts.settings.git_poll if trigger.poll_seconds is None else trigger.poll_seconds


def _registered(parts: Parts, hook: Hook) -> RegistrationView:
    problem = _webhooks(parts).connect(hook)
    return RegistrationView(registered=not problem, problem=problem)


def _webhooks(parts: Parts) -> Webhooks:
    return Webhooks(parts.life.rules.policy, parts.settings.public_url)
