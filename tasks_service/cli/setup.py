"""``tasks setup``: make this machine ready for runs.

In: a state folder. Out: an engine whose users are remapped, the runner image
in it, and the note of both that ``tasks run`` and workers read. What is there
already is used; called by ``main``.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import state_directory


@click.command("setup", epilog=EPILOG)
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to keep it: $TASKS_STATE_DIR, or the user's own place.",
)
@click.option("--remove", is_flag=True, help="Stop and remove what it made instead.")
def command(state_dir: Path | None, remove: bool) -> None:
    """Make this machine ready for runs: a Docker Engine for runners, and their image.

    An engine that runs here and remaps users is used as it is. Else a private
    one is started beside it (as root; Debian's packages are installed where they
    are missing). Once is enough; after a restart of the machine it starts what it
    started before.

    \b
    tasks setup && tasks doctor
    """  # fmt: skip
    from tasks_service.devstack import stack
    from tasks_service.devstack.layout import CHECKOUT, Layout, exclusive

    folder = (state_dir or state_directory(os.environ)).absolute()
    where = Layout(CHECKOUT, folder)
    with exclusive(where, "tasks setup"):
        if remove:
            stack.down(where)
            return
        engine = stack.prepare_runners(where)
    click.echo(f"ready: runners live in {engine.address}, their state in {folder}")
