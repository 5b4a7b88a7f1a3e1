"""Azure DevOps: service hooks and commit statuses."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from tasks_service.triggers.provider import (
    CommitStatus,
    Headers,
    Message,
    basic_password,
    same,
)
from tasks_service.triggers.pulls import azure_pull
from tasks_service.triggers.push import (
    BRANCH,
    InvalidPayload,
    Push,
    items,
    make_push,
    optional,
    text,
)

API = ""
_MOST_REFS = 100
_STATES = {"success": "succeeded", "failure": "failed", "running": "pending"}


def genuine(headers: Headers, body: bytes, secret: str) -> bool:
    """See Provider. A service hook signs nothing; it sends a Basic login."""
    del body
    return same(basic_password(headers.get("authorization", "")), secret)


def pushes(headers: Headers, payload: Any) -> tuple[Push, ...]:
    """See Provider. No delivery tells files."""
    del headers
    if optional(payload, "eventType") in ("git.pullrequest.created", "git.pullrequest.updated"):
        return azure_pull(payload)
    if optional(payload, "eventType") != "git.push":
        return ()
    updates = items(payload, "resource", "refUpdates")
    if len(updates) > _MOST_REFS:
        raise InvalidPayload(f"the payload tells of more than {_MOST_REFS} refs")
    words = {
        optional(commit, "commitId"): optional(commit, "comment")
        for commit in items(payload, "resource", "commits")
    }
    default = optional(payload, "resource", "repository", "defaultBranch")
    found = (
        make_push(
            repository=text(payload, "resource", "repository", "name"),
            ref=text(update, "name"),
            before=optional(update, "oldObjectId"),
            commit=text(update, "newObjectId"),
            default_branch=default.removeprefix(BRANCH),
            message=words.get(optional(update, "newObjectId"), ""),
        )
        for update in updates
    )
    return tuple(push for push in found if push is not None)


def message(api: str, token: str, status: CommitStatus) -> Message:
    """See Provider."""
    login = base64.b64encode(f":{token}".encode()).decode()
    repository = quote(status.repository, safe="")
    return Message(
        f"{api}/_apis/git/repositories/{repository}/commits/{status.commit}/statuses"
        "?api-version=7.1",
        {
            "state": _STATES.get(status.state, status.state),
            "targetUrl": status.url,
            "description": status.text,
            "context": {"genre": "tasks", "name": status.context.removeprefix("tasks/")},
        },
        {"Authorization": f"Basic {login}"},
    )
