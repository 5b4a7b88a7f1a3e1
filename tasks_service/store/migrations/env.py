"""What Alembic runs: our tables, on the connection that ``schema`` hands over."""

from __future__ import annotations

from alembic import context

from tasks_service.store.tables import metadata


def migrate() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite changes a table by copying it.
        render_as_batch=connection.dialect.name == "sqlite",
        # The tables of every step are there, or none: one transaction.
        transactional_ddl=True,
    )
    context.run_migrations()


migrate()
