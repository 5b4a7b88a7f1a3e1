"""Gitea and Forgejo: webhooks and commit statuses."""

from __future__ import annotations

from typing import Any

from tasks_service.triggers import github
from tasks_service.triggers.provider import (
    CommitStatus,
    Conversation,
    Headers,
    Message,
    Webhook,
    signed,
)
from tasks_service.triggers.pulls import github_pull
from tasks_service.triggers.push import Push
from tasks_service.triggers.registration import Hooks

API = ""
_MOST_COMMITS = 5


def genuine(headers: Headers, body: bytes, secret: str) -> bool:
    """See Provider."""
    given = headers.get("x-forgejo-signature") or headers.get("x-gitea-signature", "")
    return signed(given, body, secret)


def pushes(headers: Headers, payload: Any) -> tuple[Push, ...]:
    """See Provider."""
    event = headers.get("x-forgejo-event") or headers.get("x-gitea-event")
    if event in ("pull_request", "pull_request_sync"):
        return github_pull(payload)
    return github.push_of(payload, whole=_MOST_COMMITS) if event == "push" else ()


def message(api: str, token: str, status: CommitStatus) -> Message:
    """See Provider."""
    told = github.message(api, token, status)
    return Message(told.url, told.body, {"Authorization": f"token {token}"})


def connect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider. Forgejo takes webhooks of Gitea's kind, too."""
    events = ["push", *(["pull_request", "pull_request_sync"] if webhook.pulls else [])]
    config = {"url": webhook.url, "content_type": "json", "secret": webhook.secret}
    body = {"type": "gitea", "active": True, "events": events, "config": config}
    return _hooks(api, token, webhook).keep(webhook.url, body)


def disconnect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    return _hooks(api, token, webhook).drop(webhook.url)


def _hooks(api: str, token: str, webhook: Webhook) -> Hooks:
    return Hooks(
        f"{api}/repos/{webhook.repository}/hooks",
        {"Authorization": f"token {token}"},
        "?limit=50",
        address=("config", "url"),
    )
