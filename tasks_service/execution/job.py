"""What is executed, and where: the two inputs of an Execution.

A Job comes from the command line or from a claimed run. A Place says what the
machine gives it: runners, sources, registries, secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from runners.backends.base import Backend, Limits, RegistryLogin
from runners.model.cancellation import Cancellation
from runners.model.events import EventSink
from runners.model.plan import PlannedStep
from tasks_service.model.run import RunRequest, RunSecrets

if TYPE_CHECKING:
    from tasks_service.sources.open import Source

Say = Callable[[str, str], None]
"""Takes a level (``info``, ``warning``, ``error``) and our own words about the run."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, complete.

    Attributes:
        created: When it was asked for, aware, UTC; ``{{.Run.Date}}``.
        content_name: What messages call ``request.content``.
        branch, tag: What was pushed, where the source names a commit only.
        image_aliases: Of bare first words in ``cmd``; None takes the defaults.
    """

    request: RunRequest
    secrets: RunSecrets
    run_id: str
    run_type: str
    created: datetime
    task: str = ""
    triggered_by: str = "manual"
    content_name: str = "<content>"
    image_aliases: Mapping[str, str] | None = None
    branch: str = ""
    tag: str = ""

    def hidden(self) -> tuple[str, ...]:
        """Return every text of its secrets that no output may show."""
        secrets = self.secrets
        pairs = (*secrets.values, *secrets.build_args)
        found = (
            *(pair.partition("=")[2] for pair in pairs),
            *secrets.build_secrets.values(),
            *(login.password for login in secrets.credentials),
            secrets.git_token,
        )
        return tuple(text for text in found if text)


class Registries(Protocol):
    """Which registries a run gets logins for, and which at loopback it may reach."""

    def logins(self, texts: Sequence[str], *, remote: bool) -> tuple[RegistryLogin, ...]:
        """Return the logins of a run whose author wrote ``texts``.

        Raises:
            InvalidInput: One that was asked for can't be had.
        """
        ...

    def loopback(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return ``host:port`` of registries that runners reach through us."""
        ...


class Watcher(EventSink, Protocol):
    """Told what a run does. All of it is masked."""

    def begin(self, run_id: str, steps: Sequence[PlannedStep]) -> None:
        """Be told the steps that will come."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are executed, and what their authors may use there.

    Attributes:
        backend: Makes runners; called once a run.
        open_source: Yields the source of a job and removes it afterwards.
        own_machine: The author of the run owns this machine: files beside
            the source, environment variables and any registry may be named.
        limits: Bounds of runs that ask for none.
        environ: Settings and logins of secret providers.
        fetches_secrets: Task files may name secrets that providers keep. They
            would be fetched in the name of the machine, whoever wrote the file.
        allow_http: Alias files may come over ``http://``.
        marks: What labels of built images tell: see ``execution.marked``.
        sweep: Removes what dead runs left; called beside every run. None
            where somebody else does that.
    """

    backend: Callable[[], Backend]
    open_source: Callable[[Job, Cancellation, Say], AbstractContextManager[Source]]
    registries: Registries
    own_machine: bool = False
    allow_http: bool = False
    limits: Limits = field(default_factory=Limits)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    fetches_secrets: bool = True
    marks: frozenset[str] = frozenset()
    sweep: Callable[[Backend], None] | None = None
