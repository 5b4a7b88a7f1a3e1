"""Databases that are locked, killed and cut off (F34, F35): nothing is lost or half-written."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from runners.model.errors import Unavailable
from runners.model.status import RunStatus
from tasks_service.devstack.databases import PostgresServer
from tasks_service.model.run import NewRun, RunEnd, RunFilter, RunRequest
from tasks_service.store import Store, open_store
from tasks_service.store.schema import upgrade
from tests.contract.stores import ENVELOPE, opened

NEW = NewRun(RunRequest(command="x"))
DONE = RunEnd(RunStatus.SUCCEEDED, {"steps": []})
_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process keeps the database to itself."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.communicate()


def test_writers_wait_for_a_lock_that_goes_away(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as store, ThreadPoolExecutor(20) as pool:
        with held(tmp_path / "tasks.db"):
            work = [
                pool.submit(store.runs.accept, NEW, run_id=f"r{number}") for number in range(20)
            ]
            while sum(future.running() for future in work) < 20:
                time.sleep(0.01)
        assert [future.result(20).id for future in work] == [f"r{n}" for n in range(20)]
        assert len(store.runs.list(RunFilter()).runs) == 20


def test_a_lock_that_stays_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as store:
        with held(tmp_path / "tasks.db"):
            began = time.monotonic()
            with pytest.raises(Unavailable, match="locked"):
                store.runs.accept(NEW, run_id="r1")
            assert time.monotonic() - began < 8
        assert store.runs.get("r1") is None
        assert store.runs.accept(NEW, run_id="r1").status is RunStatus.QUEUED


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PostgresServer(tmp_path / "data", port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def store(server: PostgresServer) -> Iterator[Store]:
    store = open_store(server.url, ENVELOPE)
    upgrade(store.database)
    try:
        yield store
    finally:
        store.close()


def until_accepted(store: Store, run_id: str) -> None:
    """Accept a run as a client would that is told to try again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            store.runs.accept(NEW, run_id=run_id)
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_a_killed_server_costs_time_only(server: PostgresServer, store: Store) -> None:
    store.runs.accept(NEW, run_id="held")
    claim = store.leases.claim("default", owner="w", lease_s=60)
    assert claim is not None
    stop = threading.Event()

    def load(number: int) -> int:
        count = 0
        while not stop.is_set():
            until_accepted(store, f"r{number}-{count}")
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(load, number) for number in range(4)]
        while len(store.runs.list(RunFilter(), limit=500).runs) < 50:
            time.sleep(0.01)
        server.kill()
        with pytest.raises(Unavailable):
            store.runs.get("held")
        server.start()
        until_accepted(store, "after")
        stop.set()
        accepted = sum(future.result(40) for future in work)
    found, cursor = 0, ""
    while True:
        page = store.runs.list(RunFilter(), limit=500, cursor=cursor)
        found += len(page.runs)
        if not (cursor := page.cursor):
            break
    # Accepting twice under one id is accepting once.
    assert found == accepted + 2
    store.leases.finish("held", claim.fence, DONE)
    assert store.runs.find("held").status is RunStatus.SUCCEEDED


def test_connections_that_are_cut_are_replaced(store: Store) -> None:
    for number in range(5):
        store.runs.accept(NEW, run_id=f"a{number}")
        with store.database.engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND application_name = 'tasks-service'"
                )
            )
        store.runs.accept(NEW, run_id=f"b{number}")
    assert len(store.runs.list(RunFilter()).runs) == 10


def test_runs_of_a_task_with_a_limit_begin_in_their_order(store: Store) -> None:
    for number in range(3):
        new = NewRun(RunRequest(command="x"), task="t", task_limit=1)
        store.runs.accept(new, run_id=f"r{number}")
    with store.database.engine.begin() as other:
        # As a claim does that finds the task at its limit, and lets go again.
        other.execute(text("SELECT 1 FROM runs WHERE id = 'r0' FOR UPDATE"))
        assert store.leases.claim("default", owner="early", lease_s=60) is None
    claimed = store.leases.claim("default", owner="w", lease_s=60)
    assert claimed is not None
    assert claimed.run.id == "r0"
    assert store.leases.claim("default", owner="w", lease_s=60) is None
