"""The schema's version: upgrade a database, tell where it stands.

Called by ``tasks db`` and at a daemon's start. Several processes may upgrade
at once: on PostgreSQL they wait for each other, on SQLite the write lock
does the same.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from runners.model.errors import SystemFault
from tasks_service.store.database import Database

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 7_201_953
"""Any number that nothing else of ours locks."""


class SchemaTooNew(SystemFault):
    """The database was upgraded by a newer version of the service."""

    code = "schema_too_new"


def head() -> str:
    """Return the version this code needs."""
    found = ScriptDirectory(str(_FOLDER)).get_current_head()
    assert found is not None  # noqa: S101 - there is a first migration
    return found


def current(database: Database) -> str | None:
    """Return the database's version; None for an empty one."""
    return database.read(_current)


def check_known(version: str | None) -> None:
    """Raise SchemaTooNew for a version of the schema that this code does not know."""
    if version is not None and version not in _known():
        raise SchemaTooNew(
            f"the database is at version {version}, which this version of tasks does not know",
            hint="use the newer version, or restore the backup made before its upgrade",
        )


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the database to ``head`` and return the versions before and after. Idempotent.

    Raises:
        SchemaTooNew: It has a version this code does not know.
        Unavailable: It does not answer.
    """

    def work(connection: Connection) -> str | None:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = _current(connection)
        check_known(before)
        config = Config()
        config.set_main_option("script_location", str(_FOLDER))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before

    return database.write(work), head()


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _known() -> frozenset[str]:
    return frozenset(step.revision for step in ScriptDirectory(str(_FOLDER)).walk_revisions())
