"""Quick runs on a server: what ``tasks run`` and ``tasks build`` do where one is configured.

In: the same RunRequest as for a run here. Out: an exit code. A directory is
packed and uploaded first; files that the request names are looked for here.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from runners.model.errors import InvalidInput
from tasks_service.cli.logins import find_logins
from tasks_service.cli.options import RunOptions
from tasks_service.cli.remote.body import run_body
from tasks_service.cli.remote.definition import is_local, local_text
from tasks_service.cli.remote.outcome import Waiting, show_run
from tasks_service.cli.remote.upload import upload_directory
from tasks_service.client.address import Server
from tasks_service.client.service import ServiceClient
from tasks_service.execution.inputs import TASK_FILES
from tasks_service.model.run import (
    NO_SOURCE,
    RegistryCredential,
    RunRequest,
    RunSecrets,
)
from tasks_service.sources.errors import SourceNotFound


def submit(
    server: Server,
    request: RunRequest,
    hidden: RunSecrets,
    options: RunOptions,
    parameters: Mapping[str, Any],
) -> int:
    """Run the request on the server and return the exit code of the command.

    Raises:
        InvalidInput, SourceNotFound: A file or option can't be.
        RunnerError: The server refuses or does not answer.
    """
    refuse_local_flags()
    request = dataclasses.replace(
        request,
        platform=options.platforms[0] if options.platforms and request.build is None else "",
        isolation=options.isolation if was_typed("isolation") else "",
        pool=parameters["pool"] or request.pool,
    )
    hidden = dataclasses.replace(
        hidden,
        credentials=logins_of(options),
        git_token=git_token_for(request.source, os.environ),
    )
    with ServiceClient(server) as client:
        request = _placed(client, request, quiet=options.is_quiet)
        run = client.start_run(run_body(request, hidden))
        return show_run(client, run, options, Waiting.of(parameters))


def _placed(client: ServiceClient, request: RunRequest, *, quiet: bool) -> RunRequest:
    """Return the request with nothing in it that only this machine has."""
    if request.source.lower() == NO_SOURCE:
        return _without_files(request)
    if not is_local(request.source):
        return request
    root = Path(request.source)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise SourceNotFound(f"there is no directory {request.source!r}: it {what}")
    if request.values_file:
        # Read here: an ignore file may keep it out of the context.
        text = local_text(str(found_file(root, request.values_file, "values file")), "values file")
        request = dataclasses.replace(request, values_file="", values_content=text)
    if request.build is not None:
        needed = Path(request.build.dockerfile) if request.build.dockerfile else root / "Dockerfile"
        if not needed.is_file():
            hint = "-f is counted from the current directory" if request.build.dockerfile else ""
            raise SourceNotFound(f"there is no Dockerfile {str(needed)!r}", hint=hint)
        source, name = upload_directory(client, root, needed=needed, quiet=quiet)
        build = dataclasses.replace(request.build, dockerfile=name)
        return dataclasses.replace(request, source=source, build=build)
    if request.command or request.content:
        source, _ = upload_directory(client, root, needed=None, quiet=quiet)
        return dataclasses.replace(request, source=source)
    path = found_file(root, request.file, "task file") if request.file else usual_file(root)
    source, name = upload_directory(client, root, needed=path, quiet=quiet)
    return dataclasses.replace(request, source=source, file=name)


def _without_files(request: RunRequest) -> RunRequest:
    if request.values_file:
        text = local_text(request.values_file, "values file")
        request = dataclasses.replace(request, values_file="", values_content=text)
    if request.file:
        text = local_text(request.file, "task file")
        return dataclasses.replace(request, source=NO_SOURCE, file="", content=text)
    if not request.content and not request.command:
        raise InvalidInput(
            "there is no source, so no task file",
            hint="name a local task file by -f, or give one command by --cmd",
        )
    return dataclasses.replace(request, source=NO_SOURCE)


def found_file(root: Path, name: str, what: str) -> Path:
    """Return where a file is: in the directory, or where the user stands.

    Raises:
        SourceNotFound: It is in neither.
    """
    for place in (root / name, Path(name)):
        if place.is_file():
            return place
    places = " or ".join(dict.fromkeys((repr(str(root / name)), repr(name))))
    raise SourceNotFound(f"{what} not found: there is no {places}")


def usual_file(root: Path) -> Path:
    """Return the task file that stands for a directory (Y-001).

    Raises:
        SourceNotFound: There is none.
    """
    for name in TASK_FILES:
        if (root / name).is_file():
            return root / name
    raise SourceNotFound(
        f"there is no task file in {str(root)!r}: none of {', '.join(TASK_FILES)}",
        hint="name it by -f",
    )


def was_typed(parameter: str) -> bool:
    """Return whether an option was on the command line, not in the environment or left out."""
    from click.core import ParameterSource

    context = click.get_current_context()
    return context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE


def refuse_local_flags() -> None:
    """Refuse what only a run on this machine can mean.

    Raises:
        click.UsageError: Such a flag was given.
    """
    for parameter, flag in (
        ("backend", "--backend"), ("run_id", "--id"), ("image_aliases", "--image-alias"),
    ):  # fmt: skip
        if was_typed(parameter):
            raise click.UsageError(f"{flag} is for runs on this machine: add --local")


def logins_of(options: RunOptions) -> tuple[RegistryCredential, ...]:
    """Return the logins to send: of ``--login``, and that of the environment for ``-r``.

    Never any other of this user's: the server has logins of its own.

    Raises:
        InvalidInput: There is no login for a registry that was named.
    """
    own = options.registry if os.environ.get("TASKS_REGISTRY_USERNAME") else ""
    wanted = {*options.logins, own} - {""}
    if not wanted and not os.environ.get("TASKS_REGISTRY_PASSWORD"):
        return ()
    found = find_logins(
        registry=options.registry, named=options.logins, texts=(), hub=False, env=os.environ
    )
    return tuple(
        RegistryCredential(login.registry, login.username, login.password)
        for login in found
        if login.registry in wanted
    )


def git_token_for(source: str, env: Mapping[str, str]) -> str:
    """Return the environment's Git token if it is for the host of this source."""
    token, host = env.get("TASKS_GIT_TOKEN", ""), env.get("TASKS_GIT_TOKEN_HOST", "").lower()
    if not token or not host or source.startswith(("/", ".", "upload:")):
        return ""
    text = source if "://" in source else f"https://{source}"
    return token if urlsplit(text).netloc.lower() == host else ""
