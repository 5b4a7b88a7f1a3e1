"""``tasks task …``: the verbs of ``az acr task``, so that such a line works as it is."""

from __future__ import annotations

from typing import NoReturn

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.lazy import LazyGroup

_TASKS = "tasks_service.cli.remote.tasks"
_RUNS = "tasks_service.cli.remote.runs"
_HERE = "tasks_service.cli.remote.aliases"

command = LazyGroup(
    name="task",
    help="The same commands under the names of `az acr task`.",
    epilog=EPILOG,
    topics={
        "Tasks": {
            "create": (f"{_TASKS}:create", "Store a task, or replace it."),
            "update": (f"{_TASKS}:update", "Change parts of a stored task."),
            "list": (f"{_TASKS}:list_tasks", "List stored tasks."),
            "show": (f"{_TASKS}:show", "Show a stored task."),
            "delete": (f"{_TASKS}:delete", "Delete stored tasks."),
            "run": ("tasks_service.cli.remote.task_run", "Run a stored task."),
            "credential": ("tasks_service.cli.remote.credential", "Logins of a task."),
            "trigger": ("tasks_service.cli.remote.trigger", "Commit triggers of a task."),
            "timer": ("tasks_service.cli.remote.timer", "Timers of a task."),
        },
        "Runs": {
            "list-runs": (f"{_RUNS}:list_runs", "List runs (`tasks runs list`)."),
            "show-run": (f"{_RUNS}:show", "Show a run (`tasks runs show`)."),
            "cancel-run": (f"{_RUNS}:cancel", "Cancel a run (`tasks runs cancel`)."),
            "update-run": (f"{_RUNS}:update_run", "Keep a run (`tasks runs archive`)."),
            "logs": ("tasks_service.cli.remote.logs", "Print the log of a run (`tasks logs`)."),
        },
        "Not there yet": {
            "identity": (f"{_HERE}:identity", "Identities of Azure."),
        },
    },
)


@click.command("identity", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def identity(words: tuple[str, ...]) -> NoReturn:
    """Refuse: identities are Azure's."""
    del words
    raise click.UsageError("identities belong to Azure: logins are given by `tasks credential add`")
