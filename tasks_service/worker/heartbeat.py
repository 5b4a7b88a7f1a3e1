"""Leases of all runs this worker holds: renewed, watched, and given up in time.

Two threads. One talks to the database: it renews leases, learns of cancels
and tells that the worker is alive. The other never waits for anything: a run
whose lease could not be renewed is stopped by it, however the database hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runners.model.errors import RunnerError
from tasks_service.config import Settings
from tasks_service.model.access import Worker as WorkerRow
from tasks_service.process_log import get_logger
from tasks_service.store import Store
from tasks_service.worker.held import Held

LOOK_S = 1.0
FORCE_S = 60.0
"""How long a stopped run gets to clean up before its runner is destroyed."""
_log = get_logger(__name__)


class Heartbeat:
    """Keeps the runs that were added, until they are removed. Thread-safe.

    Args:
        settings: Times.
        store: Where leases are.
        row: What this worker tells of itself.
    """

    def __init__(self, settings: Settings, store: Store, row: Callable[[], WorkerRow]) -> None:
        self._settings = settings
        self._store = store
        self._row = row
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Held, Callable[[], None]]] = {}
        self._stopping = threading.Event()
        self._beat = threading.Event()
        self._threads: list[threading.Thread] = []
        self._renewed = 0.0
        self.answered = time.monotonic()
        """When the database answered last, on the monotonic clock."""

    def start(self) -> None:
        """Begin."""
        for work, name in ((self._talk, "heartbeat"), (self._watch, "lease-watch")):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End, once nothing is held."""
        self._stopping.set()
        self._beat.set()
        for thread in self._threads:
            thread.join(2 * LOOK_S)

    def add(self, held: Held, force: Callable[[], None]) -> None:
        """Keep a run; ``force`` destroys its runner at once."""
        with self._lock:
            self._held[held.run_id] = (held, force)

    def remove(self, held: Held) -> None:
        """Let go of a run that is over."""
        with self._lock:
            self._held.pop(held.run_id, None)

    def held(self) -> tuple[Held, ...]:
        """Return all runs that are held."""
        with self._lock:
            return tuple(held for held, _ in self._held.values())

    def beat(self) -> None:
        """Have the worker's own row written soon, as when it begins to drain."""
        self._renewed = 0.0
        self._beat.set()

    def _talk(self) -> None:
        failing = False
        while not self._stopping.is_set():
            try:
                self._once()
                self.answered = time.monotonic()
                failing = False
            except RunnerError as error:
                if not failing:
                    _log.warning("heartbeat_failed", error=error.message)
                failing = True
            except Exception:  # noqa: BLE001 - leases must be tried again whatever broke
                _log.exception("heartbeat_broke")
            self._beat.wait(LOOK_S)
            self._beat.clear()

    def _once(self) -> None:
        held = {item.run_id: item for item in self.held()}
        fences = {run_id: item.fence for run_id, item in held.items()}
        started = time.monotonic()
        if started - self._renewed >= self._settings.heartbeat:
            row = self._row()
            self._store.workers.tell(row)
            news = (
                self._store.leases.renew(row.id, fences, lease_s=self._settings.lease)
                if fences
                else ()
            )
            self._renewed = started
            for renewal in news:
                if renewal.held:
                    held[renewal.run_id].renewed(started + self._settings.lease)
        else:
            news = self._store.leases.look(fences)
        for renewal in news:
            run = held[renewal.run_id]
            if not renewal.held:
                run.lose("the run is not this worker's any more")
            elif renewal.cancel_reason:
                run.ask(renewal.cancel_reason, renewal.cancel_code)

    def _watch(self) -> None:
        while not self._stopping.wait(min(LOOK_S, self._settings.lease / 10)):
            with self._lock:
                held = tuple(self._held.values())
            for run, force in held:
                if not run.valid:
                    run.lose("the lease could not be renewed in time")
                since = run.stopped_at
                if since is not None and time.monotonic() - since > FORCE_S:
                    _log.warning("run_forced", run_id=run.run_id)
                    # Destroying a runner may take long; no other run waits for it.
                    threading.Thread(target=force, name="force", daemon=True).start()
                    self.remove(run)
