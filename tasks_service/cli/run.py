"""``tasks run``: a task file from a source becomes a run in an isolated engine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tasks_service.cli.arguments import secret_value
from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.options import parse_run_options, run_options

if TYPE_CHECKING:
    from runners.model.cancellation import Cancellation
    from tasks_service.cli.execute import Compiled
    from tasks_service.plans.compile import SecretRequest, SecretResolver
    from tasks_service.plans.variables import RunVariables
    from tasks_service.sources.open import Source


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
@run_options(several_platforms=False)
def command(source: str | None, **parameters: Any) -> int:
    """Run a task file here, in an isolated engine of its own.

    SOURCE is a directory, a Git URL such as https://host/app.git#main:dir, a
    tarball URL, or /dev/null for none. Without SOURCE it is the current
    directory.

    \b
    tasks run . -r localhost:5000
    tasks run https://host/app.git#v1.2.0 -f ci/task.yaml -r registry:5000
    tasks run /dev/null --cmd 'alpine echo hello'
    """
    options = parse_run_options(parameters)
    if parameters["cmd"] is not None and parameters["file"] is not None:
        raise click.UsageError("--cmd and -f exclude each other")
    location = _default_source(parameters) if source is None else source
    from tasks_service.cli.execute import Job, execute

    task = _Task(parameters, options.timeout_s)
    return execute(Job(location, "QuickRun", task.compile), options)


def _default_source(parameters: dict[str, Any]) -> str:
    if parameters["cmd"] is not None:
        return "/dev/null"
    from tasks_service.cli.inputs import TASK_FILES

    name = parameters["file"]
    if name is not None or any(Path(usual).is_file() for usual in TASK_FILES):
        return "."
    raise click.UsageError(
        f"no SOURCE given, and the current directory has no task file ({', '.join(TASK_FILES)})"
    )


class _Task:
    """What the options say about the task file."""

    def __init__(self, parameters: dict[str, Any], timeout_s: int) -> None:
        self._parameters = parameters
        self._secrets = tuple(secret_value(entry) for entry in parameters["set_secrets"])
        self._timeout_s = timeout_s

    def compile(self, source: Source, variables: RunVariables, cancel: Cancellation) -> Compiled:
        """Return the plan of the task file.

        Raises:
            InvalidTaskFile: With every problem of the file.
            SecretsRefused, SecretsUnavailable: Secrets of it can't be had.
        """
        from tasks_service.cli.execute import Compiled
        from tasks_service.cli.inputs import alias_reader, read_input, read_task_file
        from tasks_service.plans.compile import CompileOptions, compile_task
        from tasks_service.sources.settings import allows_http

        parameters = self._parameters
        if parameters["cmd"] is not None:
            file, text = "--cmd", self._one_command(parameters["cmd"])
        else:
            file, text = read_task_file(source, parameters["file"])
        values = parameters["values"]
        # A file that somebody else wrote must not choose what is read, reached
        # or logged in to from here.
        own = not source.remote or file in ("<stdin>", "--cmd")
        done = compile_task(
            text,
            file=file,
            variables=variables,
            values=None if values is None else read_input(source, values, "values file"),
            values_file=values or "values.yaml",
            set_values=parameters["set_values"],
            set_secrets=self._secrets,
            options=CompileOptions(
                alias_reader=alias_reader(
                    source, allow_urls=own, allow_http=allows_http(os.environ)
                )
            ),
            resolve_secrets=_late_resolver(allow_local=own, cancel=cancel),
        )
        plan = done.require_plan()
        return Compiled(
            plan,
            texts=(done.rendered,) if own else (),
            warnings=tuple(p.text() for p in done.problems),
        )

    def _one_command(self, text: str) -> bytes:
        # JSON strings are YAML: no text can break out of its place.
        command = json.dumps(text, ensure_ascii=False)
        return (
            "version: v1.1.0\n"
            "steps:\n"
            f"  - cmd: {command}\n"
            "    disableWorkingDirectoryOverride: true\n"
            f"    timeout: {self._timeout_s}\n"
        ).encode()


def _late_resolver(*, allow_local: bool, cancel: Cancellation) -> SecretResolver:
    """Return a resolver that loads the providers only for a file that has secrets."""

    def resolve(requests: Sequence[SecretRequest]) -> Mapping[str, str]:
        from tasks_service.secrets import resolver

        return resolver(os.environ, allow_local=allow_local, cancel=cancel)(requests)

    return resolve
