"""A worker process: slots, leases, wake-ups, and an orderly end.

In: Settings, the store, the queue, uploads. Out: runs that end exactly once.
Wired by ``tasks up`` and ``tasks worker``.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time

from runners.model.errors import RunnerError
from tasks_service.blobs import BlobStore
from tasks_service.config import Settings
from tasks_service.execution.service_place import Backends
from tasks_service.execution.warm_backends import WarmBackends
from tasks_service.model.access import Worker as WorkerRow
from tasks_service.model.run import Claim
from tasks_service.process_log import get_logger
from tasks_service.queue import Consumer, Queue
from tasks_service.sources.folders import sweep as sweep_sources
from tasks_service.store import Store
from tasks_service.worker.heartbeat import Heartbeat
from tasks_service.worker.limited import Limited
from tasks_service.worker.performer import Performer
from tasks_service.worker.slots import Slots
from tasks_service.worker.sources import ServiceSources
from tasks_service.worker.spool import LogCaps

POLL_S = 15.0
"""How often an idle worker looks without being woken, where there are wake-ups."""
ALONE_POLL_S = 1.0
"""The same where there are none."""
SWEEP_S = 300.0
REST_S = 3.0
"""How long nothing is claimed after a runner could not be made."""
_PASS_ON_S = 0.1
_END_S = 30.0
_log = get_logger(__name__)


class Worker:
    """Executes the runs of one pool. ``start`` it once, then ``drain`` or ``stop``.

    Args:
        settings: Pool, concurrency, times.
        store: Where runs are.
        queue: Other workers are woken through it.
        uploads: Where uploaded contexts are.
        listens: There is a broker: Redis, or the one in this process.
        backends: Make runners; by the settings where None.
        caps: Bounds of logs.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        queue: Queue,
        uploads: BlobStore,
        *,
        listens: bool,
        backends: Backends | None = None,
        caps: LogCaps | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._queue = queue
        self._backends = backends or Backends(settings)
        self._warm = WarmBackends(
            self._backends,
            least=settings.warm_runners,
            most=settings.concurrency,
            max_age_s=settings.warm_age,
            level=settings.isolation,
        )
        self._draining = False
        self._pass_on = Limited(self._tell_others, every_s=_PASS_ON_S)
        self._deadline = 0.0
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._ended = False
        self._host = socket.gethostname()
        self.id = f"{self._host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._heartbeat = Heartbeat(settings, store, self._row)
        self._sources = ServiceSources(settings, uploads)
        self._performer = Performer(
            settings,
            store,
            backends=self._warm,
            sources=self._sources,
            heartbeat=self._heartbeat,
            on_refused=lambda: self._slots.rest(REST_S),
            caps=caps,
        )
        self._slots = Slots(
            settings.concurrency,
            claim=self._claim,
            perform=self._performer.perform,
            poll_s=POLL_S if listens else ALONE_POLL_S,
            # One message may stand for many runs: another worker is woken.
            saturated=self._pass_on if settings.redis_url else lambda: None,
            idles=self._ask,
        )
        self._consumer: Consumer | None = None
        if listens:
            self._consumer = Consumer(
                settings, self._woken, concurrency=1, wants=lambda: self._slots.wanting
            )
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)

    @property
    def active(self) -> int:
        """How many runs it has."""
        return self._slots.busy

    @property
    def silent_s(self) -> float:
        """Seconds since it last looked for work, or heard from the database, whichever is later.

        A healthy worker never gets beyond a minute; its supervisor may
        start one that does anew.
        """
        return time.monotonic() - max(self._slots.looked, self._heartbeat.answered)

    def check(self) -> None:
        """Look whether this machine was set up for runs.

        Raises:
            InvalidInput: There is no such backend or level.
            Unavailable: It was not; says what to do.
        """
        self._backends.get()

    def start(self) -> None:
        """Begin to claim runs. Parts that are away meanwhile are waited for."""
        _log.info("worker_starts", worker=self.id, pool=self._settings.pool)
        self._heartbeat.start()
        self._sweeper.start()
        self._warm.start()
        if self._consumer is not None:
            self._consumer.start()
        self._slots.start()

    def drain(self) -> None:
        """Claim nothing more, end what runs within ``settings.drain``, and return.

        What is not done by then is stopped and given back to the queue.
        ``stop`` from another thread cuts it short. Idempotent.
        """
        self._end(self._settings.drain)

    def stop(self) -> None:
        """Like ``drain``, with no time for runs to end by themselves. Idempotent."""
        self._end(0)

    def _end(self, within_s: float) -> None:
        with self._lock:
            first = not self._draining
            self._draining = True
            deadline = time.monotonic() + within_s
            self._deadline = min(self._deadline, deadline) if not first else deadline
        if not first:
            self._ending.wait(within_s + 2 * _END_S)
            return
        _log.info("worker_drains", worker=self.id, active=self.active)
        self._slots.close()
        if self._consumer is not None:
            self._consumer.stop()
        self._heartbeat.beat()
        self._warm.close()
        done = self._slots.join(0)
        while not done and time.monotonic() < self._deadline:
            done = self._slots.join(0.1)
        if not done:
            self._give_all_back()
        self._heartbeat.stop()
        try:
            self._store.workers.gone(self.id)
        except RunnerError as error:
            _log.warning("worker_not_gone", error=error.message)
        _log.info("worker_ended", worker=self.id, done=done)
        self._ending.set()

    def _give_all_back(self) -> None:
        held = self._heartbeat.held()
        for run in held:
            run.give_back()
        if not self._slots.join(_END_S):
            # The database or an engine does not answer: leases end by themselves.
            self._performer.hurry.set()
            self._slots.join(_END_S / 3)

    def _claim(self) -> Claim | None:
        settings = self._settings
        return self._store.leases.claim(settings.pool, owner=self.id, lease_s=settings.lease)

    def _woken(self) -> None:
        if not self._slots.wake() and self._settings.redis_url and not self._draining:
            # All hands are full: it was meant for a worker that idles.
            self._tell_others()

    def _ask(self) -> None:
        if self._consumer is not None:
            self._consumer.ask()

    def _tell_others(self) -> None:
        try:
            self._queue.wake(self._settings.pool)
        except RunnerError as error:
            _log.info("wake_not_passed_on", error=error.message)

    def _row(self) -> WorkerRow:
        settings = self._settings
        return WorkerRow(
            self.id,
            settings.pool,
            self._host,
            settings.concurrency,
            0.0,
            0.0,
            self.active,
            self._draining,
        )

    def _sweep(self) -> None:
        while True:
            try:
                removed = sweep_sources(self._sources.folder) + self._backends.get().sweep()
                if removed:
                    _log.info("leftovers_removed", count=removed)
            except RunnerError as error:
                _log.warning("sweep_failed", error=error.message)
            except Exception:  # noqa: BLE001 - the next sweep may do better
                _log.exception("sweep_broke")
            if self._ending.wait(SWEEP_S):
                return
