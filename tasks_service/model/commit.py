"""Commit triggers: which pushes of a Git server start a task."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CommitTrigger:
    """What the author decides. Secrets are apart, in HookSecrets.

    Attributes:
        name: Unique in its task.
        provider: Who sends; a key of ``triggers.providers.PROVIDERS``.
        repository: Name at the provider (``owner/name``); pushes of others are
            ignored. Empty takes any; statuses need it.
        refs: Globs of branches, or of whole refs (``refs/tags/v*``); ``!`` in
            front excludes. Empty is the branch of the task's source, or the
            repository's default branch.
        paths: Globs of changed files, likewise; empty is any file.
        api_url: Where statuses are posted; empty is the provider's public one.
        enabled: A disabled one starts nothing.
        pushes, pull_requests: What counts; ``refs`` of a pull request is the branch it is for.
        poll_seconds: How often the repository is looked at for pushes nobody told; None
            is the service's own pace, 0 never.
    """

    name: str
    provider: str
    repository: str = ""
    refs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    api_url: str = ""
    enabled: bool = True
    pushes: bool = True
    pull_requests: bool = False
    poll_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class HookSecrets:
    """What signs deliveries, and the token that posts statuses (or none)."""

    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Hook:
    """A stored commit trigger; ``id`` is the last part of its webhook's URL."""

    id: str
    task: str
    trigger: CommitTrigger
    secrets: HookSecrets
    created: float
    polled: float | None = None
    """When its repository was looked at last."""
    poll_problem: str = ""
    """Why that failed, if it did."""


WEBHOOK, BY_HAND, POLL = "webhook", "hand", "poll"
"""How a delivery came: sent by a Git server, again by a person, or seen in the repository."""


ELSEWHERE = "it is a push of another repository"
"""The note of a delivery that tells nothing of the trigger's own refs."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One push that arrived, however often it was delivered.

    Attributes:
        meaning: What makes two deliveries one.
        event: All that was told, as JSON, to judge it again.
        via: How it came.
        run_id: The run it started, or empty.
        note: Why it started none, or empty.
        reported: The last state that the provider took.
        problem: Why it did not take the next.
    """

    hook: str
    meaning: str
    received: float
    ref: str
    before: str
    commit: str
    run_id: str = ""
    note: str = ""
    reported: str = ""
    attempts: int = 0
    problem: str = ""
    event: str = ""
    via: str = WEBHOOK

    @property
    def id(self) -> str:
        """What people call it; unique among those of its trigger."""
        return self.meaning[:16]
