"""``tasks up``, ``server``, ``scheduler`` and ``worker``: the service itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.service.settings import load, settings_options

if TYPE_CHECKING:
    from tasks_service.daemons.processes import Ready

_LOGGING = ("log_format", "log_level")
_token_file = click.option(
    "--admin-token-file",
    "token_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the first admin token there instead of printing it.",
)


@click.command("up", epilog=EPILOG)
@settings_options(
    "state_dir",
    "listen",
    "registry",
    "concurrency",
    "drain",
    "backend",
    "isolation",
    "runner_state_dir",
    *_LOGGING,
)
@_token_file
def up(token_file: Path | None, **parameters: Any) -> None:
    """Run the whole service on this machine: API, scheduler, worker, database and queue.

    The first start makes everything and prints an admin token, once. Ctrl-C or
    SIGTERM lets runs end first; a second one does not.

    \b
    tasks up
    tasks up --listen 0.0.0.0:8080 --registry registry.example --concurrency 4
    """  # fmt: skip
    from tasks_service.daemons.processes import run_up

    run_up(load(parameters).settings, _say_up, token_file=token_file)


@click.command("server", epilog=EPILOG)
@settings_options(
    "state_dir", "listen", "metrics_listen", "database_url", "redis_url", "registry", *_LOGGING
)
@_token_file
def server(token_file: Path | None, **parameters: Any) -> None:
    """Serve the REST API, apart from scheduler and workers."""
    from tasks_service.daemons.processes import run_server

    run_server(load(parameters).settings, _say_up, token_file=token_file)


@click.command("scheduler", epilog=EPILOG)
@settings_options("state_dir", "metrics_listen", "database_url", "redis_url", *_LOGGING)
def scheduler(**parameters: Any) -> None:
    """Look after runs nobody looks after: announce, recover, clean up. Several may run."""
    from tasks_service.daemons.processes import run_scheduler

    run_scheduler(load(parameters).settings, _say_plain("scheduler"))


@click.command("worker", epilog=EPILOG)
@settings_options(
    "state_dir",
    "metrics_listen",
    "database_url",
    "redis_url",
    "registry",
    "pool",
    "concurrency",
    "drain",
    "backend",
    "isolation",
    "runner_state_dir",
    *_LOGGING,
)
def worker(**parameters: Any) -> None:
    """Execute runs of one pool. Ctrl-C or SIGTERM lets them end first; a second one does not."""
    from tasks_service.daemons.processes import run_worker

    run_worker(load(parameters).settings, _say_plain("worker"))


def _say_up(ready: Ready) -> None:
    url = f"http://{ready.address}"
    lines = [f"Serving {url}"]
    if ready.token is not None:
        lines += [
            "",
            f"Admin token, shown this once: {ready.token.text}",
            "",
            "In another shell:",
            f"  tasks context add here {url}      # asks for the token",
            "  tasks run /dev/null --cmd 'IMAGE echo hello'",
            "  tasks runs list",
        ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _say_plain(name: str) -> Any:
    def say(ready: Ready) -> None:
        where = f", health at http://{ready.address}" if ready.address else ""
        sys.stdout.write(f"{name} runs{where}\n")
        sys.stdout.flush()

    return say
