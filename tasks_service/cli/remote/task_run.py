"""Runs of stored tasks: ``tasks run -n NAME`` and ``tasks task run`` (C-134, V-67)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import RunOptions
from tasks_service.cli.remote.connection import require_server
from tasks_service.cli.remote.definition import what_options
from tasks_service.cli.remote.flags import pool_option, server_option, waiting_options
from tasks_service.cli.remote.later import later_options
from tasks_service.cli.remote.names import task_name

if TYPE_CHECKING:
    from tasks_service.client.service import ServiceClient


@click.command("run", epilog=EPILOG)
@task_name
@click.option("-c", "--context", metavar="SOURCE",
              help="Another source for this run; a directory here is uploaded.")  # fmt: skip
@what_options
@click.option("-o", "--output", type=click.Choice(["json", "yaml", "table"]),
              help="Print the run record to standard output.")  # fmt: skip
@click.option("--no-logs", is_flag=True, help="Do not show the output of steps.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors only; print pushed images.")
@click.option("--no-format", is_flag=True, help="No colours.")
@click.option("--progress", type=click.Choice(["auto", "plain", "tty", "quiet", "json"]),
              default="auto", envvar="TASKS_PROGRESS", help="How to show the run.")  # fmt: skip
@waiting_options
@pool_option
@server_option
@later_options
def command(name: str, **parameters: Any) -> int:
    """Run a stored task; what is given here replaces or adds to it for this run only."""
    options = RunOptions(
        output=parameters["output"],
        logs=not parameters["no_logs"],
        quiet=parameters["quiet"],
        progress=parameters["progress"],
        colour="never" if parameters["no_format"] else "auto",
    )
    more = {"pool": parameters["pool"]} if parameters["pool"] else {}
    return run_task(name, parameters["context"], parameters, options, more)


def run_task(
    name: str,
    source: str | None,
    parameters: Mapping[str, Any],
    options: RunOptions,
    more: Mapping[str, Any],
) -> int:
    """Start a run of a stored task and show it.

    Args:
        name: The task.
        source: Another source, or None for the task's own.
        parameters: Of ``what_options``, ``waiting_options`` and ``server_option``.
        options: How to show it.
        more: Overrides that the caller read itself.

    Raises:
        RunnerError: The server refuses or does not answer, or a file is not there.
    """
    from tasks_service.cli.remote.outcome import Waiting, show_run
    from tasks_service.client.service import ServiceClient

    with ServiceClient(require_server(parameters["server"] or "")) as client:
        body = {**_overrides(client, name, source, parameters, quiet=options.is_quiet), **more}
        run = client.start_task(name, body)
        return show_run(client, run, options, Waiting.of(parameters))


def _overrides(
    client: ServiceClient,
    name: str,
    source: str | None,
    parameters: Mapping[str, Any],
    *,
    quiet: bool,
) -> dict[str, Any]:
    from tasks_service.cli.remote.definition import is_local, remote_source, what_of

    given = dict(parameters)
    local = source is not None and is_local(source)
    stored: Mapping[str, Any] = {}
    if given["file"] is not None or local:
        stored, _ = client.task(name)
    # With a directory, -f is looked for there and sent by its name in the upload.
    at_home = str(stored.get("source") or "") if source is None else source
    if given["file"] and given["file"] != "-" and stored.get("build"):
        body = what_of({**given, "file": None}, source=at_home)
        body.setdefault("build", {})["dockerfile"] = given["file"]
    else:
        body = what_of({**given, "file": given["file"]}, source=at_home)
    body = {key: value for key, value in body.items() if value is not None}
    if source is not None and not local:
        body["source"] = remote_source(source)
    elif source is not None:
        body |= _uploaded(client, Path(source), body, stored, quiet=quiet)
    return body


def _uploaded(
    client: ServiceClient,
    root: Path,
    body: Mapping[str, Any],
    stored: Mapping[str, Any],
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Upload a directory in place of the task's source; say where its file is in it."""
    from tasks_service.cli.remote.submit import found_file, usual_file
    from tasks_service.cli.remote.upload import upload_directory
    from tasks_service.sources.errors import SourceNotFound

    if not root.is_dir():
        raise SourceNotFound(f"there is no directory {str(root)!r}")
    build = body.get("build") or (stored.get("build") if "file" not in body else None)
    if build is not None:
        named = build.get("dockerfile") or (stored.get("build") or {}).get("dockerfile")
        needed = found_file(root, named or "Dockerfile", "Dockerfile")
        source, name = upload_directory(client, root, needed=needed, quiet=quiet)
        return {"source": source, "build": {**(body.get("build") or {}), "dockerfile": name}}
    own = body.get("file") or stored.get("file")
    without = ("content", "command")
    if "content" in body or (not own and any(stored.get(key) for key in without)):
        source, _ = upload_directory(client, root, needed=None, quiet=quiet)
        return {"source": source}
    needed = found_file(root, own, "task file") if own else usual_file(root)
    source, name = upload_directory(client, root, needed=needed, quiet=quiet)
    return {"source": source, "file": name}
