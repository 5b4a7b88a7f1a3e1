"""What receivers are told: which event an end is, and the body for each kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from runners.model.status import RunStatus
from tasks_service.model.notification import FAILED, FINISHED, RECOVERED, Notification
from tasks_service.model.run import Run

_BAD = (RunStatus.FAILED, RunStatus.ERROR, RunStatus.TIMEOUT)


def event_of(notification: Notification, run: Run, before: RunStatus | None) -> str:
    """Return the event to tell, the most telling one it asked for, or an empty text.

    ``before`` is how the task's run before this one ended.
    """
    if notification.tasks and not any(fnmatchcase(run.task, g) for g in notification.tasks):
        return ""
    found = [FINISHED]
    if run.status in _BAD:
        found.insert(0, FAILED)
    elif run.status == RunStatus.SUCCEEDED and before in _BAD:
        found.insert(0, RECOVERED)
    return next((event for event in found if event in notification.events), "")


def body_of(kind: str, event: str, run: Run, *, delivery: str, public_url: str) -> str:
    """Return the body: a CloudEvent (1.0, JSON), or Slack's ``text``."""
    if kind == "slack":
        return json.dumps({"text": _sentence(event, run)})
    data = {
        "event": event,
        "run": run.id,
        "task": run.task,
        "status": str(run.status),
        "cause": run.cause.kind,
        "commit": run.commit,
        "branch": run.branch,
        "error": {"code": run.error_code, "message": run.error, "hint": run.hint},
        "images": list(run.images),
        "url": f"{public_url.rstrip('/')}/api/v1/runs/{run.id}" if public_url else "",
    }
    finished = datetime.fromtimestamp(run.finished or run.updated, UTC)
    return json.dumps(
        {
            "specversion": "1.0",
            "id": delivery,
            "source": public_url or "urn:tasks-service",
            "type": f"tasks-service.run.{event}",
            "subject": f"runs/{run.id}",
            "time": finished.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": data,
        },
        separators=(",", ":"),
    )


def _sentence(event: str, run: Run) -> str:
    what = f"task {run.task}" if run.task else "quick run"
    words = {FAILED: "failed", RECOVERED: "works again"}.get(event, f"ended: {run.status}")
    more = f" - {run.error_code}: {run.error}" if run.error_code else ""
    text = f"{what} {words} (run {run.id}){more}"[:2000]
    # The three letters that mean something to Slack.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
