"""GitLab: webhooks and commit statuses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tasks_service.triggers.provider import (
    CommitStatus,
    Conversation,
    Headers,
    Message,
    Webhook,
    same,
)
from tasks_service.triggers.pulls import gitlab_pull
from tasks_service.triggers.push import (
    Push,
    changed_paths,
    items,
    make_push,
    optional,
    text,
)
from tasks_service.triggers.registration import Hooks

API = "https://gitlab.com/api/v4"
_STATES = {"failure": "failed", "error": "failed"}


def genuine(headers: Headers, body: bytes, secret: str) -> bool:
    """See Provider. GitLab sends the secret itself: it signs nothing."""
    del body
    return same(headers.get("x-gitlab-token", ""), secret)


def pushes(headers: Headers, payload: Any) -> tuple[Push, ...]:
    """See Provider."""
    if headers.get("x-gitlab-event") == "Merge Request Hook":
        return gitlab_pull(payload)
    if headers.get("x-gitlab-event") not in ("Push Hook", "Tag Push Hook"):
        return ()
    commits = items(payload, "commits")
    commit = optional(payload, "checkout_sha") or text(payload, "after")
    count = payload.get("total_commits_count")
    plain = bool(optional(payload, "before").strip("0")) and count == len(commits)
    words = [optional(one, "message") for one in commits if optional(one, "id") == commit]
    push = make_push(
        repository=text(payload, "project", "path_with_namespace"),
        ref=text(payload, "ref"),
        before=text(payload, "before"),
        # An annotated tag's "after" is the tag, not its commit.
        commit=commit if text(payload, "after").strip("0") else text(payload, "after"),
        default_branch=optional(payload, "project", "default_branch"),
        message=words[0] if words else "",
        paths=changed_paths(commits, whole=plain),
    )
    return () if push is None else (push,)


def message(api: str, token: str, status: CommitStatus) -> Message:
    """See Provider."""
    return Message(
        f"{api}/projects/{quote(status.repository, safe='')}/statuses/{status.commit}",
        {
            "state": _STATES.get(status.state, status.state),
            "target_url": status.url,
            "description": status.text[:255],
            "name": status.context,
        },
        {"PRIVATE-TOKEN": token},
    )


def connect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    body = {
        "url": webhook.url,
        "token": webhook.secret,
        "push_events": True,
        "tag_push_events": True,
        "merge_requests_events": webhook.pulls,
        "enable_ssl_verification": True,
    }
    return _hooks(api, token, webhook).keep(webhook.url, body)


def disconnect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    return _hooks(api, token, webhook).drop(webhook.url)


def _hooks(api: str, token: str, webhook: Webhook) -> Hooks:
    return Hooks(
        f"{api}/projects/{quote(webhook.repository, safe='')}/hooks",
        {"PRIVATE-TOKEN": token},
        "?per_page=100",
        change="PUT",
    )
