"""Removal of containers, off the path of the run.

Container ids in, nothing left of them. Used by clients/docker_run.py and
clients/docker_volumes.py.
"""

from __future__ import annotations

import logging
import queue
import threading
from urllib.parse import quote

from runners.clients.docker_sdk import EngineClient
from runners.model.errors import RunnerError

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""How long removals are waited for; an engine that takes longer is lost."""


class Reaper:
    """Removes containers with their anonymous volumes, off the path of the run."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Condition()
        self._pending: set[str] = set()
        self._thread: threading.Thread | None = None

    def remove(self, container: str) -> None:
        """Remove ``container`` soon, whatever its state. Idempotent; returns at once."""
        with self._lock:
            if container in self._pending:
                return
            self._pending.add(container)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="reaper", daemon=True)
                self._thread.start()
        self._jobs.put(container)

    def wait_for(self, container: str) -> None:
        """Block until ``container`` is gone, or could not be removed."""
        with self._lock:
            self._lock.wait_for(lambda: container not in self._pending, PATIENCE_S)

    def close(self, *, wait: bool) -> None:
        """End the thread, after all removals if ``wait``."""
        with self._lock:
            thread = self._thread
        if thread is None:
            return
        self._jobs.put(None)
        if wait:
            thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while (container := self._jobs.get()) is not None:
            remove_container(self._client, container)
            with self._lock:
                self._pending.discard(container)
                self._lock.notify_all()


def remove_container(client: EngineClient, container: str) -> None:
    """Remove a container by force, with its anonymous volumes (F39). Never raises."""
    try:
        client.call(
            "DELETE",
            f"/containers/{quote(container)}",
            "removing a container",
            params={"force": "1", "v": "1"},
        )
    except RunnerError as error:
        log.debug("%s", error)
