"""``tasks lint``: every problem of a task file at once, each at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.exit_codes import OK, USAGE
from tasks_service.cli.offline import DEFAULT_FILE, STAND_INS, compile_file, compile_options

if TYPE_CHECKING:
    from tasks_service.errors import Problem


@click.command("lint")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="Form of the problems.",
)
@compile_options
def command(files: tuple[str, ...], output: str, **parameters: Any) -> int:
    """Check task files; show every problem at once.

    Without FILE it checks acb.yaml; `-` is standard input. The exit code is 0
    without errors (warnings don't count), 2 with errors. Run variables that
    are not given get stand-ins, so that `app:$ID` is no mistake. Each problem has a
    code; `tasks explain CODE` tells more.
    """
    from tasks_service.plans.views.diagnostics import FORMATS

    problems: list[Problem] = []
    failed = False
    for name in files or (DEFAULT_FILE,):
        compiled = compile_file(name, parameters, STAND_INS)
        problems += compiled.problems
        failed = failed or not compiled.ok
    text = FORMATS[output](problems)
    if text:
        click.echo(text)
    return USAGE if failed else OK
