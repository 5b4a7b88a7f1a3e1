"""``tasks run``: a task file from a source becomes a run in an isolated engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from runners.model.errors import InvalidInput
from tasks_service.cli.arguments import secret_value
from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.offline import compile_choices, image_aliases
from tasks_service.cli.options import (
    RunOptions,
    parse_run_options,
    read_standard_input,
    run_options,
)
from tasks_service.cli.remote.flags import chosen_server, server_or_here
from tasks_service.cli.remote.names import TaskName
from tasks_service.model.run import RunSecrets


@click.command("run", epilog=EPILOG)
@click.argument("source", required=False)
@click.option("-f", "--file", metavar="FILE",
              help="Task file in the source; - reads standard input.")  # fmt: skip
@click.option("--cmd", metavar="TEXT", help="Run this one command instead of a task file.")
@click.option("--set", "set_values", metavar="KEY=VALUE", multiple=True,
              help="Set a value of the task file. Repeatable.")  # fmt: skip
@click.option("--set-secret", "set_secrets", metavar="KEY=VALUE", multiple=True,
              help="The same, hidden in all output. KEY alone reads it from the"
                   " environment variable KEY.")  # fmt: skip
@click.option("--values", metavar="FILE", help="YAML file of values, in the source.")
@click.option("-n", "--name", metavar="TASK", type=TaskName(),
              help="Run this stored task of a server instead of a file.")  # fmt: skip
@click.option("-c", "--context", metavar="SOURCE", help="With -n: another source for this run.")
@click.option("--arg", "--build-arg", "args", metavar="NAME[=VALUE]", multiple=True,
              help="With -n: build argument. Repeatable.")  # fmt: skip
@click.option("--secret-arg", "--secret-build-arg", "secret_args", metavar="NAME[=VALUE]",
              multiple=True, help="With -n: the same, sealed and hidden.")  # fmt: skip
@click.option("--target", metavar="STAGE", help="With -n: build this stage.")
@compile_choices
@server_or_here
@run_options(several_platforms=False)
def command(source: str | None, **parameters: Any) -> int:
    """Run a task file: here, or on the server that is configured.

    SOURCE is a directory, a Git URL such as https://host/app.git#main:dir, a
    tarball URL, or /dev/null for none. Without SOURCE it is the current
    directory. A server gets a directory packed, without what .dockerignore
    leaves out. With -n, it runs a stored task.

    \b
    tasks run . -r localhost:5000
    tasks run https://host/app.git#v1.2.0 -f ci/task.yaml -r registry:5000
    tasks run /dev/null --cmd 'alpine echo hello'
    tasks run -n app --set color=blue
    """
    options = parse_run_options(parameters)
    if parameters["name"] is not None:
        return _stored(source, parameters, options)
    for name, flag in (("context", "-c"), ("args", "--arg"), ("secret_args", "--secret-arg"),
                       ("target", "--target")):  # fmt: skip
        if parameters[name]:
            raise click.UsageError(f"{flag} goes with -n")
    if parameters["cmd"] is not None and parameters["file"] is not None:
        raise click.UsageError("--cmd and -f exclude each other")
    if parameters["cmd"] == "":
        raise click.UsageError("--cmd is empty: give the command")
    location = _default_source(parameters) if source is None else source
    server = chosen_server(parameters)
    from tasks_service.cli.execute import execute, request_of
    from tasks_service.execution.inputs import LIMIT

    file, values = parameters["file"] or "", parameters["values"] or ""
    content = values_content = ""
    if file == "-":
        file, content = "", _standard_input(LIMIT, "task file")
        if not content:
            raise InvalidInput("the task file on standard input is empty")
    if values == "-":
        values, values_content = "", _standard_input(LIMIT, "values file")
    request = dataclasses.replace(
        request_of(options, location),
        strict=parameters["strict"],
        file=file,
        content=content,
        command=parameters["cmd"] or "",
        values_file=values,
        values_content=values_content,
        values=parameters["set_values"],
    )
    hidden = RunSecrets(values=tuple(secret_value(entry) for entry in parameters["set_secrets"]))
    if server is not None:
        from tasks_service.cli.remote.submit import submit

        return submit(server, request, hidden, options, parameters)
    aliases = parameters["image_aliases"]
    return execute(
        request,
        options,
        run_type="QuickRun",
        hidden=hidden,
        image_aliases=image_aliases(aliases) if aliases else None,
    )


def _stored(source: str | None, parameters: dict[str, Any], options: RunOptions) -> int:
    from tasks_service.cli.remote.submit import logins_of, refuse_local_flags, was_typed
    from tasks_service.cli.remote.task_run import run_task

    if parameters["local"]:
        raise click.UsageError("-n names a task of a server: it excludes --local")
    if source is not None and parameters["context"] is not None:
        raise click.UsageError("SOURCE and -c are the same: give one")
    refuse_local_flags()
    # Only what was typed: the environment's defaults must not override the task.
    typed = {
        "timeout": options.timeout_s,
        "registry": options.registry,
        "platform": options.platforms[0] if options.platforms else "",
        "isolation": options.isolation,
        "cpu": options.cpus,
        "memory": options.memory,
        "disk": options.disk,
        "pids": options.pids,
        "pool": parameters["pool"],
        "strict": parameters["strict"],
    }
    parameter_of = {"cpu": "cpus"}
    more: dict[str, Any] = {
        name: value for name, value in typed.items() if was_typed(parameter_of.get(name, name))
    }
    logins = logins_of(options)
    if logins:
        from tasks_service.cli.remote.body import secret_fields

        more |= secret_fields(RunSecrets(credentials=logins))
    location = parameters["context"] if source is None else source
    return run_task(parameters["name"], location, parameters, options, more)


def _default_source(parameters: dict[str, Any]) -> str:
    if parameters["cmd"] is not None:
        return "/dev/null"
    from tasks_service.execution.inputs import TASK_FILES

    name = parameters["file"]
    if name is not None or any(Path(usual).is_file() for usual in TASK_FILES):
        return "."
    raise click.UsageError(
        f"no SOURCE given, and the current directory has no task file ({', '.join(TASK_FILES)})"
    )


def _standard_input(limit: int, what: str) -> str:
    try:
        return read_standard_input(limit, what).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} on standard input is not UTF-8 text") from error
