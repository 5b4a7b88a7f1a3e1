"""What receivers are told: which event an end is, and its words."""

from __future__ import annotations

from fnmatch import fnmatchcase

from runners.model.status import RunStatus
from tasks_service.model.notification import (
    APPROVAL,
    FAILED,
    FINISHED,
    RECOVERED,
    TEST,
    Notification,
)
from tasks_service.model.run import Run

_BAD = (RunStatus.FAILED, RunStatus.ERROR, RunStatus.TIMEOUT)


def event_of(
    notification: Notification, run: Run, before: RunStatus | None, *, held: bool = False
) -> str:
    """Return the event to tell, the most telling one it asked for, or an empty text.

    Args:
        notification: Whom it is for.
        run: What happened.
        before: How the task's run before this one ended.
        held: It is to be told that the run waits for approval, if it still does.
    """
    if notification.tasks and not any(fnmatchcase(run.task, g) for g in notification.tasks):
        return ""
    if held:
        waits = run.held and not run.status.finished
        return APPROVAL if waits and APPROVAL in notification.events else ""
    found = [FINISHED]
    if run.status in _BAD:
        found.insert(0, FAILED)
    elif run.status == RunStatus.SUCCEEDED and before in _BAD:
        found.insert(0, RECOVERED)
    return next((event for event in found if event in notification.events), "")


def headline(event: str, run: Run) -> str:
    """Return one sentence."""
    if event == TEST:
        return f"a test: whoever reads this is told of runs ({run.id})"
    what = f"task {run.task}" if run.task else "quick run"
    if event == APPROVAL:
        return f"{what} waits for approval: tasks runs approve {run.id}"
    words = {FAILED: "failed", RECOVERED: "works again"}.get(event, f"ended: {run.status}")
    return f"{what} {words} (run {run.id})"


def link(run: Run, public_url: str) -> str:
    """Return the run's address; empty where the service does not know its own."""
    return f"{public_url.rstrip('/')}/api/v1/runs/{run.id}" if public_url else ""
