"""``tasks policies``: check a file of policies of base images before the service reads it."""

from __future__ import annotations

from pathlib import Path

import click

from tasks_service.cli.exit_codes import EPILOG


@click.group("policies", epilog=EPILOG)
def policies() -> None:
    """Check policies of base images."""


@policies.command("lint", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
def lint(file: Path) -> None:
    """Check FILE; show every problem at once. The exit code is 2 where there are any."""
    from tasks_service.triggers.policies import read_policies

    found = read_policies(file)
    click.echo(f"{file}: {len(found.items)} policies, no problems", err=True)
