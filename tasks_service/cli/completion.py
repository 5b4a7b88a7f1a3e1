"""``tasks completion``: a script for the shell's start file."""

from __future__ import annotations

import click

from tasks_service.cli.exit_codes import EPILOG


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    \b
    bash:  eval "$(tasks completion bash)"
    zsh:   eval "$(tasks completion zsh)"
    fish:  tasks completion fish | source
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "tasks", "_TASKS_COMPLETE").source())
