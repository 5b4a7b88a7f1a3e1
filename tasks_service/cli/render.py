"""``tasks render``: what a task file becomes, aliases and values applied."""

from __future__ import annotations

from typing import Any

import click

from tasks_service.cli.exit_codes import OK, USAGE
from tasks_service.cli.offline import DEFAULT_FILE, compile_file, compile_options


@click.command("render")
@click.argument("file", default=DEFAULT_FILE)
@compile_options
def command(file: str, **parameters: Any) -> int:
    """Show a task file after aliases and templates, secrets masked.

    FILE is acb.yaml without; `-` is standard input. This is the text that
    `plan` and `run` read. The exit code is 2 where the text can't be rendered;
    mistakes in what it says are for `tasks lint`.
    """
    from tasks_service.plans.masking import mask_text
    from tasks_service.plans.views.diagnostics import as_text

    compiled = compile_file(file, parameters)
    if compiled.render_failed:
        click.echo(as_text(compiled.errors), err=True)
        return USAGE
    click.echo(mask_text(compiled.rendered, compiled.mask), nl=False)
    return OK
