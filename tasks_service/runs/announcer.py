"""Tell workers of new runs, after the commit and beside the answer.

In: runs and their pools. Out: a wake-up for each pool, soon. A broker that is away costs
nobody a second: what could not be told, the scheduler's sweep tells later.
"""

from __future__ import annotations

import threading
from typing import Protocol

from runners.model.errors import RunnerError
from tasks_service.process_log import get_logger
from tasks_service.store import Store

_JOIN_S = 3.0
_log = get_logger(__name__)


class Wake(Protocol):
    """The queue, as far as runs are concerned."""

    def wake(self, pool: str) -> None:
        """Tell the workers of ``pool`` that runs wait.

        Raises:
            Unavailable: The broker did not take it within its limit.
        """
        ...


class Announcer:
    """One thread that announces runs, several of a pool at once. Thread-safe.

    Only the runs it was told of are noted as announced: noting all that waits
    would cost more with each run that does.
    """

    def __init__(self, store: Store, queue: Wake) -> None:
        self._store = store
        self._queue = queue
        self._wanted = threading.Condition()
        self._pools: dict[str, list[str]] = {}
        self._closed = False
        self._thread: threading.Thread | None = None

    def announce(self, pool: str, run_id: str) -> None:
        """Have the workers of ``pool`` told of a run. Returns at once."""
        with self._wanted:
            if self._closed:
                return
            self._pools.setdefault(pool, []).append(run_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
                self._thread.start()
            self._wanted.notify()

    def close(self) -> None:
        """Tell what is left, and stop. Idempotent."""
        with self._wanted:
            self._closed = True
            self._wanted.notify()
            thread = self._thread
        if thread is not None:
            thread.join(_JOIN_S)

    def _run(self) -> None:
        while True:
            with self._wanted:
                while not self._pools:
                    if self._closed:
                        return
                    self._wanted.wait()
                pool = next(iter(self._pools))
                run_ids = self._pools.pop(pool)
            try:
                self._queue.wake(pool)
                self._store.runs.announced(*run_ids)
            except RunnerError as error:
                _log.warning("pool_not_announced", pool=pool, error=error.message)
            except Exception:  # noqa: BLE001 - without this thread all runs would wait for the sweep
                _log.exception("pool_not_announced", pool=pool)
