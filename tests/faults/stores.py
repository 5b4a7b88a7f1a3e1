"""Faults of the place where logs go: it hangs, or it is full."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import text

from runners.model.status import RunStatus
from tasks_service.store import Store, open_store
from tasks_service.store.schema import upgrade
from tests.contract.stores import ENVELOPE
from tests.faults.process import script
from tests.faults.service import Inside, check_invariants, inside, wait_for

HELD_S = 9.0
STEP_S = 7.5
"""A step is held 5 s at most; the rest is its own work."""
PATIENT = {"lease": 40.0, "heartbeat": 1.0}
_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(store: Store) -> Iterator[None]:
    """Keep all from writing logs: somebody else has the database, or its table of logs."""
    url = store.database.engine.url
    if url.get_backend_name() == "sqlite":
        with subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(url.database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            try:
                yield
            finally:
                process.communicate()
        return
    with store.database.engine.begin() as connection:
        connection.execute(text("LOCK TABLE log_chunks IN ACCESS EXCLUSIVE MODE"))
        yield


def hangs_under_output(service: Inside) -> None:
    """F24: nobody takes logs for seconds: the step goes on, what was dropped is marked."""
    service.settings = replace(service.settings, **PATIENT)  # type: ignore[arg-type]
    service.accept("r1", "sleep-1000", "flood-48", timeout_s=120)
    service.worker(script)
    wait_for(lambda: "begun" in service.log("r1"))
    with held(service.store):
        time.sleep(HELD_S)
    (run,) = service.ended(within_s=60)
    assert run.status is RunStatus.SUCCEEDED, run
    step = run.record["steps"][1]
    log = service.log("r1", step="s2")
    assert log.startswith("000000 f")
    assert "end\n" in log[-200:]
    assert run.log_state.startswith(("lost ", "complete")), run.log_state
    took = moment_of(step["finishTime"]) - moment_of(step["startTime"])
    assert took < STEP_S, step
    check_invariants(service)


def moment_of(told: str) -> float:
    """Return the seconds of an RFC 3339 time."""
    return datetime.fromisoformat(told).timestamp()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """Have a disk of that size at a folder."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def full_under_output(service: Inside) -> None:
    """F24: the disk of database and logs is full: the step ends; told once there is room."""
    place = service.settings.state_dir / "small"
    with small_disk(place, "6m"):
        store = open_store(f"sqlite:///{place / 'tasks.db'}", ENVELOPE)
        upgrade(store.database)
        try:
            with inside(store, place, **PATIENT) as small:
                small.accept("r1", "flood-24", timeout_s=120)
                small.worker(script)
                time.sleep(HELD_S)
                assert small.run("r1").status is RunStatus.RUNNING
                words = ["mount", "-o", "remount,size=256m", str(place)]
                subprocess.run(words, check=True)
                (run,) = small.ended(within_s=60)
                assert run.status is RunStatus.SUCCEEDED, run
                assert "end\n" in small.log("r1", step="s1")[-200:]
                check_invariants(small)
        finally:
            store.close()
