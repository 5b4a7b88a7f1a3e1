"""``tasks explain``: what a property, a variable or a problem code means."""

from __future__ import annotations

import click

from tasks_service.cli.exit_codes import OK, USAGE


@click.command("explain")
@click.argument("name", default="")
def command(name: str) -> int:
    """Explain a property (steps.timeout), a variable (Run.ID) or a code (TF601).

    Without NAME it lists everything there is to ask for.
    """
    from tasks_service.plans.explain import explain, names, suggestion

    if not name:
        click.echo("\n".join(names()))
        return OK
    text = explain(name)
    if text is None:
        close = suggestion(name)
        click.echo(
            f"there is nothing called '{name}'; "
            + (f"did you mean '{close}'?" if close else "`tasks explain` lists all names"),
            err=True,
        )
        return USAGE
    click.echo(text)
    return OK
