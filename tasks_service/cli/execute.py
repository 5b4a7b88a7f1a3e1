"""Execute a run here, in one process, without a server.

In: a request (what to run) and RunOptions (how). Out: an exit code; the record
and the summary are printed. The only module of the command line that drives
the engine; called by ``run`` and ``build``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import click

from runners.backends.base import Backend, RegistryLogin
from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, RunnerError, SystemFault
from runners.model.events import Notice
from runners.model.status import RunStatus
from tasks_service.cli import exit_codes
from tasks_service.cli.failures import print_error, print_runner_error
from tasks_service.cli.interrupt import Interruptible
from tasks_service.cli.logins import find_logins
from tasks_service.cli.options import RunOptions, machine_architecture, state_directory
from tasks_service.cli.output import Streams, Tail, error_detail
from tasks_service.cli.summary import print_record, print_summary
from tasks_service.cli.terminal import SHOW_CURSOR, is_terminal
from tasks_service.cli.views import choose_view, streams_of
from tasks_service.execution.job import Job, Place, Say
from tasks_service.execution.marked import checked_marks
from tasks_service.execution.run import Execution
from tasks_service.model.run import RunLimits, RunRequest, RunSecrets
from tasks_service.sources.folders import sweep as sweep_sources
from tasks_service.sources.open import Source, open_source
from tasks_service.sources.settings import SourceSettings, allows_http

_CANCELING = (
    "Canceling: stopping the steps and removing the runner (again to force)",
    "Forcing: the runner is removed at once (again to leave it)",
)
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LOOPBACK = re.compile(r"(?<![\w.\-])((?:localhost|127(?:\.\d{1,3}){3}|\[::1\]):\d{1,5})(?=/)")


def execute(
    request: RunRequest,
    options: RunOptions,
    *,
    run_type: str,
    hidden: RunSecrets | None = None,
    content_name: str = "<stdin>",
    image_aliases: Mapping[str, str] | None = None,
) -> int:
    """Execute the request and return the exit code of the command.

    Prints the record (with ``-o``) whatever happens, so that a script always
    gets one. Nothing of the run is left when it returns.
    """
    _quieten_logging()
    streams = streams_of(options)
    view = choose_view(options, streams)
    tail = None if options.shows_logs else Tail(view)
    now = datetime.now(UTC)
    job = Job(
        request,
        hidden or RunSecrets(),
        options.run_id or new_run_id(now),
        run_type,
        now,
        content_name=content_name,
        image_aliases=image_aliases,
    )
    run = Execution(job, _here(options), tail or view)
    error: RunnerError | None = None

    def say(count: int) -> None:
        if count > len(_CANCELING):
            if is_terminal(streams.err):
                # The live view will not get to show the cursor again.
                streams.err.write(SHOW_CURSOR)
                streams.err.flush()
            return
        view(Notice(datetime.now(UTC), _CANCELING[count - 1], "warning"))

    work = Interruptible(run.perform, on_cancel=say, force=run.force)
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
    _print_end(run, tail, error, options, streams)
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


def _print_end(
    run: Execution,
    tail: Tail | None,
    error: RunnerError | None,
    options: RunOptions,
    streams: Streams,
) -> None:
    result, quiet = run.result, options.is_quiet
    if not quiet and result.steps:
        print_summary(result, streams)
    if error is not None:
        print_runner_error(error)
    elif result.error:
        last = tail.of(result) if tail is not None else ""
        print_error(result.error, hint=result.hint, detail=error_detail(result) or last)
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


def request_of(options: RunOptions, source: str) -> RunRequest:
    """Return a request with what the shared options say; the rest is the command's."""
    return RunRequest(
        source=source,
        registry=options.registry,
        platform=options.platforms[0] if options.platforms else f"linux/{machine_architecture()}",
        timeout_s=options.timeout_s,
        limits=RunLimits(options.cpus, options.memory, options.disk, options.pids),
        isolation=options.isolation,
    )


def _here(options: RunOptions) -> Place:
    """Return this machine as a place that is the user's own."""

    def login(host: str) -> tuple[str, str]:
        # The user named this registry as the source.
        found = find_logins(
            registry=options.registry, named=(), texts=(f"{host}/",), hub=False, env=os.environ
        )
        return next(((x.username, x.password) for x in found if x.registry == host), ("", ""))

    def opened(job: Job, cancel: Cancellation, say: Say) -> AbstractContextManager[Source]:
        settings = SourceSettings.from_environment(os.environ)
        return open_source(
            job.request.source,
            settings=dataclasses.replace(settings, registry_login=login),
            cancel=cancel,
            notice=lambda text: say("info", text),
        )

    return Place(
        backend=lambda: make_backend(options),
        open_source=opened,
        registries=_UsersRegistries(options),
        own_machine=True,
        allow_http=allows_http(os.environ),
        environ=os.environ,
        marks=checked_marks(os.environ.get("TASKS_IMAGE_MARKS", "").replace(",", " ").split()),
        sweep=_sweep,
    )


def _sweep(backend: Backend) -> None:
    sweep_sources(SourceSettings().folder)
    backend.sweep()


class _UsersRegistries:
    """Docker's logins of this user, for registries that the user's own texts name."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options

    def logins(self, texts: Sequence[str], *, remote: bool) -> tuple[RegistryLogin, ...]:
        """See Registries."""
        found = find_logins(
            registry=self._options.registry,
            named=self._options.logins,
            texts=texts,
            hub=not remote,
            env=os.environ,
        )
        return tuple(RegistryLogin(x.registry, x.username, x.password) for x in found)

    def loopback(self, texts: Sequence[str]) -> tuple[str, ...]:
        """See Registries."""
        given = [f"{host}/" for host in (self._options.registry, *self._options.logins)]
        found = [host for text in (*given, *texts) for host in _LOOPBACK.findall(text)]
        return tuple(dict.fromkeys(found))


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
