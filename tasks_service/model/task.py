"""Stored tasks: a definition that runs are made of (C-100 to C-149)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks_service.model.run import RunRequest, RunSecrets
from tasks_service.model.timer import Timer

ENABLED = "Enabled"
DISABLED = "Disabled"

BASES_ALL, BASES_RUNTIME, BASES_NONE = "All", "Runtime", "None"
"""Which base images that move have a task run again: all it used, the final stage's, none."""


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What the author decides. Secrets are apart, in RunSecrets.

    Attributes:
        name: 1 to 50 letters, digits, ``-`` and ``_``, beginning with a letter or digit (L-07).
        request: What each of its runs does; overrides replace parts of it.
        max_concurrent: Runs of it under way at once; 0 is any number.
        supersede: A new run cancels the queued ones for the same source ref.
        base_image_trigger: ``All``, ``Runtime`` or ``None``.
        labels: ``key`` → ``value``, for people and lists.
        timers: When it starts by itself; names and schedules are unique.
    """

    name: str
    request: RunRequest
    status: str = ENABLED
    max_concurrent: int = 0
    supersede: bool = False
    base_image_trigger: str = BASES_ALL
    labels: tuple[tuple[str, str], ...] = ()
    timers: tuple[Timer, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskSecretNames:
    """Names of what a task keeps sealed; never values."""

    values: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    build_secrets: tuple[str, ...] = ()
    registries: tuple[tuple[str, str], ...] = ()
    """Registry and user name of each login."""
    git_token: bool = False

    @classmethod
    def of(cls, secrets: RunSecrets) -> TaskSecretNames:
        """Return the names in ``secrets``."""
        return cls(
            values=tuple(entry.partition("=")[0] for entry in secrets.values),
            build_args=tuple(entry.partition("=")[0] for entry in secrets.build_args),
            build_secrets=tuple(secrets.build_secrets),
            registries=tuple((c.registry, c.username) for c in secrets.credentials),
            git_token=bool(secrets.git_token),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A stored task. ``version`` grows with every change and is its ETag.

    ``secret_names`` tells which secret values, build arguments, build secrets
    and registries with a login it has; the values need ``TaskStore.secrets``.
    """

    definition: TaskDefinition
    version: int
    created: float
    updated: float
    secret_names: TaskSecretNames = field(default_factory=TaskSecretNames)

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name
