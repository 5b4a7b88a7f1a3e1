"""The database connection: transactions that are retried whole, and its own clock.

In: a URL. Out: Database, whose ``read`` and ``write`` run a function in one
transaction. SQLite is set to WAL and full durability, and takes its write
lock at the start of a write: a transaction that reads before it writes would
else fail at once where another one writes (F34).
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Float

from runners.model.clock import SYSTEM_CLOCK, Clock
from runners.model.errors import InvalidInput, Unavailable

T = TypeVar("T")

BUSY_S = 5.0
_TRIES = 6
_WRITE = "tasks_write"
# Serialization failure, deadlock, and a server that goes away or comes up.
_RETRYABLE = ("40001", "40P01", "57P01", "57P02", "57P03", "08000", "08003", "08006")


class now(FunctionElement[float]):  # noqa: N801 - used like a function of SQL
    """Seconds since the epoch by the database's clock: all machines agree on leases."""

    type = Float()
    inherit_cache = True


@compiles(now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    del element, compiler, kw
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    del element, compiler, kw
    return "tasks_now()"


class Database:
    """One database. Thread-safe.

    Args:
        url: ``sqlite:///path`` or ``postgresql://…``.
        clock: What SQLite's ``now()`` tells; PostgreSQL asks its server.
        pool_size: Most connections at once.
    """

    def __init__(self, url: str, *, clock: Clock = SYSTEM_CLOCK, pool_size: int = 20) -> None:
        self.engine = _engine(url, clock, pool_size)
        # SQLite's writers ask again and again for its one lock, and the unlucky
        # never get it under load. Ours stand in a line.
        self._line: AbstractContextManager[object] = (
            threading.Lock() if self.is_sqlite else nullcontext()
        )

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, where writes are one at a time."""
        return self.engine.dialect.name == "sqlite"

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that only reads; may run it again.

        Raises:
            Unavailable: The database does not answer.
        """
        return self._run(work, self.engine, nullcontext())

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction, and all of it again after a conflict.

        ``work`` must do nothing that can't be done twice.

        Raises:
            Unavailable: The database does not answer, or stays locked.
        """
        writing = self.engine.execution_options(**{_WRITE: True})
        return self._run(work, writing, self._line)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _run(
        self,
        work: Callable[[Connection], T],
        engine: Engine,
        line: AbstractContextManager[object],
    ) -> T:
        for attempt in range(1, _TRIES + 1):
            try:
                with line, engine.begin() as connection:
                    return work(connection)
            except (DBAPIError, PoolTimeout) as error:
                if attempt == _TRIES or not _may_retry(error):
                    raise _translated(error) from error
                time.sleep(random.uniform(0.5, 1) * 0.05 * 2**attempt)  # noqa: S311
        raise AssertionError("the loop returns or raises")


def _may_retry(error: Exception) -> bool:
    if isinstance(error, PoolTimeout):
        return False
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return state in _RETRYABLE


def _translated(error: Exception) -> Exception:
    if isinstance(error, PoolTimeout):
        return Unavailable("the database has no free connection", hint="raise its limits")
    if isinstance(error, OperationalError | InterfaceError) or getattr(
        error, "connection_invalidated", False
    ):
        cause = getattr(error, "orig", error)
        locked = isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause)
        if locked:
            return Unavailable(
                "the database is locked by another process",
                hint="only this service may write to its database",
            )
        return Unavailable(f"the database does not answer: {_first_line(cause)}")
    return error


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]


def _engine(url: str, clock: Clock, pool_size: int) -> Engine:
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
        return create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=BUSY_S,
            pool_pre_ping=False,
            connect_args={"connect_timeout": 5, "application_name": "tasks-service"},
        )
    if not url.startswith("sqlite:///"):
        shown = url.partition(":")[0][:20]
        raise InvalidInput(
            f"database_url: '{shown}:' is no database of ours",
            hint="use postgresql://… or sqlite:///path",
        )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=BUSY_S,
        # Transactions are begun by us: the driver would begin them too late.
        connect_args={"timeout": BUSY_S, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, record: object) -> None:
        del record
        connection.create_function("tasks_now", 0, lambda: clock.now().timestamp())
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"busy_timeout = {int(BUSY_S * 1000)}",
            "cache_size = -16000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def moment(connection: Connection) -> float:
    """Return the database's time."""
    return float(connection.execute(select(now())).scalar_one())
