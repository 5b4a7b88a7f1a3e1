"""Stored tasks: definitions as text, their secrets sealed beside them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tasks_service.errors import Conflict, NotFound, VersionMismatch
from tasks_service.model.run import RunSecrets
from tasks_service.model.task import Task, TaskDefinition, TaskSecretNames
from tasks_service.store.database import Database, now
from tasks_service.store.edges import forget_task
from tasks_service.store.envelope import Envelope
from tasks_service.store.rows import open_secrets, seal_secrets, task_place
from tasks_service.store.tables import tasks
from tasks_service.store.timer_rows import sync_timers

_DEFINITION = TypeAdapter(TaskDefinition)
_NAMES = TypeAdapter(TaskSecretNames)


class TaskStore:
    """The stored tasks. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def create(self, definition: TaskDefinition, secrets: RunSecrets) -> Task:
        """Store a new task.

        Raises:
            Conflict: There is one of that name.
        """
        values = self._values(definition, secrets)

        def work(connection: Connection) -> Task:
            row = connection.execute(
                insert(tasks)
                .values(name=definition.name, created=now(), updated=now(), version=1, **values)
                .returning(tasks)
            ).one()
            sync_timers(connection, definition)
            return task_of(row)

        try:
            return self._db.write(work)
        except IntegrityError as error:
            raise Conflict(
                f"there is a task '{definition.name}' already",
                hint="change it by `tasks update`, or choose another name",
            ) from error

    def replace(
        self, definition: TaskDefinition, secrets: RunSecrets, *, version: int | None = None
    ) -> Task:
        """Replace a task's definition and secrets, whole.

        Args:
            version: Replace only this version; None replaces any.

        Raises:
            NotFound: There is no such task.
            VersionMismatch: It has another version.
        """
        values = self._values(definition, secrets)

        def work(connection: Connection) -> Task:
            change = update(tasks).where(tasks.c.name == definition.name)
            if version is not None:
                change = change.where(tasks.c.version == version)
            row = connection.execute(
                change.values(version=tasks.c.version + 1, updated=now(), **values).returning(tasks)
            ).one_or_none()
            if row is not None:
                sync_timers(connection, definition)
                return task_of(row)
            if _row(connection, definition.name) is None:
                raise _missing(definition.name)
            raise _changed(definition.name)

        return self._db.write(work)

    def get(self, name: str) -> Task | None:
        """Return a task, or None."""
        row = self._db.read(lambda connection: _row(connection, name))
        return None if row is None else task_of(row)

    def find(self, name: str) -> Task:
        """Return a task that must be there.

        Raises:
            NotFound: It is not.
        """
        task = self.get(name)
        if task is None:
            raise _missing(name)
        return task

    def secrets(self, name: str) -> RunSecrets:
        """Return a task's secrets; empty where there is no such task."""
        row = self._db.read(lambda connection: _row(connection, name))
        if row is None:
            return RunSecrets()
        return open_secrets(self._envelope, row.secrets, task_place(name))

    def list(self, *, after: str = "", limit: int = 50) -> tuple[Task, ...]:
        """Return tasks whose names follow ``after``, by name."""

        def work(connection: Connection) -> tuple[Task, ...]:
            query = select(tasks).where(tasks.c.name > after).order_by(tasks.c.name).limit(limit)
            return tuple(task_of(row) for row in connection.execute(query))

        return self._db.read(work)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """Forget a task; its runs stay.

        Raises:
            NotFound: There is no such task.
            VersionMismatch: It has another version.
        """

        def work(connection: Connection) -> None:
            gone = delete(tasks).where(tasks.c.name == name)
            if version is not None:
                gone = gone.where(tasks.c.version == version)
            if connection.execute(gone.returning(tasks.c.name)).one_or_none() is not None:
                forget_task(connection, name)
                return
            raise _missing(name) if _row(connection, name) is None else _changed(name)

        self._db.write(work)

    def _values(self, definition: TaskDefinition, secrets: RunSecrets) -> dict[str, Any]:
        return {
            "definition": _DEFINITION.dump_json(definition, exclude_defaults=True).decode(),
            "secrets": seal_secrets(self._envelope, secrets, task_place(definition.name)),
            "secret_names": _NAMES.dump_json(TaskSecretNames.of(secrets)).decode(),
        }


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(tasks).where(tasks.c.name == name)).one_or_none()


def task_of(row: Row[Any]) -> Task:
    """Return the task of a row of ``tasks``."""
    return Task(
        _DEFINITION.validate_json(row.definition),
        row.version,
        row.created,
        row.updated,
        _NAMES.validate_json(row.secret_names),
    )


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no task {name[:60]!r}", hint="`tasks list` shows them")


def _changed(name: str) -> VersionMismatch:
    return VersionMismatch(
        f"task '{name}' was changed since it was read", hint="read it again, then change it"
    )
