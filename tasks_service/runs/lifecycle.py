"""The single funnel: every run, whoever wants it, is accepted here.

In: NewRun, or the id of a run. Out: Run as it is stored. A run that was
accepted is in the database before its workers are told, and stays the same
whatever happens to a stored task afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

from runners.model.errors import InvalidInput
from tasks_service.config import Settings
from tasks_service.errors import Conflict, NotFound
from tasks_service.model.run import FORK, UPLOAD, Cause, NewRun, Run, RunRequest, RunSecrets
from tasks_service.model.task import DISABLED, Task
from tasks_service.runs.checks import Rules, request_errors
from tasks_service.runs.fields import FieldError, raise_if_any
from tasks_service.runs.ids import new_run_id
from tasks_service.store import Store

QUICK_BUILD, QUICK_RUN, AUTO_BUILD, AUTO_RUN = "QuickBuild", "QuickRun", "AutoBuild", "AutoRun"


class Announces(Protocol):
    """Tells workers of a pool that runs wait; returns at once."""

    def announce(self, pool: str, run_id: str) -> None:
        """Have the workers of ``pool`` told of a run."""
        ...


class IdempotencyMismatch(InvalidInput):
    """An Idempotency-Key was used before, with another request."""

    code = "idempotency_mismatch"


class TaskDisabled(Conflict):
    """The task may not be run at present."""

    code = "task_disabled"


class SecretsErased(Conflict):
    """A run can't be started again by itself: its secrets are gone."""

    code = "secrets_erased"


@dataclasses.dataclass(frozen=True, slots=True)
class Once:
    """What makes two requests one: who asked, with which key, for what."""

    actor: str
    key: str
    body_hash: str


class RunLife:
    """Accept, cancel, run again, keep. Thread-safe."""

    def __init__(self, store: Store, announcer: Announces, settings: Settings) -> None:
        self._store = store
        self.announcer = announcer
        """Tells workers of runs that others stored."""
        self._settings = settings
        self.rules = Rules.of(settings)
        self.max_queued = settings.max_queued
        """How many runs may wait; 0 is no limit."""

    def accept(self, new: NewRun, *, once: Once | None = None) -> Run:
        """Check, store and announce a run.

        Args:
            new: The run.
            once: The same again returns the run of the first time.

        Raises:
            InvalidFields: It can't be run; every field at fault.
            IdempotencyMismatch: The key was used for another request.
            Busy: Too many runs wait.
            Unavailable: The database does not answer; nothing was stored.
        """
        new = self.checked(new)
        run_id = new_run_id()
        if once is not None:
            known, first_id = self._store.idempotency.reserve(
                once.actor, once.key, once.body_hash, run_id
            )
            if known != once.body_hash:
                raise IdempotencyMismatch(
                    "the Idempotency-Key was used before with another request",
                    hint="use a fresh key for each request, and the same only to repeat it",
                )
            run_id = first_id
        run = self._store.runs.accept(new, run_id=run_id, max_queued=self.max_queued)
        if not run.status.finished:
            self.announcer.announce(run.request.pool, run.id)
        return run

    def checked(self, new: NewRun) -> NewRun:
        """Return a run as it is stored: what it left to the service filled in.

        Raises:
            InvalidFields: It can't be run; every field at fault.
        """
        new = self._completed(new)
        raise_if_any(
            (*request_errors(new.request, new.secrets, self.rules), *self._upload_errors(new))
        )
        return new

    def accept_task(
        self,
        task: Task,
        request: RunRequest,
        secrets: RunSecrets,
        *,
        cause: Cause,
        lane: str = "interactive",
        once: Once | None = None,
    ) -> Run:
        """Accept a run of a stored task, whose request was made of it.

        Raises:
            TaskDisabled: It may not be run.
            InvalidFields, IdempotencyMismatch, Busy, Unavailable: See ``accept``.
        """
        new = new_of_task(task, request, secrets, cause=cause, lane=lane)
        return self.accept(new, once=once)

    def rerun(self, run: Run, *, actor: str, once: Once | None = None) -> Run:
        """Accept the same request once more.

        Secrets of a run that is finished are erased. Those that its stored
        task has (still) are taken from there.

        Raises:
            SecretsErased: Some are nowhere any more.
            InvalidFields, IdempotencyMismatch, Busy, Unavailable: See ``accept``.
        """
        secrets = self._secrets_again(run)
        task = self._store.tasks.get(run.task) if run.task else None
        new = NewRun(
            # It is done with what is there now, as whoever asks for it expects.
            request=dataclasses.replace(run.request, pins=()),
            secrets=secrets,
            cause=Cause("rerun", actor, _pushed(run) | {"run": run.id}),
            task=run.task,
            run_type=run.run_type,
            task_limit=task.definition.max_concurrent if task is not None else 0,
            # Nobody need have looked at the first one.
            held=run.request.trust == FORK,
        )
        return self.accept(new, once=once)

    def approve(self, run: Run, *, commit: str = "") -> Run:
        """Let a run of a fork's pull request be taken by workers.

        It does what it would have done when it came: that commit, and the task as it
        was stored then. A task that changed since is not what was looked at.

        Args:
            run: The run.
            commit: What was looked at; empty is whatever the run is of.

        Raises:
            Conflict: It waits for nothing, is of another commit, or the task changed.
        """
        known = run.cause.detail
        if commit and commit != known.get("commitId"):
            raise Conflict(
                f"run {run.id} is of commit {known.get('commitId', '')[:12]}, not of {commit[:12]}"
            )
        task = self._store.tasks.get(run.task)
        version = known.get("taskVersion", "")
        if run.held and (task is None or str(task.version) != version):
            raise Conflict(
                f"task '{run.task}' changed after run {run.id} came",
                hint="have the pull request told again: `tasks trigger redeliver`",
            )
        approved = self._store.hooks.approve(run.id)
        self.announcer.announce(approved.request.pool, approved.id)
        return approved

    def cancel(self, run_id: str, *, actor: str) -> Run:
        """Ask for a run's end; see RunStore.request_cancel."""
        return self._store.runs.request_cancel(run_id, reason=f"canceled by {actor}")

    def _completed(self, new: NewRun) -> NewRun:
        request = dataclasses.replace(
            new.request,
            registry=(new.request.registry or self._settings.registry).lower(),
            secret_names=new.secrets.names(),
        )
        return dataclasses.replace(new, request=request)

    def _upload_errors(self, new: NewRun) -> tuple[FieldError, ...]:
        source = new.request.source
        if not source.startswith(UPLOAD):
            return ()
        # Noting the use keeps retention from removing it before the worker came.
        if self._store.uploads.use(source.removeprefix(UPLOAD)) is not None:
            return ()
        return (FieldError("/source", "there is no such upload (any more): send it again"),)

    def _secrets_again(self, run: Run) -> RunSecrets:
        kept = self._store.runs.secrets(run.id)
        if set(run.request.secret_names) <= set(kept.names()):
            return kept
        stored = self._store.tasks.secrets(run.task) if run.task else RunSecrets()
        missing = [name for name in run.request.secret_names if name not in stored.names()]
        if missing:
            raise SecretsErased(
                f"run {run.id} had secrets that were erased at its end: {', '.join(missing[:20])}",
                hint="start it anew, and give them again",
            )
        return chosen_secrets(stored, run.request.secret_names)


def _pushed(run: Run) -> dict[str, str]:
    """Return what of a run's cause its steps can see."""
    known = (
        "commitId",
        "ref",
        "branchName",
        "tagName",
        "repository",
        "provider",
        "pullRequestId",
        "taskVersion",
    )
    return {name: run.cause.detail[name] for name in known if name in run.cause.detail}


def new_of_task(
    task: Task, request: RunRequest, secrets: RunSecrets, *, cause: Cause, lane: str
) -> NewRun:
    """Return the run of a stored task, not yet checked.

    Raises:
        TaskDisabled: It may not be run.
    """
    definition = task.definition
    if definition.status == DISABLED:
        raise TaskDisabled(
            f"task '{task.name}' is disabled",
            hint=f"enable it: `tasks update -n {task.name} --status Enabled`",
        )
    return NewRun(
        request=request,
        secrets=secrets,
        cause=cause,
        task=task.name,
        run_type=AUTO_RUN if request.build is None else AUTO_BUILD,
        lane=lane,
        task_limit=definition.max_concurrent,
        supersede_key=f"{request.source or '-'}" if definition.supersede else "",
    )


def chosen_secrets(secrets: RunSecrets, names: tuple[str, ...]) -> RunSecrets:
    """Return those of ``secrets`` that ``names`` (as RunSecrets.names writes them) lists."""

    def among(kind: str) -> Callable[[str], bool]:
        return lambda name: f"{kind}:{name}" in names

    value, arg, secret, registry = map(among, ("value", "arg", "secret", "registry"))
    build_secrets: Mapping[str, str] = {
        name: text for name, text in secrets.build_secrets.items() if secret(name)
    }
    return RunSecrets(
        values=tuple(e for e in secrets.values if value(e.partition("=")[0])),
        build_args=tuple(e for e in secrets.build_args if arg(e.partition("=")[0])),
        build_secrets=build_secrets,
        credentials=tuple(c for c in secrets.credentials if registry(c.registry)),
        git_token=secrets.git_token if "gitToken" in names else "",
    )


def find_run(store: Store, run_id: str, allows: Callable[[str], bool]) -> Run:
    """Return a run that the caller may see; ``allows`` judges its task's name.

    Raises:
        NotFound: There is none, or it is not theirs to see: both are told alike.
    """
    run = store.runs.get(run_id)
    if run is None or not allows(run.task):
        raise NotFound(f"there is no run {run_id[:40]!r}", hint="`tasks runs list` shows them")
    return run
