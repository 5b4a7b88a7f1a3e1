"""Execute a plan here, in one process, without a server: source → plan → run → record.

In: a Job (what to run) and RunOptions (how). Out: an exit code; the record
and the summary are printed. The only module of the command line that drives
the engine; called by ``run`` and ``build``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from runners.backends.base import Backend, Limits, RegistryLogin, SandboxRequest
from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, RunnerError, RunTimedOut, SystemFault
from runners.model.events import Notice
from runners.model.plan import Plan
from runners.model.record import RunResult, StepResult
from runners.model.status import RunStatus, StepStatus
from runners.sandbox import Sandbox
from tasks_service.cli import exit_codes
from tasks_service.cli.failures import print_error, print_runner_error
from tasks_service.cli.interrupt import Interruptible
from tasks_service.cli.logins import Login, find_logins
from tasks_service.cli.options import RunOptions, machine_architecture, state_directory
from tasks_service.cli.output import Streams, Tail, View, error_detail
from tasks_service.cli.summary import print_record, print_summary
from tasks_service.cli.terminal import SHOW_CURSOR, is_terminal
from tasks_service.cli.views import choose_view, streams_of
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.folders import sweep as sweep_sources
from tasks_service.sources.open import Source, open_source
from tasks_service.sources.settings import SourceSettings

if TYPE_CHECKING:
    from tasks_service.plans.variables import RunVariables

_SWEEP_S = 30
_CANCELING = (
    "Canceling: stopping the steps and removing the runner (again to force)",
    "Forcing: the runner is removed at once (again to leave it)",
)
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LOOPBACK = re.compile(r"(?<![\w.\-])((?:localhost|127(?:\.\d{1,3}){3}|\[::1\]):\d{1,5})(?=/)")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a Job makes of a source.

    Attributes:
        plan: What to run.
        texts: Texts of the user's own that name registries: those get their
            login, and are reachable at a loopback address. Never the text of
            a fetched source, which could ask for any login and any port.
        warnings: Lines to show before the run.
    """

    plan: Plan
    texts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: a source, and how it becomes a plan."""

    source: str
    run_type: str
    compile: Callable[[Source, RunVariables, Cancellation], Compiled]
    needs_workspace: bool = True


def execute(job: Job, options: RunOptions) -> int:
    """Run the job and return the exit code of the command.

    Prints the record (with ``-o``) whatever happens, so that a script always
    gets one. Nothing of the run is left when it returns.
    """
    _quieten_logging()
    run = _Run(job, options)
    streams = streams_of(options)
    view = choose_view(options, streams)
    error: RunnerError | None = None

    def say(count: int) -> None:
        if count > len(_CANCELING):
            if is_terminal(streams.err):
                # The live view will not get to show the cursor again.
                streams.err.write(SHOW_CURSOR)
                streams.err.flush()
            return
        view(Notice(datetime.now(UTC), _CANCELING[count - 1], "warning"))

    work = Interruptible(lambda cancel: run.perform(view, cancel), on_cancel=say, force=run.force)
    with view:
        try:
            work.run()
        except RunnerError as raised:
            error = raised
            run.fail(raised)
        except Exception as raised:
            run.fail(SystemFault(f"unexpected {type(raised).__name__}"))
            if options.output:
                print_record(run.result, options.output)
            raise
    result = run.result
    _print_end(run, error, options, streams)
    if work.signal is not None and result.status is RunStatus.CANCELED:
        return 128 + work.signal
    if error is not None:
        return exit_codes.of_error(error)
    return exit_codes.of_run(result.status, result.error_code)


def _quieten_logging() -> None:
    """Keep tracebacks of the program's own log off the terminal; ``--debug`` wants them."""
    import logging

    context = click.get_current_context(silent=True)
    debug = context is not None and context.find_root().params.get("debug")
    handler = logging.StreamHandler() if debug else logging.NullHandler()
    logging.getLogger().addHandler(handler)


def _print_end(run: _Run, error: RunnerError | None, options: RunOptions, streams: Streams) -> None:
    result, quiet = run.result, options.is_quiet
    if not quiet and result.steps:
        print_summary(result, streams)
    if error is not None:
        print_runner_error(error)
    elif result.error:
        tail = run.tail.of(result) if run.tail is not None else ""
        print_error(result.error, hint=result.hint, detail=error_detail(result) or tail)
    if options.output:
        print_record(result, options.output)
    elif quiet:
        for step in result.steps:
            for image in step.outcome.pushed:
                sys.stdout.write(f"{image.reference}@{image.digest}\n")
        sys.stdout.flush()


def new_run_id(now: datetime) -> str:
    """Return a fresh run id: short, lower-case, growing with time (R-01)."""
    count = int((now - _EPOCH).total_seconds())
    digits = ""
    while count:
        count, digit = divmod(count, 36)
        digits = _DIGITS[digit] + digits
    return digits + "".join(secrets.choice(_DIGITS) for _ in range(3))


class _Run:
    """One run from its source to its end; what signals need to reach it by force."""

    def __init__(self, job: Job, options: RunOptions) -> None:
        now = datetime.now(UTC)
        self._job = job
        self._options = options
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self.tail: Tail | None = None
        """Last lines of the steps, where the view hides them."""
        platform = options.platforms[0] if options.platforms else f"linux/{machine_architecture()}"
        self.result = RunResult(
            options.run_id or new_run_id(now),
            run_type=job.run_type,
            created=now,
            source=job.source,
            registry=options.registry,
            platform=platform,
        )

    def force(self) -> None:
        """Destroy the runner now. Safe in any thread and at any time."""
        with self._lock:
            sandbox = self._sandbox
        if sandbox is not None:
            sandbox.close()

    def fail(self, error: RunnerError) -> None:
        """Write an error that no step had into the record."""
        from runners.engine.walk import run_status_of

        result = self.result
        result.finished = datetime.now(UTC)
        users = isinstance(error, SourceNotFound)
        result.status = RunStatus.FAILED if users else run_status_of(error)
        result.error, result.error_code, result.hint = error.message, error.code, error.hint
        for step in result.steps:
            if not step.status.finished:
                step.status = StepStatus.SKIPPED

    def perform(self, view: View, cancel: Cancellation) -> None:
        """Do the whole run; the record is in ``result``.

        Raises:
            RunnerError: It ended before the plan was walked.
        """

        def notice(level: str, text: str) -> None:
            view(Notice(datetime.now(UTC), text, level))

        settings = SourceSettings.from_environment(os.environ)
        with open_source(
            self._job.source,
            settings=settings,
            cancel=cancel,
            notice=lambda text: notice("info", text),
        ) as source:
            compiled = self._compile(source, cancel)
            for warning in compiled.warnings:
                notice("warning", warning)
            cancel.check()
            self._execute(source, compiled, view, notice, cancel)

    def _compile(self, source: Source, cancel: Cancellation) -> Compiled:
        from tasks_service.plans.variables import RunVariables, run_date

        result = self.result
        result.source = source.location
        result.commit, result.branch = source.commit, source.branch
        os_name, architecture = result.platform.split("/")[:2]
        variables = RunVariables(
            id=result.id,
            registry=result.registry,
            commit=source.commit,
            branch=source.branch,
            repository=source.repository,
            git_tag=source.tag,
            triggered_by="manual",
            date=run_date(result.created or datetime.now(UTC)),
            os=os_name,
            architecture=architecture,
        )
        return self._job.compile(source, variables, cancel)

    def _execute(
        self,
        source: Source,
        compiled: Compiled,
        view: View,
        notice: Callable[[str, str], None],
        cancel: Cancellation,
    ) -> None:
        from runners.engine import execute_plan

        options, result, plan = self._options, self.result, compiled.plan
        logins = find_logins(
            registry=options.registry,
            named=options.logins,
            texts=compiled.texts,
            hub=not source.remote,
            env=os.environ,
        )
        plan = _masked(plan, source, logins)
        result.steps = [StepResult(step.id, step.kind) for step in plan.steps]
        view.begin(result.id, plan.steps)
        backend = make_backend(options)
        request = SandboxRequest(
            run_id=result.id,
            source=source.directory,
            shared_volume=plan.shared_volume,
            registries=_loopback_registries(options, compiled),
            logins=tuple(RegistryLogin(x.registry, x.username, x.password) for x in logins),
            secrets=plan.secrets,
            limits=_limits(options),
            needs_workspace=self._job.needs_workspace,
            notice=notice,
        )
        result.status, result.started = RunStatus.STARTED, datetime.now(UTC)
        late = RunTimedOut(
            f"the run timed out after {options.timeout_s} s",
            hint="give it longer by --timeout",
        )
        with (
            cancel.child(options.timeout_s, late) as token,
            self._opened(backend, request, token) as sandbox,
        ):
            sink = view if options.shows_logs else self._tail_of(view)
            execute_plan(plan, sandbox, result=result, sink=sink, cancel=token)

    def _tail_of(self, view: View) -> Tail:
        self.tail = Tail(view)
        return self.tail

    @contextmanager
    def _opened(
        self, backend: Backend, request: SandboxRequest, token: Cancellation
    ) -> Iterator[Sandbox]:
        # What dead runs left goes meanwhile: a new run need not wait for it.
        problems: list[str] = []
        sweeper = threading.Thread(target=_sweep, args=(backend, problems), daemon=True)
        sweeper.start()
        try:
            sandbox = backend.open(request, token)
            with self._lock:
                self._sandbox = sandbox
            try:
                yield sandbox
            finally:
                sandbox.close()
                sweeper.join(_SWEEP_S)
                for problem in problems:
                    request.notice("warning", problem)
        finally:
            sweeper.join(_SWEEP_S)


def _sweep(backend: Backend, problems: list[str]) -> None:
    try:
        sweep_sources(SourceSettings().folder)
        backend.sweep()
    except RunnerError as error:
        problems.append(f"what dead runs left could not be removed: {error.message}")


def _masked(plan: Plan, source: Source, logins: tuple[Login, ...]) -> Plan:
    passwords = tuple(login.password for login in logins)
    return dataclasses.replace(plan, mask=(*plan.mask, *source.mask, *passwords))


def _loopback_registries(options: RunOptions, compiled: Compiled) -> tuple[str, ...]:
    texts = [f"{host}/" for host in (options.registry, *options.logins)]
    found = [host for text in (*texts, *compiled.texts) for host in _LOOPBACK.findall(text)]
    return tuple(dict.fromkeys(found))


def _limits(options: RunOptions) -> Limits:
    usual = Limits()
    return Limits(
        cpus=options.cpus or usual.cpus,
        memory_bytes=options.memory or usual.memory_bytes,
        pids=options.pids or usual.pids,
        disk_bytes=options.disk or usual.disk_bytes,
    )


def make_backend(options: RunOptions) -> Backend:
    """Return the backend the options name.

    Raises:
        InvalidInput: There is no such backend.
    """
    from runners.backends import KINDS

    name = options.backend or "dind"
    if name not in KINDS:
        known = ", ".join(KINDS)
        raise InvalidInput(f"there is no backend {name[:40]!r}", hint=f"use one of {known}")
    return KINDS[name](state_dir=state_directory(os.environ), isolation=options.isolation)
