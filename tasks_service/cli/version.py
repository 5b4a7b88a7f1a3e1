"""``tasks version``: what is installed here."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import click


def version_line() -> str:
    """Return the one line of ``tasks --version``."""
    return f"tasks {installed_version()}"


def installed_version() -> str:
    """Return the version of the installed package, or ``unknown``."""
    try:
        return version("tasks-service")
    except PackageNotFoundError:
        return "unknown"


@click.command("version")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def command(output: str) -> None:
    """Print the version."""
    if output == "text":
        click.echo(version_line())
        return
    facts = {
        "version": installed_version(),
        "python": platform.python_version(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
    click.echo(json.dumps(facts, indent=2))
