"""The four processes: ``up``, ``server``, ``scheduler``, ``worker``.

Each opens its parts, starts, says so, and ends when its Lifetime does. Called
by the command line; errors of a start are raised and leave nothing running.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runners.model.errors import InvalidInput
from tasks_service.api.app import create_app, stop_streams
from tasks_service.api.tokens import NewToken, first_token
from tasks_service.config import Settings
from tasks_service.daemons.bases import base_groups, open_registry
from tasks_service.daemons.health import serve_health
from tasks_service.daemons.http import HTTPServer
from tasks_service.daemons.leftovers import expire_dead_workers
from tasks_service.daemons.lifetime import Lifetime
from tasks_service.daemons.parts import Parts, log_to_stderr, only_one, open_parts, prepare_state
from tasks_service.execution.service_place import Backends
from tasks_service.queue import BrokerCheck, Queue, open_queue
from tasks_service.runs.announcer import Announcer
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler import (
    Duties,
    NoticeDuty,
    PollDuty,
    Scheduler,
    StatusDuty,
    TimerDuty,
)
from tasks_service.worker import Worker

MAX_SILENT_S = 60.0
_WATCH_S = 5.0


@dataclass(frozen=True, slots=True)
class Ready:
    """What a process tells when it serves.

    ``token`` is the first admin token, where this start made it.
    """

    address: str = ""
    token: NewToken | None = None


Say = Callable[[Ready], None]


def run_up(
    settings: Settings,
    say: Say,
    *,
    token_file: Path | None = None,
    backends: Backends | None = None,
) -> None:
    """Run the whole service in this process until it is told to stop.

    Args:
        settings: All of it.
        say: Told once it serves.
        token_file: Where the first token goes, instead of being said.
        backends: Where runs happen; else what the settings name.
    """
    log_to_stderr(settings)
    with _started(settings, migrate=True, alone="up") as (life, parts, queue, stack):
        worker = _worker(parts, queue, listens=True, backends=backends)
        token = _first_token(parts, token_file)
        server = _serve_api(parts, queue, stack)
        _schedule(parts, queue, stack)
        _work(parts, worker)
        say(Ready(server.address, token))
        _until_stopped(life, worker)


def run_server(settings: Settings, say: Say, *, token_file: Path | None = None) -> None:
    """Serve the API until told to stop."""
    log_to_stderr(settings)
    with _started(settings, migrate=False) as (life, parts, queue, stack):
        token = _first_token(parts, token_file)
        server = _serve_api(parts, queue, stack)
        say(Ready(server.address, token))
        life.wait()


def run_scheduler(settings: Settings, say: Say) -> None:
    """Do the scheduler's duties until told to stop."""
    log_to_stderr(settings)
    with _started(settings, migrate=False) as (life, parts, queue, stack):
        scheduler = _schedule(parts, queue, stack)
        health = serve_health(parts, alive=lambda: scheduler.alive)
        if health is not None:
            stack.callback(health.stop)
        say(Ready(health.address if health else ""))
        life.wait()


def run_worker(settings: Settings, say: Say) -> None:
    """Execute runs of one pool until told to stop."""
    log_to_stderr(settings)
    with _started(settings, migrate=False) as (life, parts, queue, stack):
        worker = _work(parts, _worker(parts, queue, listens=bool(settings.redis_url)))
        health = serve_health(parts, alive=lambda: worker.silent_s < MAX_SILENT_S)
        if health is not None:
            stack.callback(health.stop)
        say(Ready(health.address if health else ""))
        _until_stopped(life, worker)


@contextmanager
def _started(
    settings: Settings, *, migrate: bool, alone: str = ""
) -> Iterator[tuple[Lifetime, Parts, Queue, ExitStack]]:
    folder = prepare_state(settings)
    with ExitStack() as stack:
        life = stack.enter_context(Lifetime())
        if alone:
            stack.enter_context(only_one(folder, alone))
        parts = open_parts(settings, migrate=migrate)
        stack.callback(parts.close)
        queue = open_queue(settings, embedded=bool(alone))
        stack.callback(queue.close)
        yield life, parts, queue, stack


def _first_token(parts: Parts, token_file: Path | None) -> NewToken | None:
    # The file first: a token that can't be told to anybody is none.
    descriptor = None if token_file is None else _fresh_file(token_file)
    made = first_token(parts.store)
    if descriptor is None:
        return made
    with os.fdopen(descriptor, "w") as stream:
        if made is not None:
            stream.write(made.text + "\n")
            return None
    assert token_file is not None  # noqa: S101 - there is a descriptor
    if token_file.stat().st_size == 0:
        token_file.unlink()
    return made


def _fresh_file(path: Path) -> int | None:
    if path.exists():
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(
            f"the token's file {path}: {(error.strerror or str(error)).lower()}"
        ) from error


def _serve_api(parts: Parts, queue: Queue, stack: ExitStack) -> HTTPServer:
    wanted = {}
    if parts.settings.redis_url:
        wanted["queue"] = check = BrokerCheck(parts.settings)
        stack.callback(check.close)
        check.warn()
    app = create_app(parts.settings, parts.store, parts.uploads, parts.logs, queue, wanted=wanted)
    server = HTTPServer(app, parts.settings.listen, on_stop=lambda: stop_streams(app))
    server.start()
    stack.callback(server.stop)
    health = serve_health(parts, alive=lambda: server.alive)
    if health is not None:
        stack.callback(health.stop)
    return server


def _schedule(parts: Parts, queue: Queue, stack: ExitStack) -> Scheduler:
    duties = Duties(parts.store, parts.logs, parts.uploads, queue, parts.settings)
    announcer = Announcer(parts.store, queue)
    timers = TimerDuty(parts.store, RunLife(parts.store, announcer, parts.settings), announcer)
    life = RunLife(parts.store, announcer, parts.settings)
    registry = open_registry(parts.settings, parts.store)
    stack.callback(registry.close)
    bases = base_groups(parts.store, life, registry, parts.settings)
    notices = NoticeDuty(parts.store, parts.settings)
    stack.callback(notices.close)
    statuses = StatusDuty(parts.store, parts.settings)
    polls = PollDuty(parts.store, life, parts.settings, os.environ)
    groups = (timers.group(), notices.group(), statuses.group(), polls.group(), *bases)
    scheduler = Scheduler((*duties.groups(), *groups))
    stack.callback(announcer.close)
    scheduler.start()
    stack.callback(scheduler.stop)
    stack.callback(polls.close)
    return scheduler


def _worker(
    parts: Parts, queue: Queue, *, listens: bool, backends: Backends | None = None
) -> Worker:
    worker = Worker(
        parts.settings, parts.store, queue, parts.uploads, listens=listens, backends=backends
    )
    # Before anything is promised to anybody, the first token above all.
    worker.check()
    return worker


def _work(parts: Parts, worker: Worker) -> Worker:
    expire_dead_workers(parts.store)
    worker.start()
    return worker


def _until_stopped(life: Lifetime, worker: Worker) -> None:
    """Wait for the end; drain the worker, or stop it at once where somebody insists."""
    watch = threading.Event()
    while not life.asked:
        if worker.silent_s > MAX_SILENT_S:
            # Deaf for whatever reason: whoever supervises us starts a fresh one.
            worker.stop()
            raise SystemExit(75)
        life.wait(_WATCH_S)

    def drain() -> None:
        worker.drain()
        watch.set()

    threading.Thread(target=drain, name="drain", daemon=True).start()
    while not watch.wait(0.2):
        if life.insisted:
            worker.stop()
            return
