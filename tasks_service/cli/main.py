"""Entry point of the ``tasks`` command: find the verb, import only its module.

In: argv. Out: an exit code. To add a command, write a module beside this one
whose module-level ``command`` is a click command, and add its line to
``TOPICS``: nothing else is imported until it is called, so that ``--help``
stays fast.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from tasks_service.cli.exit_codes import EPILOG, OK
from tasks_service.cli.lazy import LazyGroup

_REMOTE = "tasks_service.cli.remote"
TOPICS: dict[str, dict[str, tuple[str, str]]] = {
    "Build and run": {
        "run": ("tasks_service.cli.run", "Run a task file or a stored task, here or on a server."),
        "build": ("tasks_service.cli.build", "Build an image from a Dockerfile and push it."),
    },
    "Stored tasks": {
        "create": (f"{_REMOTE}.tasks:create", "Store a task on the server, or replace it."),
        "update": (f"{_REMOTE}.tasks:update", "Change parts of a stored task."),
        "list": (f"{_REMOTE}.tasks:list_tasks", "List stored tasks."),
        "show": (f"{_REMOTE}.tasks:show", "Show a stored task."),
        "delete": (f"{_REMOTE}.tasks:delete", "Delete stored tasks."),
        "apply": (f"{_REMOTE}.apply:apply", "Make stored tasks as files say."),
        "export": (f"{_REMOTE}.apply:export", "Print stored tasks as such files."),
        "credential": (f"{_REMOTE}.credential", "Give a task logins of registries."),
        "timer": (f"{_REMOTE}.timer", "Start a task by the clock."),
        "trigger": (f"{_REMOTE}.trigger", "Start a task by pushes to its repository."),
        "task": (f"{_REMOTE}.aliases", "The same under the names of `az acr task`."),
    },
    "Runs": {
        "runs": (f"{_REMOTE}.runs", "List, show, cancel, repeat and keep runs."),
        "logs": (f"{_REMOTE}.logs", "Print the log of a run, or follow it."),
        "wait": (f"{_REMOTE}.wait", "Wait until runs end."),
        "rollback": (f"{_REMOTE}.rollback", "Put a tag back to what an earlier run pushed."),
    },
    "Base images": {
        "why": (f"{_REMOTE}.images:why", "Tell why an image was rebuilt, or was not."),
        "graph": (f"{_REMOTE}.images:graph", "Show which images stand on which."),
        "impact": (f"{_REMOTE}.images:impact", "Show what would be rebuilt if an image moved."),
        "stale": (f"{_REMOTE}.images:stale", "List tasks that stand on something older."),
        "policies": ("tasks_service.cli.policies:policies", "Check policies of base images."),
        "watch": (f"{_REMOTE}.waves:watch", "Look at watched references; ask for all now."),
        "waves": (f"{_REMOTE}.waves:waves", "List, show, pause, resume and cancel waves."),
    },
    "Look at task files": {
        "lint": ("tasks_service.cli.lint", "Check a task file; show every problem at once."),
        "render": ("tasks_service.cli.render", "Show a task file after aliases and templates."),
        "plan": ("tasks_service.cli.plan", "Show what a task file would do, as a graph."),
        "explain": ("tasks_service.cli.explain", "Explain a problem code that `lint` printed."),
    },
    "Servers": {
        "context": (f"{_REMOTE}.context", "Name servers; choose the one to ask."),
        "notification": (f"{_REMOTE}.notification", "Tell others how runs end."),
        "token": (f"{_REMOTE}.token", "Create, list and revoke API tokens."),
        "workers": (f"{_REMOTE}.machines:workers", "List the workers of the server."),
        "pools": (f"{_REMOTE}.machines:pools", "List pools, and what waits for them."),
        "audit": (f"{_REMOTE}.machines:audit", "List who changed what."),
    },
    "The service": {
        "up": ("tasks_service.cli.service.up", "Run the whole service on this machine."),
        "server": ("tasks_service.cli.service.server", "Serve the REST API."),
        "scheduler": ("tasks_service.cli.service.scheduler", "Look after runs; clean up."),
        "worker": ("tasks_service.cli.service.worker", "Execute runs of one pool."),
        "db": ("tasks_service.cli.service.db", "Upgrade the database; rotate its key."),
        "config": ("tasks_service.cli.service.config", "Show every setting and its origin."),
    },
    "This machine": {
        "setup": ("tasks_service.cli.setup", "Make this machine ready for runs."),
        "doctor": (
            "tasks_service.cli.doctor",
            "Tell what this machine can do and what is missing.",
        ),
        "completion": ("tasks_service.cli.completion", "Print a shell completion script."),
        "version": ("tasks_service.cli.version", "Print the version."),
    },
}
"""Topic → command → its module and the line that ``tasks --help`` shows."""


def print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """Print the version and end, for ``--version``."""
    if value and not ctx.resilient_parsing:
        from tasks_service.cli.version import version_line

        click.echo(version_line())
        ctx.exit()


@click.group(
    cls=LazyGroup,
    topics=TOPICS,
    name="tasks",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Print the version and end.",
)
def tasks(debug: bool) -> None:
    """Build, test and push container images from a task file."""
    del debug  # read from the argument list by main(), which outlives this context


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises.

    Whatever goes wrong ends in one message on standard error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments[: _verb_index(arguments)]
    try:
        result = tasks.main(arguments, prog_name="tasks", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the outermost frame of the program
        from tasks_service.cli.failures import report

        return report(error, debug=debug)
    return result if isinstance(result, int) else OK


def _verb_index(arguments: Sequence[str]) -> int:
    return next((i for i, word in enumerate(arguments) if not word.startswith("-")), len(arguments))


if __name__ == "__main__":
    sys.exit(main())
