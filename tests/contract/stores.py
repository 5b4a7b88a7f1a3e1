"""Stores for tests: SQLite always, PostgreSQL where ``make test`` started one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from runners.model.clock import ManualClock
from tasks_service.store import Store, open_store
from tasks_service.store.envelope import Envelope
from tasks_service.store.schema import upgrade

KINDS = ["sqlite", *(["postgresql"] if os.environ.get("TASKS_TEST_POSTGRES") else [])]
ENVELOPE = Envelope({"k1": bytes(range(32))})


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database of that kind; remove it afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'tasks.db'}"
        return
    server = os.environ["TASKS_TEST_POSTGRES"]
    name = f"test_{secrets.token_hex(6)}"
    admin = create_engine(
        "postgresql+psycopg://" + server.partition("://")[2], isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    address, question, options = server.partition("?")
    try:
        yield f"{address.rpartition('/')[0]}/{name}{question}{options}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@contextmanager
def opened(kind: str, folder: Path, clock: ManualClock | None = None) -> Iterator[Store]:
    """Yield a store with the newest schema. ``clock`` moves SQLite's time only."""
    with database(kind, folder) as url:
        store = open_store(url, ENVELOPE, **({"clock": clock} if clock else {}))
        upgrade(store.database)
        try:
            yield store
        finally:
            store.close()
