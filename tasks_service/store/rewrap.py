"""Rotation of the sealing key: every sealed column of every table, row by row."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Column, Connection, Table, select, update

from tasks_service.store.database import Database
from tasks_service.store.envelope import Envelope
from tasks_service.store.hook_tables import commit_hooks
from tasks_service.store.rows import hook_place, notification_place, run_place, task_place
from tasks_service.store.tables import notifications, runs, tasks

_SEALED: tuple[tuple[Table, Column[str], Callable[[str], str]], ...] = (
    (runs, runs.c.id, run_place),
    (tasks, tasks.c.name, task_place),
    (notifications, notifications.c.name, notification_place),
    (commit_hooks, commit_hooks.c.id, hook_place),
)


def rewrap_all(database: Database, envelope: Envelope) -> int:
    """Rewrap what is sealed and return how many secrets there are; see Store.rewrap."""
    count = 0
    for table, key, place in _SEALED:
        names = database.read(_names(table, key))
        for name in names:
            database.write(_one(table, key, name, place(name), envelope))
            count += 1
    return count


def _names(table: Table, key: Column[str]) -> Callable[[Connection], list[str]]:
    query = select(key).where(table.c.secrets.is_not(None))
    return lambda connection: list(connection.execute(query).scalars())


def _one(
    table: Table, key: Column[str], name: str, place: str, envelope: Envelope
) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        sealed = connection.execute(select(table.c.secrets).where(key == name)).scalar()
        if sealed:
            connection.execute(
                update(table).where(key == name).values(secrets=envelope.rewrap(sealed, place))
            )

    return work
