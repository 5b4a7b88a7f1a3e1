"""One run from its source to its end: open, compile, start a runner, walk the plan.

In: a Job, a Place, a Watcher. Out: the RunResult. Called by ``cli.execute``
and by the worker; all that is told to the Watcher or kept is masked.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from runners.backends.base import Backend, Limits, SandboxRequest
from runners.engine import execute_plan
from runners.engine.private import keep_private
from runners.engine.redact import Redactor
from runners.engine.walk import run_status_of
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError, RunTimedOut
from runners.model.events import Notice
from runners.model.record import RunnerStart, RunResult, StepResult
from runners.model.status import RunStatus, StepStatus
from runners.sandbox import Sandbox
from tasks_service.execution.compiling import Compiled, compile_job
from tasks_service.execution.job import Job, Place, Watcher
from tasks_service.execution.marked import MarkedSandbox
from tasks_service.plans.variables import RunVariables, machine_architecture, run_date
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.open import Source

_SWEEP_S = 30


class Execution:
    """One run. ``perform`` it once; ``result`` is its record, during and after.

    Attributes:
        result: What happened so far; written by the thread of ``perform``.
    """

    def __init__(self, job: Job, place: Place, watcher: Watcher) -> None:
        self._job = job
        self._place = place
        self._watcher = watcher
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._hidden = job.hidden()
        self._redactor = Redactor(self._hidden)
        self.result = RunResult(
            job.run_id,
            run_type=job.run_type,
            created=job.created,
            source=job.request.source,
            registry=job.request.registry,
            platform=job.request.platform or f"linux/{machine_architecture()}",
        )

    def perform(self, cancel: Cancellation) -> RunResult:
        """Do the whole run and return its record. Nothing of it is left then.

        The run's time covers all of it, from the source on.

        Raises:
            RunnerError: It ended before the plan was walked; the caller
                passes it to ``fail``.
        """
        timeout_s = self._job.request.timeout_s
        late = RunTimedOut(
            f"the run timed out after {timeout_s} s", hint="give it longer by --timeout"
        )
        with (
            cancel.child(timeout_s, late) as token,
            self._place.open_source(self._job, token, self._say) as source,
        ):
            self._hide(source.mask)
            compiled = compile_job(self._job, self._place, source, self._variables(source), token)
            compiled = self._private(compiled)
            self._hide((*compiled.plan.secrets.values(), *compiled.plan.mask))
            for warning in compiled.warnings:
                self._say("warning", warning)
            token.check()
            self._execute(source, compiled, token)
        return self.result

    def force(self) -> None:
        """Destroy the runner now. Safe in any thread and at any time."""
        with self._lock:
            sandbox = self._sandbox
        if sandbox is not None:
            sandbox.close()

    def fail(self, error: RunnerError) -> None:
        """Write an error that no step had into the record."""
        result = self.result
        result.finished = datetime.now(UTC)
        users = isinstance(error, SourceNotFound)
        result.status = RunStatus.FAILED if users else run_status_of(error)
        result.error, result.hint = self.masked(error.message), self.masked(error.hint)
        result.error_code = error.code
        for step in result.steps:
            if not step.status.finished:
                step.status = StepStatus.SKIPPED

    def tell(self, text: str, level: str = "info") -> None:
        """Say something of our own to whoever watches, without the secrets known so far."""
        self._watcher(Notice(datetime.now(UTC), self.masked(text), level))

    def masked(self, text: str) -> str:
        """Return ``text`` without the secrets known so far."""
        return self._redactor.text(text)

    def _hide(self, texts: tuple[str, ...]) -> None:
        fresh = tuple(text for text in texts if text and text not in self._hidden)
        if fresh:
            self._hidden += fresh
            self._redactor = Redactor(self._hidden)

    def _say(self, level: str, text: str) -> None:
        self.tell(text, level)

    def _variables(self, source: Source) -> RunVariables:
        job, result = self._job, self.result
        result.source = source.location
        result.commit, result.branch = source.commit, source.branch or job.branch
        os_name, architecture = result.platform.split("/")[:2]
        return RunVariables(
            id=result.id,
            registry=result.registry,
            commit=source.commit,
            branch=source.branch or job.branch,
            repository=source.repository,
            git_tag=source.tag or job.tag,
            triggered_by=job.triggered_by,
            task_name=job.task,
            date=run_date(job.created),
            os=os_name,
            architecture=architecture,
        )

    def _private(self, compiled: Compiled) -> Compiled:
        """Leave out what a run of a pull request would publish."""
        if self._job.request.trusted:
            return compiled
        plan, told = keep_private(compiled.plan)
        for text in told:
            self._say("info", f"{text}, this run is of a pull request")
        return dataclasses.replace(compiled, plan=plan)

    def _execute(self, source: Source, compiled: Compiled, cancel: Cancellation) -> None:
        result, place = self.result, self._place
        logins = place.registries.logins(compiled.texts, remote=source.remote)
        self._hide(tuple(login.password for login in logins))
        plan = dataclasses.replace(
            compiled.plan, mask=tuple(dict.fromkeys((*compiled.plan.mask, *self._hidden)))
        )
        result.steps = [StepResult(step.id, step.kind) for step in plan.steps]
        self._watcher.begin(result.id, plan.steps)
        request = SandboxRequest(
            run_id=result.id,
            source=source.directory,
            shared_volume=plan.shared_volume,
            registries=place.registries.loopback(compiled.texts),
            logins=logins,
            read_only=not self._job.request.trusted,
            secrets=plan.secrets,
            limits=_limits(self._job, place.limits),
            needs_workspace=compiled.needs_workspace,
            notice=self._say,
        )
        backend = place.backend()
        result.status, result.started = RunStatus.STARTED, datetime.now(UTC)
        with self._opened(backend, request, cancel) as sandbox:
            marked = MarkedSandbox(sandbox, place.marks, source, self._job.request.pins)
            execute_plan(plan, marked, result=result, sink=self._watcher, cancel=cancel)

    @contextmanager
    def _opened(
        self, backend: Backend, request: SandboxRequest, token: Cancellation
    ) -> Iterator[Sandbox]:
        with self._swept(backend):
            began = time.monotonic()
            sandbox = backend.open(request, token)
            self.result.runner = RunnerStart(sandbox.warm, time.monotonic() - began)
            with self._lock:
                self._sandbox = sandbox
            try:
                yield sandbox
            finally:
                sandbox.close()

    @contextmanager
    def _swept(self, backend: Backend) -> Iterator[None]:
        # What dead runs left goes meanwhile: a new run need not wait for it.
        if self._place.sweep is None:
            yield
            return
        problems: list[str] = []
        sweeper = threading.Thread(target=self._sweep, args=(backend, problems), daemon=True)
        sweeper.start()
        try:
            yield
        finally:
            sweeper.join(_SWEEP_S)
            for problem in problems:
                self._say("warning", problem)

    def _sweep(self, backend: Backend, problems: list[str]) -> None:
        assert self._place.sweep is not None  # noqa: S101 - looked at by the only caller
        try:
            self._place.sweep(backend)
        except RunnerError as error:
            problems.append(f"what dead runs left could not be removed: {error.message}")


def _limits(job: Job, usual: Limits) -> Limits:
    asked = job.request.limits
    return Limits(
        cpus=asked.cpus or usual.cpus,
        memory_bytes=asked.memory_bytes or usual.memory_bytes,
        pids=asked.pids or usual.pids,
        disk_bytes=asked.disk_bytes or usual.disk_bytes,
    )
