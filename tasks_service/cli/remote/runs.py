"""``tasks runs``: what ran, what runs, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.lazy import LazyGroup
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import Moment, list_options, show_options
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import RunId, TaskName
from tasks_service.cli.remote.several import for_each

if TYPE_CHECKING:
    from tasks_service.client.answers import RunAnswer
    from tasks_service.client.service import ServiceClient

STATUSES = (
    "Queued", "Started", "Running", "Succeeded", "Failed", "Error", "Canceled", "Timeout",
)  # fmt: skip
_HERE = "tasks_service.cli.remote.runs"

command = LazyGroup(
    name="runs",
    help="List, show, cancel and repeat runs of a server.",
    epilog=EPILOG,
    topics={
        "Commands": {
            "list": (f"{_HERE}:list_runs", "List runs, newest first."),
            "show": (f"{_HERE}:show", "Show a run: steps, images, place in the queue."),
            "approve": (f"{_HERE}:approve", "Let the run of a fork's pull request begin."),
            "cancel": (f"{_HERE}:cancel", "Cancel runs, queued or running."),
            "rerun": ("tasks_service.cli.remote.rerun:rerun", "Start the same run once more."),
            "archive": (f"{_HERE}:archive", "Keep runs and their logs beyond the usual time."),
        }
    },
)


@click.command("list", epilog=EPILOG)
@click.option("-n", "--task", "--name", "task", metavar="NAME", type=TaskName(),
              help="Runs of this task.")  # fmt: skip
@click.option("--status", "--run-status", "statuses", multiple=True,
              type=click.Choice(STATUSES, case_sensitive=False),
              help="Runs with this status. Repeatable.")  # fmt: skip
@click.option(
    "--cause", "--trigger", "cause", metavar="KIND", help="Runs started so: manual, rerun, …"
)
@click.option("--image", metavar="REF|DIGEST", help="Runs that pushed this image.")
@click.option("--commit", metavar="SHA", help="Runs of this commit, or of one that begins so.")
@click.option("--pool", metavar="NAME", help="Runs for these workers.")
@click.option("--since", type=Moment(), metavar="TIME", help="Created at or after: 2h, 3d, a date.")
@click.option("--until", type=Moment(), metavar="TIME", help="Created before.")
@click.option("--limit", "--top", type=click.IntRange(1, 100_000), default=15, show_default=True,
              metavar="N", help="At most so many.")  # fmt: skip
@list_options
@later_options
def list_runs(**parameters: Any) -> None:
    """List runs, newest first.

    \b
    tasks runs list -n app --status Failed --since 2d
    tasks runs list --image registry:5000/app:v3 -o name
    """
    from tasks_service.cli.remote.printing import Column, Form, key, print_list

    filters = {
        "task": parameters["task"] or "",
        "status": ",".join(parameters["statuses"]),
        **{
            name: parameters[name] or ""
            for name in ("cause", "image", "commit", "pool", "since", "until")
        },
    }
    columns = [
        Column("RUN ID", key("id")),
        Column("TASK", key("task")),
        Column("PLATFORM", key("platform")),
        Column("STATUS", _status),
        Column("TRIGGER", lambda run: str(key("cause", "kind")(run) or "").capitalize()),
        Column("STARTED", lambda run: run.get("startTime") or run.get("createTime")),
        Column("DURATION", duration_of),
    ]
    with connect(parameters) as client:
        items = list(client.runs(filters, limit=parameters["limit"]))
    print_list(items, columns, Form.of(parameters), name="id")


def duration_of(run: Mapping[str, Any]) -> str:
    """Return how long a run took, or has taken so far; nothing before its start."""
    from tasks_service.cli.terminal import duration
    from tasks_service.client.answers import read_time

    started = read_time(run.get("startTime"))
    if started is None:
        return ""
    end = read_time(run.get("finishTime")) or datetime.now(UTC)
    return duration((end - started).total_seconds())


def run_ids(ids: tuple[str, ...], flagged: tuple[str, ...]) -> tuple[str, ...]:
    """Return the runs that were named, as arguments or by ``--run-id``.

    Raises:
        click.UsageError: There are none.
    """
    found = tuple(dict.fromkeys((*ids, *flagged)))
    if not found:
        raise click.UsageError("Missing argument 'RUN...': the id of a run")
    return found


@click.command("show", epilog=EPILOG)
@click.argument("run", required=False, type=RunId())
@click.option("--run-id", "flagged", multiple=True, metavar="RUN", hidden=True)
@show_options
@later_options
def show(run: str | None, flagged: tuple[str, ...], **parameters: Any) -> None:
    """Show a run: steps, images, and while it is queued its place in the queue."""
    ids = run_ids((run,) if run else (), flagged)
    if len(ids) != 1:
        raise click.UsageError("one run at a time")
    with connect(parameters) as client:
        print_run(client.run(ids[0]), parameters)


def print_run(found: RunAnswer, parameters: Mapping[str, Any]) -> None:
    """Print one run as the options say."""
    from tasks_service.cli.remote.printing import Column, Form, key, print_object
    from tasks_service.cli.remote.record import result_of
    from tasks_service.cli.summary import details

    def place(run: Mapping[str, Any]) -> str:
        position = key("queue", "position")(run)
        wait = key("queue", "expectedWaitSeconds")(run)
        about = f", about {float(wait):.0f} s" if isinstance(wait, int | float) else ""
        return f"number {position} in the queue{about}" if position else ""

    result = result_of(found)
    facts = [
        Column("Run", lambda _: found.id),
        Column("Task", key("task")),
        Column("Status", key("status")),
        Column("Waits", place),
        Column(
            "Cancel asked", lambda run: run.get("cancelRequested") and not found.status.finished
        ),
        Column("Trigger", key("cause", "kind")),
        Column("By", key("cause", "actor")),
        Column("Source", lambda _: result.source),
        Column("Branch", lambda _: result.branch),
        Column("Commit", lambda _: result.commit),
        Column("Registry", key("registry")),
        Column("Platform", key("platform")),
        Column("Pool", key("pool")),
        Column("Attempt", lambda run: run.get("attempt") if run.get("attempt") != 1 else ""),
        Column("Created", key("createTime")),
        Column("Started", key("startTime")),
        Column("Finished", key("finishTime")),
        Column("Took", duration_of),
        Column("Error", key("error", "message")),
        Column("What to do", key("error", "hint")),
        Column("Log", lambda run: run.get("logState") if found.status.finished else ""),
        Column("Archived", lambda run: "yes" if run.get("archived") else ""),
    ]
    facts = [fact for fact in facts if fact.read(found.body) not in (False, None, "")]
    more = "\n\n".join(details(result))
    print_object(found.body, facts, Form.of(parameters), name="id", more=more)


@click.command("cancel", epilog=EPILOG)
@click.argument("runs", nargs=-1, type=RunId())
@click.option("--run-id", "flagged", multiple=True, metavar="RUN", hidden=True)
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def cancel(runs: tuple[str, ...], flagged: tuple[str, ...], **parameters: Any) -> None:
    """Cancel runs. A queued one ends at once, a running one as soon as its steps stopped."""
    from tasks_service.cli.remote.printing import say

    with connect(parameters) as client:

        def one(run_id: str) -> None:
            run = client.cancel_run(run_id)
            ended = run.status.finished
            say(f"run {run.id} {'is ' + str(run.status) if ended else 'is being canceled'}")

        for_each(run_ids(runs, flagged), one)


def _status(run: Mapping[str, Any]) -> str:
    return f"{run.get('status')}{' (approval)' if run.get('waitsForApproval') else ''}"


@click.command("approve", epilog=EPILOG)
@click.argument("run", type=RunId())
@click.option("--commit", metavar="SHA", default="",
              help="The whole commit id that you looked at; another one is refused.")  # fmt: skip
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def approve(run: str, commit: str, **parameters: Any) -> None:
    """Let the run of a fork's pull request begin.

    It builds the commit it is of, with the task as it is stored now; a later push to
    the pull request waits for an approval of its own. It has no secrets and pushes nothing.
    """
    from tasks_service.cli.remote.printing import say

    with connect(parameters) as client:
        found = client.approve_run(run, commit)
    say(f"run {found.id} is approved: {found.body.get('source', {}).get('location', '')}")


@click.command("archive", epilog=EPILOG)
@click.argument("runs", nargs=-1, type=RunId())
@click.option("--run-id", "flagged", multiple=True, metavar="RUN", hidden=True)
@click.option("--undo", is_flag=True, help="Keep them for the usual time only.")
@click.option("--server", metavar="URL|CONTEXT", help="Server to ask.")
@later_options
def archive(runs: tuple[str, ...], flagged: tuple[str, ...], undo: bool, **parameters: Any) -> None:
    """Keep runs and their logs beyond the usual time."""
    with connect(parameters) as client:
        for_each(run_ids(runs, flagged), lambda run_id: client.archive_run(run_id, not undo))


@click.command("update-run", epilog=EPILOG)
@click.argument("run", required=False, type=RunId())
@click.option("--run-id", "flagged", multiple=True, metavar="RUN", hidden=True)
@click.option("--no-archive", is_flag=False, flag_value="true", required=True,
              type=click.Choice(["true", "false"], case_sensitive=False),
              help="false keeps the run beyond the usual time.")  # fmt: skip
@show_options
@later_options
def update_run(
    run: str | None, flagged: tuple[str, ...], no_archive: str, **parameters: Any
) -> None:
    """Keep a run and its log beyond the usual time, as `az acr task update-run` does."""
    (run_id, *others) = run_ids((run,) if run else (), flagged)
    if others:
        raise click.UsageError("one run at a time")
    with connect(parameters) as client:
        print_run(client.archive_run(run_id, no_archive.lower() == "false"), parameters)


def newest_run(client: ServiceClient, filters: Mapping[str, str]) -> str:
    """Return the id of the newest run that a filter leaves.

    Raises:
        NotFound: There is none.
    """
    from tasks_service.errors import NotFound

    for run in client.runs(filters, limit=1):
        return str(run.get("id"))
    wanted = ", ".join(f"{name} {value}" for name, value in filters.items() if value)
    raise NotFound(f"there is no run{' of ' + wanted if wanted else ''} yet")
