"""Options and input of the commands that look at a task file without a run.

In: click's parameters of ``lint``, ``render`` and ``plan``. Out: a Compiled,
from the same pipeline that ``run`` uses. Secrets are not resolved: where the
file uses one, ``***`` stands for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tasks_service.plans.compile import Compiled

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_FILE = "acb.yaml"
_RUN_OPTIONS = {
    "id": "Run id, {{.Run.ID}}.",
    "commit": "Commit, {{.Run.Commit}}.",
    "branch": "Branch, {{.Run.Branch}}.",
    "repository": "Source repository, {{.Run.Repository}}.",
    "git-tag": "Git tag, {{.Run.GitTag}}.",
    "triggered-by": "Reason of the run, {{.Run.TriggeredBy}}.",
    "task-name": "Task name, {{.Run.TaskName}}.",
    "date": "Date text, {{.Run.Date}}; now without.",
    "os": "Operating system, {{.Run.OS}}.",
    "os-version": "Version of it, {{.Run.OSVersion}}.",
    "architecture": "Architecture, {{.Run.Architecture}}.",
    "shared-volume": "Name of the workspace volume, {{.Run.SharedVolume}}.",
}


def compile_options(function: F) -> F:
    """Add the options that say what the file is compiled with."""
    options = [
        click.option("--values", "values_file", metavar="FILE", help="YAML file of values."),
        click.option(
            "--set", "set_values", metavar="NAME=VALUE", multiple=True, help="A value. Repeatable."
        ),
        click.option(
            "--set-secret",
            "set_secrets",
            metavar="NAME=VALUE",
            multiple=True,
            help="A value that is never shown. Repeatable.",
        ),
        click.option(
            "-r",
            "--registry",
            metavar="HOST",
            envvar="TASKS_REGISTRY",
            help="Registry, {{.Run.Registry}}.",
        ),
        *(
            click.option(f"--{name}", f"run_{name.replace('-', '_')}", metavar="TEXT", help=text)
            for name, text in _RUN_OPTIONS.items()
        ),
        click.option(
            "--working-directory", metavar="DIR", default="", help="Used where the file has none."
        ),
        click.option(
            "--env",
            metavar="NAME=VALUE",
            multiple=True,
            help="Added to the task's env. Repeatable.",
        ),
        click.option(
            "--network", metavar="NAME", default="", help="An existing network for all steps."
        ),
        compile_choices,
    ]
    for option in reversed(options):
        function = option(function)
    return function


def compile_choices(function: F) -> F:
    """Add the options about compiling that ``run`` has as well."""
    for option in (
        click.option(
            "--image-alias",
            "image_aliases",
            metavar="NAME=IMAGE",
            multiple=True,
            envvar="TASKS_IMAGE_ALIASES",
            help="Image of a bare first word of cmd, such as bash. Repeatable.",
        ),
        click.option("--strict", is_flag=True, help="A missing value is an error."),
    ):
        function = option(function)
    return function


STAND_INS: Mapping[str, str] = {
    "id": "run1",
    "registry": "registry.example",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "branch": "main",
    "repository": "https://git.example/repository.git",
    "git_tag": "v1",
    "triggered_by": "manual",
    "task_name": "task",
}
"""Values of run variables for a check without a run: ``app:$ID`` is no mistake."""


def compile_file(
    name: str, parameters: Mapping[str, Any], stand_ins: Mapping[str, str] | None = None
) -> Compiled:
    """Read and compile a file; ``-`` is standard input.

    What can't be read is a problem of the Compiled, like any other. Run
    variables that were not given are taken from ``stand_ins``, else empty.
    """
    from tasks_service.errors import ERROR, Problem
    from tasks_service.plans.compile import Compiled, CompileOptions, compile_task
    from tasks_service.plans.variables import RunVariables

    shown = "<stdin>" if name == "-" else name
    try:
        text = _read(name)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problem = Problem(shown, 1, 1, ERROR, "TF100", reason)
        return Compiled(shown, None, (problem,), render_failed=True)
    values: bytes | None = None
    values_file = parameters["values_file"] or ""
    if values_file:
        try:
            values = _read(values_file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            problem = Problem(values_file, 1, 1, ERROR, "TF100", reason)
            return Compiled(shown, None, (problem,), render_failed=True)
    given = {
        option.replace("-", "_"): parameters[f"run_{option.replace('-', '_')}"]
        for option in _RUN_OPTIONS
    }
    given["registry"] = parameters["registry"]
    run = dict(stand_ins or {})
    run.update({key: value for key, value in given.items() if value is not None})
    return compile_task(
        text,
        file=shown,
        variables=RunVariables(**run),
        values=values,
        values_file=values_file,
        set_values=parameters["set_values"],
        set_secrets=parameters["set_secrets"],
        options=CompileOptions(
            strict=parameters["strict"],
            image_aliases=image_aliases(parameters["image_aliases"]),
            working_directory=parameters["working_directory"],
            env=tuple(parameters["env"]),
            network=parameters["network"],
            alias_reader=alias_reader(Path.cwd()),
        ),
    )


def _read(name: str) -> bytes:
    from tasks_service.plans.decoding import MAX_BYTES

    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(name).open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def image_aliases(entries: tuple[str, ...]) -> dict[str, str]:
    """Return the default image aliases with ``NAME=IMAGE`` entries put in."""
    from tasks_service.plans.aliases import IMAGE_ALIASES

    aliases = dict(IMAGE_ALIASES)
    for entry in entries:
        name, separator, image = entry.partition("=")
        if not separator or not name.isalnum():
            raise click.BadParameter(f"'{entry}' must be NAME=IMAGE", param_hint="--image-alias")
        aliases[name] = image
    return aliases


def alias_reader(base: Path) -> Callable[[str], str]:
    """Return a reader of ``alias.src`` files below ``base``; it reads no URL."""
    from runners.model.errors import InvalidInput
    from tasks_service.plans.decoding import MAX_BYTES

    def read(name: str) -> str:
        if name.lower().startswith(("http://", "https://")):
            raise InvalidInput("URLs are only read where the configuration allows it")
        path = (base / name).resolve()
        if not path.is_relative_to(base.resolve()):
            raise InvalidInput("it lies outside the source")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidInput(f"it has more than {MAX_BYTES} bytes")
        return data.decode()

    return read
