"""Timers of stored tasks: one by one, in words, and when they fire next (C-140 to C-143)."""

from __future__ import annotations

import dataclasses
import itertools
import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from tasks_service.api.caller import Author, Caller, Reader
from tasks_service.api.conversion import timer_of
from tasks_service.api.models.base import rfc3339, rfc3339_or_none
from tasks_service.api.models.inputs import TimerFields
from tasks_service.api.models.views import (
    FireTimesView,
    FireTimeView,
    TimerPageView,
    TimerView,
)
from tasks_service.api.parts import Parts, Wired
from tasks_service.errors import NotFound, VersionMismatch
from tasks_service.model.task import Task
from tasks_service.model.timer import Timer
from tasks_service.runs.fields import FieldError, raise_if_any
from tasks_service.runs.timer_checks import one_timer_errors, timer_errors, timer_name_problem
from tasks_service.store.timers import TimerState
from tasks_service.triggers.timer import CompiledTimer

router = APIRouter(prefix="/api/v1", tags=["timers"])
Count = Annotated[int, Query(ge=1, le=100, description="How many fire times.")]
IfNoneMatch = Annotated[str, Header(max_length=200, description="`*` creates, never replaces.")]


def _find(parts: Parts, name: str, caller: Caller) -> Task:
    caller.require_task(name)
    return parts.store.tasks.find(name[:200])


def _timer(task: Task, name: str) -> Timer:
    timers = task.definition.timers
    for timer in timers:
        if timer.name == name:
            return timer
    if not timers:
        raise NotFound(
            f"No triggers exist for the task '{task.name}'.", hint="`tasks timer add` makes one"
        )
    raise NotFound(
        f"The timer '{name[:60]}' does not exist for the task '{task.name}'.",
        hint=f"it has: {', '.join(timer.name for timer in timers)}",
    )


def _view(task: Task, timer: Timer, states: dict[str, TimerState]) -> TimerView:
    state = states.get(timer.name)
    schedule = CompiledTimer(timer, task.name)
    following = state.at if state is not None else None
    if state is not None and state.due is None:
        plan = schedule.plan(datetime.now(UTC))
        following = plan.at.timestamp() if plan is not None else None
    return TimerView(
        name=timer.name,
        schedule=timer.schedule,
        enabled=timer.enabled,
        jitter=timer.jitter_s,
        misfire=timer.misfire,
        windows=list(timer.windows),
        zone=schedule.schedule.zone,
        words=schedule.schedule.words(),
        next=rfc3339_or_none(following),
        last_due=rfc3339_or_none(state.last_due if state else None),
        last_run=state.last_run if state else "",
        problem=state.problem if state else "",
    )


@router.get("/tasks/{name}/timers")
def list_timers(name: str, caller: Reader, parts: Wired) -> TimerPageView:
    """List the timers of a task (C-143)."""
    task = _find(parts, name, caller)
    states = parts.store.timers.states(task.name)
    return TimerPageView(items=[_view(task, timer, states) for timer in task.definition.timers])


@router.get("/tasks/{name}/timers/{timer}")
def show_timer(name: str, timer: str, caller: Reader, parts: Wired) -> TimerView:
    """Return one timer."""
    task = _find(parts, name, caller)
    return _view(task, _timer(task, timer), parts.store.timers.states(task.name))


@router.get("/tasks/{name}/timers/{timer}/next")
def next_times(
    name: str, timer: str, caller: Reader, parts: Wired, count: Count = 10
) -> FireTimesView:
    """Return when a timer fires next, if nothing changes and nothing is missed."""
    task = _find(parts, name, caller)
    found = CompiledTimer(_timer(task, timer), task.name)
    plans = itertools.islice(found.upcoming(datetime.fromtimestamp(time.time(), UTC)), count)
    return FireTimesView(
        schedule=found.timer.schedule,
        zone=found.schedule.zone,
        words=found.schedule.words(),
        items=[
            FireTimeView(due=rfc3339(p.due.timestamp()), at=rfc3339(p.at.timestamp()))
            for p in plans
        ],
    )


@router.put("/tasks/{name}/timers/{timer}", responses={201: {"description": "It is new."}})
def put_timer(
    name: str,
    timer: str,
    body: TimerFields,
    caller: Author,
    parts: Wired,
    response: Response,
    if_none_match: IfNoneMatch = "",
) -> TimerView:
    """Create a timer or replace it whole (C-140, C-141)."""
    task = _find(parts, name, caller)
    made = timer_of(timer, body)
    before = [known.name for known in task.definition.timers]
    if timer in before and if_none_match.strip() == "*":
        raise VersionMismatch(
            f"task '{task.name}' has a timer '{timer}' already",
            hint="`tasks timer update` changes it",
        )
    errors = list(one_timer_errors(made))
    if problem := timer_name_problem(timer):
        errors.append(FieldError("", problem))
    raise_if_any(errors)
    timers = tuple(made if known.name == timer else known for known in task.definition.timers)
    if timer not in before:
        timers = (*timers, made)
        response.status_code = 201
    raise_if_any(timer_errors(timers))
    task = _store(parts, task, timers)
    caller.audit(parts.store, "timer.put", f"tasks/{task.name}", timer=timer)
    return _view(task, made, parts.store.timers.states(task.name))


@router.delete("/tasks/{name}/timers/{timer}", status_code=204)
def delete_timer(name: str, timer: str, caller: Author, parts: Wired) -> None:
    """Remove a timer (C-142)."""
    task = _find(parts, name, caller)
    gone = _timer(task, timer)
    _store(parts, task, tuple(known for known in task.definition.timers if known is not gone))
    caller.audit(parts.store, "timer.delete", f"tasks/{task.name}", timer=timer)


def _store(parts: Parts, task: Task, timers: tuple[Timer, ...]) -> Task:
    definition = dataclasses.replace(task.definition, timers=timers)
    secrets = parts.store.tasks.secrets(task.name)
    return parts.store.tasks.replace(definition, secrets, version=task.version)
