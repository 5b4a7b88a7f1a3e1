"""``tasks config``: every setting of the service, its value and where it came from."""

from __future__ import annotations

import json
from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.service.settings import load, settings_options


@click.command("config", epilog=EPILOG)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
)
@settings_options("state_dir")
def command(output: str, **parameters: Any) -> None:
    """Show every setting of the service, its value and where it came from.

    A setting NAME is given by `--name`, by TASKSD_NAME, by TASKSD_NAME_FILE (a
    file that holds it), or in the file that --config or TASKSD_CONFIG names; the
    first that is there wins. Secrets are not shown. Wrong settings are all told.
    """
    origins = load(parameters).origins
    if output == "json":
        body = [
            {"name": o.name, "value": o.value, "source": o.source, "help": o.help} for o in origins
        ]
        click.echo(json.dumps(body, indent=2))
        return
    wide = max(len(origin.name) for origin in origins)
    value = min(40, max(len(origin.value) for origin in origins))
    for origin in origins:
        click.echo(f"{origin.name:{wide}}  {origin.value:{value}}  {origin.source}")
