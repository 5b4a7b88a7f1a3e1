"""Bitbucket Cloud: webhooks and build statuses."""

from __future__ import annotations

import hashlib
from typing import Any

from tasks_service.triggers.provider import (
    CommitStatus,
    Conversation,
    Headers,
    Message,
    Webhook,
    signed,
)
from tasks_service.triggers.push import InvalidPayload, Push, items, make_push, optional, text
from tasks_service.triggers.registration import Hooks

API = "https://api.bitbucket.org/2.0"
_MOST_CHANGES = 100
_STATES = {"pending": "INPROGRESS", "running": "INPROGRESS", "success": "SUCCESSFUL"}


def genuine(headers: Headers, body: bytes, secret: str) -> bool:
    """See Provider."""
    given = headers.get("x-hub-signature", "")
    return given.startswith("sha256=") and signed(given[7:], body, secret)


def pushes(headers: Headers, payload: Any) -> tuple[Push, ...]:
    """See Provider. One delivery may tell of several refs; none tells files."""
    if headers.get("x-event-key") != "repo:push":
        return ()
    changes = items(payload, "push", "changes")
    if len(changes) > _MOST_CHANGES:
        raise InvalidPayload(f"the payload tells of more than {_MOST_CHANGES} refs")
    found = []
    for change in changes:
        if not isinstance(change, dict) or change.get("new") is None:
            continue
        kind = "tags" if optional(change, "new", "type") == "tag" else "heads"
        push = make_push(
            repository=text(payload, "repository", "full_name"),
            ref=f"refs/{kind}/{text(change, 'new', 'name')}",
            before=optional(change, "old", "target", "hash"),
            commit=text(change, "new", "target", "hash"),
            message=optional(change, "new", "target", "message"),
        )
        if push is not None:
            found.append(push)
    return tuple(found)


def message(api: str, token: str, status: CommitStatus) -> Message:
    """See Provider."""
    return Message(
        f"{api}/repositories/{status.repository}/commit/{status.commit}/statuses/build",
        {
            "state": _STATES.get(status.state, "FAILED"),
            # At most 40 characters are taken.
            "key": hashlib.sha256(status.context.encode()).hexdigest()[:40],
            "name": status.context,
            "url": status.url,
            "description": status.text,
        },
        {"Authorization": f"Bearer {token}"},
    )


def connect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    body = {
        "description": "tasks",
        "url": webhook.url,
        "active": True,
        "secret": webhook.secret,
        "events": ["repo:push"],
    }
    return _hooks(api, token, webhook).keep(webhook.url, body)


def disconnect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    return _hooks(api, token, webhook).drop(webhook.url)


def _hooks(api: str, token: str, webhook: Webhook) -> Hooks:
    return Hooks(
        f"{api}/repositories/{webhook.repository}/hooks",
        {"Authorization": f"Bearer {token}"},
        "?pagelen=100",
        inside=("values",),
        name="uuid",
        change="PUT",
    )
