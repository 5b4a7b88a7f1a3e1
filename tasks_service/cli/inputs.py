"""Files a command reads besides the source: the task file, values, standard input.

In: a name and the open source. Out: its text and the name for messages. Files
of a remote source are read beneath it only (G6); of a local one, and with
``/dev/null``, also where the user stands.
"""

from __future__ import annotations

from pathlib import Path

from runners.model.errors import InvalidInput
from tasks_service.cli.options import read_standard_input
from tasks_service.sources.beneath import read_beneath, read_regular
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.open import Source

LIMIT = 256 * 1024
"""Largest task or values file taken."""
TASK_FILES = ("acb.yaml", "acr-task.yaml", "task.yaml")
"""Looked for, in this order, where ``-f`` is not given (Y-001)."""


def read_input(source: Source, name: str, what: str) -> bytes:
    """Return the bytes of file ``name`` of the source.

    Raises:
        SourceNotFound: It is in none of the places it may be in.
        InvalidInput: It leaves the source, is no file, or is too large.
    """
    if name == "-":
        return read_standard_input(LIMIT, what)
    if source.remote and source.directory is not None:
        return read_beneath(source.directory, name, limit=LIMIT, what=what)
    places = [Path(name)]
    if source.directory is not None:
        places.insert(0, source.directory / name)
    for place in dict.fromkeys(places):
        try:
            return read_regular(place, limit=LIMIT, what=f"{what} {str(place)!r}", follow=True)
        except FileNotFoundError:
            continue
    hint = ""
    if source.directory is None:
        hint = "with /dev/null the file is looked for in the current directory"
    where = " or ".join(repr(str(place)) for place in dict.fromkeys(places))
    raise SourceNotFound(f"{what} not found: there is no {where}", hint=hint)


def read_task_file(source: Source, name: str | None) -> tuple[str, bytes]:
    """Return the task file's name and bytes; without a name, the first usual one.

    Raises:
        SourceNotFound, InvalidInput: See ``read_input``.
    """
    if name is not None:
        return ("<stdin>" if name == "-" else name), read_input(source, name, "task file")
    if source.directory is None:
        raise InvalidInput(
            "there is no source, so no task file",
            hint="name a local task file by -f, or give one command by --cmd",
        )
    for usual in TASK_FILES:
        try:
            return usual, read_input(source, usual, "task file")
        except SourceNotFound:
            continue
    raise SourceNotFound(
        f"there is no task file in {source.location}: none of {', '.join(TASK_FILES)}",
        hint="name it by -f",
    )
