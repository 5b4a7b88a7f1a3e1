"""GitHub and GitHub Enterprise: webhooks and commit statuses."""

from __future__ import annotations

from typing import Any

from tasks_service.triggers.provider import (
    CommitStatus,
    Conversation,
    Headers,
    Message,
    Webhook,
    signed,
)
from tasks_service.triggers.pulls import github_pull
from tasks_service.triggers.push import Push, changed_paths, items, make_push, optional, text
from tasks_service.triggers.registration import Hooks

API = "https://api.github.com"
_MOST_COMMITS = 20
_STATES = {"running": "pending"}


def genuine(headers: Headers, body: bytes, secret: str) -> bool:
    """See Provider."""
    given = headers.get("x-hub-signature-256", "")
    return given.startswith("sha256=") and signed(given[7:], body, secret)


def pushes(headers: Headers, payload: Any) -> tuple[Push, ...]:
    """See Provider."""
    event = headers.get("x-github-event")
    if event == "pull_request":
        return github_pull(payload)
    if event != "push":
        return ()
    return push_of(payload, whole=_MOST_COMMITS)


def push_of(payload: Any, *, whole: int) -> tuple[Push, ...]:
    """Return the push of a payload of this form, which Gitea and Forgejo share.

    Args:
        payload: What was sent.
        whole: A payload with fewer commits than this has them all.
    """
    commits = items(payload, "commits")
    # A new or forced ref's list is not all that differs from what was built before.
    plain = bool(optional(payload, "before").strip("0")) and payload.get("forced") is not True
    push = make_push(
        repository=text(payload, "repository", "full_name"),
        ref=text(payload, "ref"),
        before=text(payload, "before"),
        commit=text(payload, "after"),
        default_branch=optional(payload, "repository", "default_branch"),
        message=optional(payload, "head_commit", "message"),
        paths=changed_paths(commits, whole=plain and len(commits) < whole),
    )
    return () if push is None else (push,)


def message(api: str, token: str, status: CommitStatus) -> Message:
    """See Provider."""
    return Message(
        f"{api}/repos/{status.repository}/statuses/{status.commit}",
        {
            "state": _STATES.get(status.state, status.state),
            "target_url": status.url,
            "description": status.text[:140],
            "context": status.context,
        },
        {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
    )


def connect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    events = ["push", *(["pull_request"] if webhook.pulls else [])]
    config = {
        "url": webhook.url,
        "content_type": "json",
        "secret": webhook.secret,
        "insecure_ssl": "0",
    }
    body = {"name": "web", "active": True, "events": events, "config": config}
    return _hooks(api, token, webhook).keep(webhook.url, body)


def disconnect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    return _hooks(api, token, webhook).drop(webhook.url)


def _hooks(api: str, token: str, webhook: Webhook) -> Hooks:
    return Hooks(
        f"{api}/repos/{webhook.repository}/hooks",
        {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
        "?per_page=100",
        address=("config", "url"),
    )
