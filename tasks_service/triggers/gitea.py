"""Gitea and Forgejo: webhooks and commit statuses."""

from __future__ import annotations

from typing import Any

from tasks_service.triggers import github
from tasks_service.triggers.provider import CommitStatus, Headers, Message, signed
from tasks_service.triggers.pulls import github_pull
from tasks_service.triggers.push import Push

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
