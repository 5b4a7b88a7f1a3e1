"""``tasks db``: the schema of the database, and what it holds sealed."""

from __future__ import annotations

from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.service.settings import load, settings_options


@click.group("db", epilog=EPILOG)
def command() -> None:
    """Look after the service's database."""


@command.command("upgrade")
@settings_options("state_dir", "database_url")
def upgrade(**parameters: Any) -> None:
    """Bring the schema to what this version needs. Back the database up first."""
    from tasks_service.daemons import administration

    before, after = administration.upgrade_schema(load(parameters).settings)
    if before == after:
        click.echo(f"the schema is at {after} already")
    else:
        click.echo(f"upgraded from {before or 'nothing'} to {after}")


@command.command("current")
@settings_options("state_dir", "database_url")
def current(**parameters: Any) -> None:
    """Print the schema's version, and the one this version needs."""
    from tasks_service.daemons import administration

    found, needed = administration.schema_versions(load(parameters).settings)
    click.echo(f"{found or 'empty'} (needs {needed})")


@command.command("rotate-keys")
@settings_options("state_dir", "database_url")
def rotate_keys(**parameters: Any) -> None:
    """Seal all secrets under a fresh key and drop the old ones.

    Every process of the service must be stopped: one that runs would go on
    sealing with a key that is dropped.
    """
    from tasks_service.daemons import administration

    count = administration.rotate_keys(load(parameters).settings)
    click.echo(f"sealed {count} secrets under a fresh key; old keys are gone")


@command.command("admin-token")
@settings_options("state_dir", "database_url")
def admin_token(**parameters: Any) -> None:
    """Make an admin token and print it, once: for who lost theirs.

    Whoever can read the state folder may do so; the audit log names it.
    """
    from tasks_service.daemons import administration

    click.echo(administration.new_admin_token(load(parameters).settings).text)
