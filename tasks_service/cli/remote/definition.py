"""What to run, as flags of ``az acr task`` say it, in the words of the API.

In: click parameters of ``definition_options``. Out: the parts of a task's JSON
that were given; what was not given is absent, so that an update leaves it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from tasks_service.cli.arguments import build_argument, build_secret, secret_value
from tasks_service.cli.options import (
    MAX_TIMEOUT_S,
    parse_platforms,
    parse_registry,
    parse_size,
    read_standard_input,
)

F = TypeVar("F", bound=Callable[..., Any])

FILE_LIMIT = 256 * 1024
TASK_FILE_SUFFIXES = (".yaml", ".yml", ".json", ".toml")
"""A ``-f`` that ends so is a task file, any other a Dockerfile (Y-002, but for scripts)."""
NO_SOURCE = "/dev/null"
_KINDS = ("file", "content", "command", "build")


def what_options(function: F) -> F:
    """Add what decides which steps a run has."""
    options = (
        click.option("-f", "--file", metavar="FILE",
                     help="Task file or Dockerfile in the source; with -c /dev/null a file here;"
                          " - reads standard input."),
        click.option("--set", "set_values", metavar="KEY=VALUE", multiple=True,
                     help="Value of the task file. Repeatable."),
        click.option("--set-secret", "set_secrets", metavar="KEY[=VALUE]", multiple=True,
                     help="The same, sealed and hidden; KEY alone reads the environment."),
        click.option("--arg", "--build-arg", "args", metavar="NAME[=VALUE]", multiple=True,
                     help="Build argument; NAME alone reads the environment. Repeatable."),
        click.option("--secret-arg", "--secret-build-arg", "secret_args", metavar="NAME[=VALUE]",
                     multiple=True, help="The same, sealed and hidden."),
        click.option("--target", metavar="STAGE", help="Build this stage."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def definition_options(function: F) -> F:
    """Add every flag that says what a stored task does."""
    options = (
        click.option("-c", "--context", metavar="SOURCE",
                     help="Git URL, tarball URL, or /dev/null for none."),
        click.option("--cmd", metavar="TEXT", help="One command instead of a file."),
        click.option("-t", "--image", "images", metavar="NAME[:TAG]", multiple=True,
                     help="Name of the image of a Dockerfile. Repeatable."),
        click.option("--no-push/--push", "no_push", default=None,
                     help="Whether the image stays where it was built."),
        click.option("--no-cache/--cache", "no_cache", default=None,
                     help="Whether every instruction is built anew."),
        click.option("--pull/--no-pull", "pull", default=None,
                     help="Whether newer base images are asked for."),
        click.option("--image-label", "image_labels", metavar="NAME=VALUE", multiple=True,
                     help="Label of the image. Repeatable."),
        click.option("--secret", "build_secrets", metavar="id=ID,src=FILE|env=NAME", multiple=True,
                     help="Secret for RUN --mount=type=secret. Repeatable."),
        click.option("--values", metavar="FILE", help="Values file, where -f is looked for."),
        click.option("-r", "--registry", metavar="HOST", help="Registry of its runs."),
        click.option("--platform", metavar="OS/ARCH", help="Platform, such as linux/arm64."),
        click.option("--timeout", metavar="SECONDS", type=click.IntRange(1, MAX_TIMEOUT_S),
                     help="End a run after this time; 3600 at first."),
        click.option("--cpu", type=click.FloatRange(0.1, 1024), metavar="N", help="CPUs of a run."),
        click.option("--memory", metavar="SIZE", help="Memory of a run, such as 4g."),
        click.option("--disk", metavar="SIZE", help="Disk of a run, such as 20g."),
        click.option("--pids", type=click.IntRange(16, 1 << 22), metavar="N",
                     help="Processes of a run."),
        click.option("--pool", "--agent-pool", "pool", metavar="NAME",
                     help="Workers that take its runs."),
        click.option("--isolation", metavar="LEVEL", help="How strongly runners are isolated."),
        click.option("--strict/--no-strict", "strict", default=None,
                     help="Whether warnings of the task file end the run."),
        click.option("--git-access-token", "git_token", metavar="-",
                     help="Token for the source's host; - reads standard input."),
        click.option("--status", type=click.Choice(["Enabled", "Disabled"], case_sensitive=False),
                     help="Whether it may be run."),
        click.option("--max-concurrent", type=click.IntRange(0), metavar="N",
                     help="Runs of it under way at once; 0 is any number."),
        click.option("--supersede/--no-supersede", "supersede", default=None,
                     help="Whether a new run cancels the queued ones for the same ref."),
        click.option("--base-image-trigger-enabled", "bases_enabled", type=click.BOOL,
                     metavar="true|false",
                     help="Whether it runs again when an image it stands on moves; true at first."),
        click.option("--base-image-trigger-type", "bases_type",
                     type=click.Choice(["All", "Runtime"], case_sensitive=False),
                     help="Which images count: all, or only the one of the final stage."),
        click.option("--label", "labels", metavar="KEY=VALUE|KEY-", multiple=True,
                     help="Label of the task; KEY- removes it. Repeatable."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return what_options(function)


def definition_of(parameters: Mapping[str, Any], *, source: str = "") -> dict[str, Any]:
    """Return the parts of a task's JSON that the flags give.

    Args:
        parameters: Of ``definition_options``.
        source: The source that the task has already, where ``-c`` is not given.

    Raises:
        click.UsageError: Flags exclude each other, or one can't be.
        InvalidInput: A value or a local file can't be.
    """
    given = parameters
    body: dict[str, Any] = {}
    if given["context"] is not None:
        body["source"] = remote_source(given["context"])
    body |= what_of(given, source=body.get("source", source))
    body |= _plain(given)
    if given["git_token"] is not None:
        body["gitToken"] = secret_text(given["git_token"], "--git-access-token")
    if given["labels"]:
        body["labels"] = dict(_label(text) for text in given["labels"])
    return body


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    memory, disk, platform, status = (
        given[name] for name in ("memory", "disk", "platform", "status")
    )
    found = {
        "registry": None if given["registry"] is None else parse_registry(given["registry"], "-r"),
        "platform": None if platform is None else _one_platform(platform),
        "timeout": given["timeout"],
        "cpu": given["cpu"],
        "memory": None if memory is None else parse_size(memory, "--memory"),
        "disk": None if disk is None else parse_size(disk, "--disk"),
        "pids": given["pids"],
        "pool": given["pool"],
        "isolation": given["isolation"],
        "strict": given["strict"],
        "status": None if status is None else status.capitalize(),
        "maxConcurrent": given["max_concurrent"],
        "supersede": given["supersede"],
        "baseImageTrigger": _bases(given["bases_enabled"], given["bases_type"]),
    }
    return {name: value for name, value in found.items() if value is not None}


def _bases(enabled: bool | None, kind: str | None) -> str | None:
    if enabled is False:
        return "None"
    return (kind or "All").capitalize() if enabled or kind else None


def what_of(given: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return file, content, command or build, and the values, as far as they are given.

    Giving one of the first four resets the others.

    Raises:
        click.UsageError: Flags exclude each other.
    """
    file, command, build = given["file"], given.get("cmd"), build_of(given)
    if command is not None and (file is not None or build):
        raise click.UsageError("--cmd excludes -f and the flags of a Dockerfile")
    body: dict[str, Any] = {}
    if command is not None:
        body["command"] = command
    elif file is not None and (file == "-" or (_no_source(source) and not build)):
        if build:
            raise click.UsageError("a Dockerfile can't come from standard input")
        body["content"] = local_text(file, "task file")
    elif build or (file is not None and not file.endswith(TASK_FILE_SUFFIXES)):
        if _no_source(source):
            raise click.UsageError("a Dockerfile needs a source: give it by -c")
        body["build"] = build | ({"dockerfile": file} if file else {})
    elif file is not None:
        body["file"] = file
    if body and not (file is None and "build" in body):
        body = {kind: None for kind in _KINDS if kind not in body} | body
    return body | values_of(given, source=source)


def build_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a Dockerfile's build that the flags give."""
    found = {
        "images": list(given.get("images") or ()),
        "buildArgs": arguments_of(given["args"], given["secret_args"]),
        "labels": list(given.get("image_labels") or ()),
        "secrets": [
            {"id": name, "value": value}
            for name, value in map(build_secret, given.get("build_secrets") or ())
        ],
        "target": given["target"] or "",
    }
    body: dict[str, Any] = {name: value for name, value in found.items() if value}
    if given.get("no_push") is not None:
        # Only when it was said: an update must not turn pushing on again (C-130).
        body["push"] = not given["no_push"]
    for name, key in (("no_cache", "noCache"), ("pull", "pull")):
        if given.get(name) is not None:
            body[key] = given[name]
    for label in body.get("labels", ()):
        if "=" not in label:
            raise click.UsageError(f"--image-label {label[:80]!r} has no '='")
    return body


def values_of(given: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return values and values file as far as they are given."""
    entries = [named_value(text, "--set") for text in given["set_values"]]
    entries += [
        {**named_value(secret_value(text), "--set-secret"), "secret": True}
        for text in given["set_secrets"]
    ]
    body: dict[str, Any] = {"values": last_of_each(entries)} if entries else {}
    values = given.get("values")
    if values is not None and (values == "-" or _no_source(source)):
        body |= {"valuesContent": local_text(values, "values file"), "valuesFile": None}
    elif values is not None:
        body |= {"valuesFile": values, "valuesContent": None}
    return body


def arguments_of(plain: Iterable[str], hidden: Iterable[str]) -> list[dict[str, Any]]:
    """Return build arguments as the API writes them; a later one of a name wins."""
    entries = [named_value(build_argument(text, "--arg"), "--arg") for text in plain]
    entries += [
        {**named_value(build_argument(text, "--secret-arg"), "--secret-arg"), "secret": True}
        for text in hidden
    ]
    return last_of_each(entries)


def named_value(text: str, flag: str) -> dict[str, Any]:
    """Return ``NAME=VALUE`` as the API writes it.

    Raises:
        click.UsageError: There is no ``=`` or no name (V-62).
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        shown = name[:80] if flag.startswith("--s") else text[:80]
        raise click.UsageError(f"{flag} {shown!r} is not NAME=VALUE")
    return {"name": name, "value": value}


def last_of_each(entries: Iterable[dict[str, Any]], key: str = "name") -> list[dict[str, Any]]:
    """Return entries with the last of each name only, in order of first mention."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        found[entry[key]] = entry
    return list(found.values())


def remote_source(text: str) -> str:
    """Return a source that a server can fetch itself.

    Raises:
        click.UsageError: It is a directory of this machine.
    """
    if _no_source(text):
        return NO_SOURCE
    if is_local(text):
        raise click.UsageError(
            f"-c {text[:80]!r}: a stored task can't keep a directory of this machine; give a Git"
            " URL, or give the directory when you run it: `tasks run -n NAME -c DIR`"
        )
    return text


def is_local(text: str) -> bool:
    """Return whether a source is a directory of this machine, by its form.

    Raises:
        InvalidInput: It is no source, or holds a login.
    """
    from runners.model.errors import InvalidInput
    from tasks_service.sources.location import LocalDirectory, NoSource, parse_location

    location = parse_location(text, allow_http=True)
    if isinstance(location, LocalDirectory):
        return True
    if not isinstance(location, NoSource) and location.credential is not None:
        raise InvalidInput(
            f"{location.display}: a login in a source's address is not sent to a server",
            hint="give the token by TASKS_GIT_TOKEN and TASKS_GIT_TOKEN_HOST, or store it with"
            " the task: --git-access-token - < FILE",
        )
    return False


def local_text(name: str, what: str) -> str:
    """Return the text of a file of this machine, or of standard input.

    Raises:
        SourceNotFound: There is none.
        InvalidInput: It is too large, or no UTF-8.
    """
    from runners.model.errors import InvalidInput
    from tasks_service.sources.beneath import read_regular
    from tasks_service.sources.errors import SourceNotFound

    shown = "standard input" if name == "-" else repr(name)
    try:
        if name == "-":
            data = read_standard_input(FILE_LIMIT, what)
        else:
            data = read_regular(Path(name), limit=FILE_LIMIT, what=f"{what} {shown}", follow=True)
        return data.decode()
    except FileNotFoundError:
        raise SourceNotFound(f"{what} not found: there is no {shown}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{what} {shown} is not UTF-8 text") from None


def _no_source(source: str) -> bool:
    return source.lower() == NO_SOURCE


def _one_platform(text: str) -> str:
    found = parse_platforms((text,))
    if len(found) != 1:
        raise click.UsageError("--platform takes one platform")
    return found[0]


def _label(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if equals and name:
        return name, value
    if not equals and name.endswith("-") and len(name) > 1:
        return name[:-1], None
    raise click.UsageError(f"--label {text[:80]!r} is not KEY=VALUE or KEY-")


def secret_text(text: str, flag: str) -> str:
    """Return a secret of the command line; ``-`` is standard input, else people are warned."""
    if text == "-":
        return read_standard_input(4096, f"the text of {flag}").decode(errors="replace").strip()
    sys.stderr.write(f"warning: others on this machine can see {flag}: give - and standard input\n")
    return text
