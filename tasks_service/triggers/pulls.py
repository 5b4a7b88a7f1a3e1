"""Pull requests as all providers mean them: made of payloads, and what a trigger wants of them.

Who sent it is decided by what the provider itself says of repositories, never by
names that an author chose: a head whose repository is missing or unknown is a fork's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks_service.triggers.push import (
    BRANCH,
    InvalidPayload,
    Pull,
    Push,
    checked_push,
    optional,
    text,
)

MAX_NUMBER = 10**12
_NEWS = ("opened", "reopened", "synchronize", "synchronized", "ready_for_review")
"""Labels and the like are no reason to build."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a payload says of a pull request, in its provider's words.

    Attributes:
        head_repository, base_repository: Ids of the provider; empty is unknown.
    """

    repository: str
    number: Any
    prefix: str
    commit: str
    before: str
    base_ref: str
    title: str
    head_repository: str
    base_repository: str
    draft: bool = False


def make_pull(told: Told) -> Push:
    """Return a checked pull request.

    Raises:
        InvalidPayload: Its number, a commit or a ref can't be.
    """
    number = told.number
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < MAX_NUMBER:
        raise InvalidPayload("the payload's pull request has no number")
    known = told.head_repository and told.head_repository == told.base_repository
    pull = Pull(
        number=number,
        base_ref=told.base_ref if told.base_ref.startswith("refs/") else BRANCH + told.base_ref,
        fork=not known,
        draft=told.draft,
    )
    ref = f"{told.prefix}{number}/head"
    push = Push(told.repository, ref, told.before, told.commit, message=told.title, pull=pull)
    # The branch it is for is text from outside too.
    checked_push(Push("", pull.base_ref, "", told.commit))
    return checked_push(push)


def github_pull(payload: Any) -> tuple[Push, ...]:
    """Return the pull request of a payload of GitHub, Gitea or Forgejo, if its code is new."""
    action = optional(payload, "action")
    if action not in _NEWS:
        return ()
    pull = payload.get("pull_request")
    return (
        make_pull(
            Told(
                repository=text(payload, "repository", "full_name"),
                number=payload.get("number"),
                prefix="refs/pull/",
                commit=text(pull, "head", "sha"),
                before=optional(payload, "before"),
                base_ref=text(pull, "base", "ref"),
                title=optional(pull, "title"),
                head_repository=_id(pull, "head", "repo", "id"),
                base_repository=_id(payload, "repository", "id"),
                draft=pull.get("draft") is True,
            )
        ),
    )


def gitlab_pull(payload: Any) -> tuple[Push, ...]:
    """Return the merge request of a payload, if its code is new."""
    about = payload.get("object_attributes") if isinstance(payload, Mapping) else None
    action = optional(about, "action")
    new_code = action in ("open", "reopen") or (action == "update" and optional(about, "oldrev"))
    ready = optional_draft(payload) is False
    if not (new_code or ready):
        return ()
    return (
        make_pull(
            Told(
                repository=text(payload, "project", "path_with_namespace"),
                number=about.get("iid") if isinstance(about, Mapping) else None,
                prefix="refs/merge-requests/",
                commit=text(about, "last_commit", "id"),
                before=optional(about, "oldrev"),
                base_ref=text(about, "target_branch"),
                title=optional(about, "title"),
                head_repository=_id(about, "source_project_id"),
                base_repository=_id(about, "target_project_id"),
                draft=any(_flag(about, name) for name in ("draft", "work_in_progress")),
            )
        ),
    )


def optional_draft(payload: Any) -> bool | None:
    """Return what the mark of a draft became, or None if it is as it was."""
    changes = payload.get("changes")
    change = changes.get("draft") if isinstance(changes, Mapping) else None
    current = change.get("current") if isinstance(change, Mapping) else None
    return current if isinstance(current, bool) else None


def azure_pull(payload: Any) -> tuple[Push, ...]:
    """Return the pull request of a payload.

    An update may be of anything: the same commit again is no news.
    """
    resource = payload.get("resource") if isinstance(payload, Mapping) else None
    if not isinstance(resource, Mapping):
        raise InvalidPayload("the payload has no resource")
    if optional(resource, "status") in ("abandoned", "completed"):
        return ()
    repository = text(resource, "repository", "name")
    fork = resource.get("forkSource")
    return (
        make_pull(
            Told(
                repository=repository,
                number=resource.get("pullRequestId"),
                prefix="refs/pull/",
                commit=text(resource, "lastMergeSourceCommit", "commitId"),
                before="",
                base_ref=text(resource, "targetRefName"),
                title=optional(resource, "title"),
                # Only a fork's tells where it comes from.
                head_repository="" if fork is not None else "this",
                base_repository="this",
                draft=resource.get("isDraft") is True,
            )
        ),
    )


def _id(payload: Any, *path: str) -> str:
    for name in path:
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    return str(payload) if isinstance(payload, int) and not isinstance(payload, bool) else ""


def _flag(payload: Any, name: str) -> bool:
    return isinstance(payload, Mapping) and payload.get(name) is True
