"""Values given as ``NAME=VALUE``, from the environment, or from files.

In: words of the command line. Out: names and values, read and checked here,
so that neither a run on this machine nor a server needs the user's files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from runners.model.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_SECRET_LIMIT = 500 * 1024


def build_argument(text: str, flag: str) -> str:
    """Return ``NAME=VALUE``; NAME alone takes the environment's value (V-65).

    Raises:
        click.UsageError: It has no name, or the environment has no such.
    """
    name, equals, _ = text.partition("=")
    if not _NAME.fullmatch(name):
        raise click.UsageError(f"{flag} {name[:80]!r} is not a name")
    if equals:
        return text
    if name not in os.environ:
        raise click.UsageError(f"{flag} {name}: there is no environment variable {name}")
    return f"{name}={os.environ[name]}"


def secret_value(entry: str) -> str:
    """Return the ``KEY=VALUE`` of ``--set-secret``; KEY alone takes the environment's value.

    Raises:
        click.UsageError: The environment has no such.
    """
    name, equals, _ = entry.partition("=")
    if equals:
        return entry
    if name not in os.environ:
        raise click.UsageError(f"--set-secret {name}: there is no environment variable {name}")
    return f"{name}={os.environ[name]}"


def build_secret(text: str) -> tuple[str, str]:
    """Return id and value of ``id=ID,src=FILE`` or ``id=ID,env=NAME``.

    Raises:
        click.UsageError: It is written otherwise, or its source is not there.
        InvalidInput: The file is no text, or too large.
    """
    pairs = dict(part.partition("=")[::2] for part in text.split(","))
    pairs = {key.strip().lower(): value for key, value in pairs.items()}
    name = pairs.pop("id", "")
    kind = pairs.pop("type", "")
    path = pairs.pop("src", "") or pairs.pop("source", "")
    variable = pairs.pop("env", "")
    if not name or pairs or kind not in ("", "file", "env"):
        raise click.UsageError("--secret is written id=ID,src=FILE or id=ID,env=NAME")
    if path:
        return name, _secret_file(path)
    variable = variable or name
    if variable not in os.environ:
        raise click.UsageError(f"--secret id={name}: there is no environment variable {variable}")
    return name, os.environ[variable]


def _secret_file(path: str) -> str:
    from tasks_service.sources.beneath import read_regular

    try:
        data = read_regular(Path(path), limit=_SECRET_LIMIT, what=f"secret {path!r}", follow=True)
        return data.decode()
    except FileNotFoundError:
        raise click.UsageError(f"--secret: there is no file {path!r}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"secret {path!r} is not UTF-8 text") from None
