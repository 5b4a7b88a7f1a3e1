"""Bodies of commit triggers and deliveries."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from tasks_service.api.models.base import Page, Text, View, Wire, rfc3339
from tasks_service.model.commit import Delivery

_Short = Annotated[Text, Field(max_length=500)]


class HookFields(Wire):
    """A commit trigger to add."""

    name: Annotated[Text, Field(max_length=50)] = "defaultSourceTriggerName"
    provider: _Short = Field("", description="Who sends; empty is told by the source's host.")
    repository: _Short = Field(
        "", description="`owner/name`; pushes of others are ignored. Empty is told by the source."
    )
    refs: list[_Short] = Field([], max_length=50, description="Globs; `!` in front excludes.")
    paths: list[_Short] = Field([], max_length=50, description="Globs of changed files.")
    api_url: _Short = Field("", description="Where statuses are posted.")
    enabled: bool = True
    pushes: bool = Field(True, description="Pushes count.")
    pull_requests: bool = Field(
        False, description="Pull requests count, without secrets and pushes of images."
    )
    poll_seconds: float | None = Field(
        None, description="How often to look for pushes nobody told; null is the service's pace."
    )
    register_webhook: bool = Field(
        False, description="Make the webhook at the Git server, with the token."
    )
    secret: _Short = Field("", description="Signs deliveries; made up where empty.")
    token: Annotated[Text, Field(max_length=5000)] = Field("", description="Posts statuses.")


class HookChanges(Wire):
    """What to change of a commit trigger; what is left out or null stays."""

    repository: _Short | None = None
    refs: Annotated[list[_Short], Field(max_length=50)] | None = None
    paths: Annotated[list[_Short], Field(max_length=50)] | None = None
    api_url: _Short | None = None
    enabled: bool | None = None
    pushes: bool | None = None
    pull_requests: bool | None = None
    poll_seconds: float | None = None
    secret: _Short | None = None
    token: Annotated[Text, Field(max_length=5000)] | None = None


class TryFields(Wire):
    """A push that nobody made: would it start a run?"""

    ref: _Short = Field(description="A branch, or a whole ref (`refs/tags/v1`).")
    paths: Annotated[list[_Short], Field(max_length=1000)] | None = Field(
        None, description="Changed files; left out, they are not known."
    )
    message: _Short = ""


class TryView(View):
    """Whether a push would start a run; if not, ``note`` tells why."""

    starts: bool
    note: str


class DeliveryView(View):
    """A push that arrived; without `runId`, `note` tells why it started no run."""

    id: str
    received: str
    via: str
    ref: str
    before: str
    commit: str
    run_id: str
    note: str
    reported: str
    problem: str

    @classmethod
    def of(cls, one: Delivery) -> Self:
        """Return the view of a delivery."""
        return cls(
            id=one.id,
            received=rfc3339(one.received),
            via=one.via,
            ref=one.ref,
            before=one.before,
            commit=one.commit,
            run_id=one.run_id,
            note=one.note,
            reported=one.reported,
            problem=one.problem,
        )


class HookView(View):
    """A commit trigger; `url` is where the Git server sends its deliveries.

    `pollSeconds` is how often its repository is looked at (0 is never), `polled`
    when that was done last, `pollProblem` why it failed.
    """

    name: str
    provider: str
    repository: str
    refs: list[str]
    paths: list[str]
    api_url: str
    enabled: bool
    pushes: bool
    pull_requests: bool
    poll_seconds: float
    polled: str | None
    poll_problem: str
    url: str
    has_token: bool
    last: DeliveryView | None = None


class RegistrationView(View):
    """Whether the webhook was made at the Git server; if not, `problem` tells why."""

    registered: bool
    problem: str


class NewHookView(HookView):
    """A commit trigger that was just added, with its secret, this once."""

    secret: str
    registration: RegistrationView


class HookPageView(Page):
    """Commit triggers of a task."""

    items: list[HookView]


class DeliveryPageView(Page):
    """Pushes that arrived, newest first."""

    items: list[DeliveryView]
