"""Deliveries as each kind of Git server sends them: real in shape, invented in content."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

NO_COMMIT = "0" * 40
BUILDERS = ("github", "gitlab", "gitea", "forgejo", "bitbucket", "azure")


@dataclass(frozen=True)
class Delivery:
    """What comes over the wire."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Pushed:
    """One ref that moved; what a payload tells is made of it."""

    repository: str = "octo/app"
    ref: str = "refs/heads/main"
    before: str = "1" * 40
    after: str = "2" * 40
    files: Sequence[str] = ("README.md",)
    message: str = "Say it anew"
    more: Mapping[str, Any] = field(default_factory=dict)
    """Keys that are put over the payload's own."""


def push(provider: str, pushed: Pushed, secret: str, *, number: str = "1") -> Delivery:
    """Return the delivery of a push, genuine."""
    body = json.dumps({**_PAYLOADS[provider](pushed), **pushed.more}).encode()
    event = "push"
    if provider == "gitlab":
        event = "Tag Push Hook" if pushed.ref.startswith("refs/tags/") else "Push Hook"
    return signed(provider, body, secret, event=event, number=number)


def signed(
    provider: str, body: bytes, secret: str, *, event: str = "push", number: str = "1"
) -> Delivery:
    """Return any body as who knows the secret sends it."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json"}
    if provider == "github":
        headers |= {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": number,
            "X-Hub-Signature-256": f"sha256={digest}",
        }
    elif provider == "gitlab":
        headers |= {
            "X-Gitlab-Event": event,
            "X-Gitlab-Event-UUID": number,
            "X-Gitlab-Token": secret,
        }
    elif provider in ("gitea", "forgejo"):
        name = provider.capitalize()
        headers |= {
            f"X-{name}-Event": event,
            f"X-{name}-Delivery": number,
            f"X-{name}-Signature": digest,
        }
    elif provider == "bitbucket":
        headers |= {
            "X-Event-Key": "repo:push" if event == "push" else event,
            "X-Request-UUID": number,
            "X-Hub-Signature": f"sha256={digest}",
        }
    else:
        login = base64.b64encode(f"tasks:{secret}".encode()).decode()
        headers |= {"Authorization": f"Basic {login}"}
    return Delivery(headers, body)


@dataclass(frozen=True)
class Opened:
    """A pull request at a commit."""

    head: str = "2" * 40
    before: str = ""
    number: int = 7
    base: str = "main"
    fork: bool = True
    draft: bool = False
    action: str = ""
    """In the provider's words; empty is the one for new code."""


PULLERS = ("github", "gitlab", "gitea", "forgejo", "azure")


def pull(provider: str, opened: Opened, secret: str, *, number: str = "1") -> Delivery:
    """Return the delivery of a pull request, genuine."""
    if provider == "gitlab":
        return signed(
            provider,
            json.dumps(_gitlab_pull(opened)).encode(),
            secret,
            event="Merge Request Hook",
            number=number,
        )
    if provider == "azure":
        return signed(provider, json.dumps(_azure_pull(opened)).encode(), secret)
    event = "pull_request"
    if provider != "github" and opened.before:
        event = "pull_request_sync"
    body = _github_pull(opened, "synchronize" if provider == "github" else "synchronized")
    return signed(provider, json.dumps(body).encode(), secret, event=event, number=number)


def _github_pull(opened: Opened, synchronized: str) -> dict[str, Any]:
    repository = _github(Pushed())["repository"]
    head_repository = dict(repository)
    if opened.fork:
        head_repository |= {"id": 99, "full_name": "mallory/app", "fork": True}
    found = {
        "action": opened.action or (synchronized if opened.before else "opened"),
        "number": opened.number,
        "pull_request": {
            "id": 5,
            "number": opened.number,
            "state": "open",
            "title": "Better words",
            "user": {"login": "mallory", "id": 66},
            "draft": opened.draft,
            "head": {
                "label": "mallory:main",
                "ref": "main",
                "sha": opened.head,
                "repo": head_repository,
            },
            "base": {"label": "octo:main", "ref": opened.base, "sha": "1" * 40, "repo": repository},
            "author_association": "OWNER",
        },
        "repository": repository,
        "sender": {"login": "mallory", "id": 66, "type": "User"},
    }
    return found | ({"before": opened.before, "after": opened.head} if opened.before else {})


def _gitlab_pull(opened: Opened) -> dict[str, Any]:
    about = {
        "id": 5,
        "iid": opened.number,
        "target_branch": opened.base,
        "source_branch": "main",
        "source_project_id": 99 if opened.fork else 1,
        "target_project_id": 1,
        "title": "Better words",
        "state": "opened",
        "draft": opened.draft,
        "work_in_progress": opened.draft,
        "last_commit": {"id": opened.head, "message": "words"},
        "action": opened.action or ("update" if opened.before else "open"),
    }
    return {
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "user": {"id": 66, "name": "Mallory", "username": "mallory"},
        "project": _gitlab(Pushed())["project"],
        "object_attributes": about | ({"oldrev": opened.before} if opened.before else {}),
        "changes": {},
    }


def _azure_pull(opened: Opened) -> dict[str, Any]:
    found = _azure(Pushed())
    resource = {
        "repository": found["resource"]["repository"],
        "pullRequestId": opened.number,
        "status": opened.action or "active",
        "createdBy": {"displayName": "Mallory", "uniqueName": "mallory@example.com"},
        "title": "Better words",
        "sourceRefName": "refs/heads/main",
        "targetRefName": f"refs/heads/{opened.base}",
        "isDraft": opened.draft,
        "lastMergeSourceCommit": {"commitId": opened.head},
        "lastMergeTargetCommit": {"commitId": "1" * 40},
        **({"forkSource": {"name": "refs/heads/main"}} if opened.fork else {}),
    }
    kind = "git.pullrequest.updated" if opened.before else "git.pullrequest.created"
    return found | {"eventType": kind, "resource": resource}


def many(provider: str, pushed: Sequence[Pushed], secret: str) -> Delivery:
    """Return one delivery of several refs; Bitbucket and Azure DevOps send such."""
    first = _PAYLOADS[provider](pushed[0])
    for one in pushed[1:]:
        other = _PAYLOADS[provider](one)
        if provider == "bitbucket":
            first["push"]["changes"] += other["push"]["changes"]
        else:
            first["resource"]["refUpdates"] += other["resource"]["refUpdates"]
            first["resource"]["commits"] += other["resource"]["commits"]
    return signed(provider, json.dumps(first).encode(), secret)


def deleted(pushed: Pushed) -> Pushed:
    """Return the push that removes the ref."""
    return replace(pushed, before=pushed.after, after=NO_COMMIT, files=())


def _github(pushed: Pushed) -> dict[str, Any]:
    owner, _, name = pushed.repository.partition("/")
    gone, new = pushed.after == NO_COMMIT, pushed.before == NO_COMMIT
    commit = {
        "id": pushed.after,
        "tree_id": "3" * 40,
        "distinct": True,
        "message": pushed.message,
        "timestamp": "2026-01-31T12:00:00+01:00",
        "url": f"https://github.com/{pushed.repository}/commit/{pushed.after}",
        "author": {"name": "Ann", "email": "ann@example.com", "username": "ann"},
        "committer": {"name": "Ann", "email": "ann@example.com", "username": "ann"},
        "added": [],
        "removed": [],
        "modified": list(pushed.files),
    }
    return {
        "ref": pushed.ref,
        "before": pushed.before,
        "after": pushed.after,
        "repository": {
            "id": 1,
            "node_id": "R_1",
            "name": name,
            "full_name": pushed.repository,
            "private": False,
            "owner": {"name": owner, "login": owner, "id": 2, "type": "Organization"},
            "html_url": f"https://github.com/{pushed.repository}",
            "fork": False,
            "clone_url": f"https://github.com/{pushed.repository}.git",
            "default_branch": "main",
            "pushed_at": 1769857200,
        },
        "pusher": {"name": "ann", "email": "ann@example.com"},
        "sender": {"login": "ann", "id": 3, "type": "User", "site_admin": False},
        "created": new,
        "deleted": gone,
        "forced": False,
        "base_ref": None,
        "compare": f"https://github.com/{pushed.repository}/compare/1...2",
        "commits": [] if gone else [commit],
        "head_commit": None if gone else commit,
    }


def _gitlab(pushed: Pushed) -> dict[str, Any]:
    gone = pushed.after == NO_COMMIT
    commit = {
        "id": pushed.after,
        "message": pushed.message,
        "title": pushed.message,
        "timestamp": "2026-01-31T12:00:00+01:00",
        "url": f"https://gitlab.com/{pushed.repository}/-/commit/{pushed.after}",
        "author": {"name": "Ann", "email": "ann@example.com"},
        "added": [],
        "modified": list(pushed.files),
        "removed": [],
    }
    return {
        "object_kind": "tag_push" if pushed.ref.startswith("refs/tags/") else "push",
        "event_name": "push",
        "before": pushed.before,
        "after": pushed.after,
        "ref": pushed.ref,
        "ref_protected": True,
        "checkout_sha": None if gone else pushed.after,
        "message": None,
        "user_id": 3,
        "user_name": "Ann",
        "user_username": "ann",
        "user_email": None,
        "project_id": 1,
        "project": {
            "id": 1,
            "name": pushed.repository.rpartition("/")[2],
            "web_url": f"https://gitlab.com/{pushed.repository}",
            "git_http_url": f"https://gitlab.com/{pushed.repository}.git",
            "path_with_namespace": pushed.repository,
            "default_branch": "main",
            "visibility_level": 0,
        },
        "commits": [] if gone else [commit],
        "total_commits_count": 0 if gone else 1,
        "push_options": {},
    }


def _gitea(pushed: Pushed) -> dict[str, Any]:
    found = _github(pushed)
    del found["forced"], found["deleted"], found["created"], found["base_ref"]
    return found | {"compare_url": found.pop("compare"), "total_commits": len(found["commits"])}


def _bitbucket(pushed: Pushed) -> dict[str, Any]:
    kind = "tag" if pushed.ref.startswith("refs/tags/") else "branch"
    name = pushed.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")

    def side(commit: str) -> dict[str, Any] | None:
        if commit == NO_COMMIT:
            return None
        target = {
            "type": "commit",
            "hash": commit,
            "message": pushed.message,
            "date": "2026-01-31T11:00:00+00:00",
            "author": {"type": "author", "raw": "Ann <ann@example.com>"},
        }
        return {"type": kind, "name": name, "target": target}

    new, old = side(pushed.after), side(pushed.before)
    change = {
        "new": new,
        "old": old,
        "created": old is None,
        "closed": new is None,
        "forced": False,
        "truncated": False,
        "commits": [] if new is None else [new["target"]],
    }
    return {
        "push": {"changes": [change]},
        "repository": {
            "type": "repository",
            "full_name": pushed.repository,
            "name": pushed.repository.rpartition("/")[2],
            "uuid": "{11111111-1111-4111-8111-111111111111}",
            "is_private": True,
        },
        "actor": {"type": "user", "display_name": "Ann", "uuid": "{2}"},
    }


def _azure(pushed: Pushed) -> dict[str, Any]:
    update = {"name": pushed.ref, "oldObjectId": pushed.before, "newObjectId": pushed.after}
    return {
        "subscriptionId": "11111111-1111-4111-8111-111111111111",
        "notificationId": 1,
        "id": "22222222-2222-4222-8222-222222222222",
        "eventType": "git.push",
        "publisherId": "tfs",
        "resource": {
            "commits": [
                {
                    "commitId": pushed.after,
                    "author": {"name": "Ann", "email": "ann@example.com"},
                    "comment": pushed.message,
                    "url": "https://dev.azure.com/octo/_apis/git/commits/2",
                }
            ],
            "refUpdates": [update],
            "repository": {
                "id": "33333333-3333-4333-8333-333333333333",
                "name": pushed.repository.rpartition("/")[2],
                "project": {"id": "4", "name": "octo", "state": "wellFormed"},
                "defaultBranch": "refs/heads/main",
                "remoteUrl": "https://dev.azure.com/octo/_git/app",
            },
            "pushedBy": {"displayName": "Ann", "uniqueName": "ann@example.com"},
            "pushId": 14,
            "date": "2026-01-31T11:00:00Z",
        },
        "resourceVersion": "1.0",
        "createdDate": "2026-01-31T11:00:01Z",
    }


_PAYLOADS = {
    "github": _github,
    "gitlab": _gitlab,
    "gitea": _gitea,
    "forgejo": _gitea,
    "bitbucket": _bitbucket,
    "azure": _azure,
}
