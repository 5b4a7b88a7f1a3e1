"""Runs: what was asked for, where it stands, and what a worker holds of it.

A RunRequest is complete: no stored task has to be looked at again to execute
it. Times are seconds since the epoch, UTC, as the store keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.model.status import RunStatus

UPLOAD = "upload:"
"""Prefix of a source that was uploaded: ``upload:<sha256 of the archive>``."""

NO_SOURCE = "/dev/null"

TRUSTED, PULL, FORK = "trusted", "pull", "fork"
"""Whose work a run does: a pull request's gets no secrets and publishes nothing."""

LANES = ("interactive", "push", "patch", "timer")
"""Where a run queues; earlier lanes are served first."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A quick build: a Dockerfile instead of a task file (C-020 to C-029).

    Attributes:
        images: Names as the user wrote them; may hold ``{{.Run.ID}}``.
        dockerfile: Path in the source; empty is ``Dockerfile``.
        build_args: ``NAME=VALUE`` each; secret ones are in RunSecrets.
        secret_ids: Names of the build secrets whose values RunSecrets holds.
    """

    images: tuple[str, ...] = ()
    dockerfile: str = ""
    build_args: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    secret_ids: tuple[str, ...] = ()
    target: str = ""
    platforms: tuple[str, ...] = ()
    push: bool = True
    no_cache: bool = False
    pull: bool = False


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds of one run; None leaves the service's own."""

    cpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run. Exactly one of ``build``, ``command``, ``content`` and ``file`` decides.

    Attributes:
        source: A Git, archive or ``oci://`` location, ``upload:<sha256>``, or
            ``/dev/null``. Never a path of the server.
        file: Task file in the source; empty takes the first usual name.
        content: Text of the task file, where it is no file of the source.
        command: One command in place of a task file (C-042).
        build: A quick build in place of a task file.
        values_file: Values file in the source.
        values_content: Text of the values file.
        values: ``name=value`` entries; secret ones are in RunSecrets.
        registry: ``{{.Run.Registry}}``; the service's own where empty.
        platform: ``os/arch[/variant]``; empty is the worker's own.
        isolation: Asked level; empty is the pool's.
        trust: TRUSTED; PULL or FORK for a pull request of the repository or of a fork.
        secret_names: What RunSecrets holds, as ``RunSecrets.names`` writes it: shown in
            place of it, and to be there again for a rerun.
        pins: Images with the digest that builds are to use where the Dockerfile leaves
            it open; set by waves.
    """

    source: str = NO_SOURCE
    file: str = ""
    content: str = ""
    command: str = ""
    build: BuildRequest | None = None
    values_file: str = ""
    values_content: str = ""
    values: tuple[str, ...] = ()
    registry: str = ""
    platform: str = ""
    timeout_s: int = 3600
    limits: RunLimits = field(default_factory=RunLimits)
    isolation: str = ""
    pool: str = "default"
    strict: bool = False
    trust: str = TRUSTED
    secret_names: tuple[str, ...] = ()
    pins: tuple[tuple[str, str], ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether it may have secrets and publish."""
        return self.trust == TRUSTED


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """A login of one registry."""

    registry: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """What of a request must never be shown; sealed at rest, erased at the run's end.

    Attributes:
        values: ``name=value`` entries of the task file, masked.
        build_args: ``NAME=VALUE`` build arguments, masked.
        build_secrets: Values of ``RUN --mount=type=secret`` by id.
        credentials: Logins of registries beside the service's own.
        git_token: For the source's own host only.
    """

    values: tuple[str, ...] = field(default=(), repr=False)
    build_args: tuple[str, ...] = field(default=(), repr=False)
    build_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: tuple[RegistryCredential, ...] = ()
    git_token: str = field(default="", repr=False)

    def names(self) -> tuple[str, ...]:
        """Return what there is, never a value: ``value:A``, ``arg:B``, ``secret:c``,
        ``registry:host``, ``gitToken``.
        """
        return (
            *(f"value:{entry.partition('=')[0]}" for entry in self.values),
            *(f"arg:{entry.partition('=')[0]}" for entry in self.build_args),
            *(f"secret:{name}" for name in self.build_secrets),
            *(f"registry:{login.registry}" for login in self.credentials),
            *(("gitToken",) if self.git_token else ()),
        )

    def __bool__(self) -> bool:
        return bool(
            self.values
            or self.build_args
            or self.build_secrets
            or self.credentials
            or self.git_token
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run was started, for people and for ``{{.Run.TriggeredBy}}``.

    Attributes:
        kind: ``manual``, ``rerun``; trigger kinds add theirs.
        actor: Name of the token or trigger.
        detail: What belongs to the kind, such as the run that was run again.
    """

    kind: str = "manual"
    actor: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be accepted.

    Attributes:
        task: Name of the stored task, or empty for a quick run.
        task_limit: How many runs of the task may be under way; 0 is any number.
        supersede_key: Queued runs of the same task and key are canceled in
            favour of this one; empty supersedes nothing.
        held: It waits until somebody approves it.
        run_type: ``QuickBuild``, ``QuickRun``, ``AutoBuild`` or ``AutoRun``.
    """

    request: RunRequest
    secrets: RunSecrets = field(default_factory=RunSecrets)
    cause: Cause = field(default_factory=Cause)
    task: str = ""
    run_type: str = "QuickRun"
    lane: str = "interactive"
    task_limit: int = 0
    supersede_key: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the store knows it.

    Attributes:
        sequence: Grows with every accepted run; the order of lists.
        steps: The public form of each step, in file order; filled while it runs.
        record: The whole run record (``RunResult.to_json``) once it is finished.
        fence: Grows with every claim; writes with an older one are refused.
        attempt: How many workers took it, from 1.
        published: A push has begun: the run is never tried again by itself.
        log_state: ``open``; at the end ``complete``, or what is missing.
        held: Nobody approved it yet: no worker takes it.
        cancel_reason: Why it shall stop; empty if nobody asked.
    """

    id: str
    sequence: int
    status: RunStatus
    run_type: str
    task: str
    request: RunRequest
    cause: Cause
    lane: str
    created: float
    queued: float
    started: float | None = None
    finished: float | None = None
    updated: float = 0.0
    owner: str = ""
    fence: int = 0
    attempt: int = 0
    lease_until: float | None = None
    deadline: float | None = None
    cancel_reason: str = ""
    published: bool = False
    commit: str = ""
    branch: str = ""
    error_code: str = ""
    error: str = ""
    hint: str = ""
    steps: tuple[Mapping[str, Any], ...] = ()
    record: Mapping[str, Any] | None = None
    images: tuple[str, ...] = ()
    log_state: str = "open"
    archived: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that a worker holds until its lease is over."""

    run: Run
    secrets: RunSecrets
    fence: int


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended.

    Attributes:
        status: One of the five that never change again.
        record: The run record (``RunResult.to_json``), masked.
        images: Reference without digest, and digest, of what was pushed.
        log_end: ``EOF``, or what of the log is missing: ``LOST``, ``TRUNCATED n bytes``.
    """

    status: RunStatus
    record: Mapping[str, Any]
    images: tuple[tuple[str, str], ...] = ()
    error_code: str = ""
    error: str = ""
    hint: str = ""
    log_end: str = "EOF"


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a worker learns of one run it holds.

    ``held`` is False once the run is somebody else's, or nobody's: all work
    for it must stop, and nothing of it may be written.
    """

    run_id: str
    held: bool
    cancel_reason: str = ""
    cancel_code: str = ""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; empty fields take all (A-04, C-135).

    Attributes:
        image: A reference or digest, whole or the start of it, of a pushed image.
        commit: Whole, or the start of one.
        since, until: Of the creation, seconds since the epoch.
        task_globs: Only runs of tasks that match one of them (``*`` and ``?``);
            empty is no bound, and quick runs too.
    """

    task: str = ""
    task_globs: tuple[str, ...] = ()
    statuses: tuple[RunStatus, ...] = ()
    cause: str = ""
    image: str = ""
    commit: str = ""
    pool: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of a list, newest first; ``cursor`` gets the next, empty at the end."""

    runs: tuple[Run, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a queued run stands.

    ``position`` counts from 1 in the order of service; ``expected_wait_s`` is
    an estimate from recent runs, None where there are none.
    """

    position: int
    expected_wait_s: float | None = None
