"""Runs of workers of this machine that died: found at a start, not a lease later.

A worker's id holds its host and process: one that is not there any more can't
hold a run. Called before a worker starts; the scheduler decides about the runs.
"""

from __future__ import annotations

import os
import socket

from tasks_service.process_log import get_logger
from tasks_service.store import Store

_log = get_logger(__name__)


def expire_dead_workers(store: Store) -> int:
    """End the leases of dead workers of this machine; return how many workers that were."""
    host, count = socket.gethostname(), 0
    for worker in store.workers.list():
        process = _process(worker.id, host) if worker.host == host else None
        if process is not None and not _lives(process):
            _log.warning("worker_is_dead", worker=worker.id)
            store.recovery.expire(worker.id)
            count += 1
    return count


def _process(worker_id: str, host: str) -> int | None:
    process = worker_id.removeprefix(f"{host}-").partition("-")[0]
    return int(process) if process.isascii() and process.isdecimal() else None


def _lives(process: int) -> bool:
    if process == os.getpid():
        # A fresh start with the number of the one before, as in containers.
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
