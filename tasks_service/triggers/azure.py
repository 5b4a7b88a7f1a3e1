"""Azure DevOps: service hooks and commit statuses."""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

from tasks_service.triggers.provider import (
    Call,
    CommitStatus,
    Conversation,
    Headers,
    Message,
    Webhook,
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
from tasks_service.triggers.registration import is_name

API = ""
_MOST_REFS = 100
_VERSION = "?api-version=7.1"
_PUSH, _PULLS = "git.push", ("git.pullrequest.created", "git.pullrequest.updated")
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
        _login(token),
    )


def connect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider. Each kind of event is a subscription of its own, of the organization."""
    # The new ones first: what fails in between leaves what was there.
    old = yield from _mine(api, token, webhook)
    name = quote(webhook.repository, safe="")
    found = yield Call("GET", f"{api}/_apis/git/repositories/{name}{_VERSION}", _login(token))
    inputs = {
        "projectId": text(found, "project", "id"),
        "repository": text(found, "id"),
    }
    for event in (_PUSH, *(_PULLS if webhook.pulls else ())):
        body = {
            "publisherId": "tfs",
            "eventType": event,
            "resourceVersion": "1.0",
            "consumerId": "webHooks",
            "consumerActionId": "httpRequest",
            "publisherInputs": inputs,
            "consumerInputs": {
                "url": webhook.url,
                "basicAuthUsername": "tasks",
                "basicAuthPassword": webhook.secret,
            },
        }
        yield Call("POST", _subscriptions(api) + _VERSION, _login(token), body)
    yield from _gone(api, token, old)


def disconnect(api: str, token: str, webhook: Webhook) -> Conversation:
    """See Provider."""
    return _drop(api, token, webhook)


def _drop(api: str, token: str, webhook: Webhook) -> Conversation:
    yield from _gone(api, token, (yield from _mine(api, token, webhook)))


def _mine(api: str, token: str, webhook: Webhook) -> Generator[Call, Any, list[str]]:
    wanted = f"{_VERSION}&publisherId=tfs&consumerId=webHooks"
    answer = yield Call("GET", _subscriptions(api) + wanted, _login(token))
    return [
        name
        for one in items(answer, "value")
        if optional(one, "consumerInputs", "url") == webhook.url
        and is_name(name := optional(one, "id"))
    ]


def _gone(api: str, token: str, names: list[str]) -> Conversation:
    for name in names:
        yield Call("DELETE", f"{_subscriptions(api)}/{name}{_VERSION}", _login(token))


def _subscriptions(api: str) -> str:
    # The status API is a project's, subscriptions are its organization's.
    return f"{api.rpartition('/')[0]}/_apis/hooks/subscriptions"


def _login(token: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f':{token}'.encode()).decode()}"}
