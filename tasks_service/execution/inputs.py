"""Files a run reads besides its context: the task file, values, alias files.

In: a name and the open source. Out: its text and the name for messages. Files
of a source that somebody else filled are read beneath it only (G6); on the
author's own machine, of a local one and with ``/dev/null``, also where the
user stands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runners.model.errors import InvalidInput
from tasks_service.sources.beneath import read_beneath, read_regular
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.open import Source

_ALIAS_S = 2.0
LIMIT = 256 * 1024
"""Largest task or values file taken."""
TASK_FILES = ("acb.yaml", "acr-task.yaml", "task.yaml")
"""Looked for, in this order, where no file is named (Y-001)."""


class Inputs:
    """Reads files of one open source.

    Args:
        own_machine: Files beside the source may be read; see Place.
    """

    def __init__(self, source: Source, *, own_machine: bool) -> None:
        self._source = source
        self._beside = own_machine and (not source.remote or source.directory is None)

    def read(self, name: str, what: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            SourceNotFound: It is in none of the places it may be in.
            InvalidInput: It leaves the source, is no file, or is too large.
        """
        directory = self._source.directory
        if not self._beside:
            if directory is None:
                raise InvalidInput(
                    f"there is no source, so no {what} {name!r}",
                    hint="name a source that holds it, or send its text",
                )
            return read_beneath(directory, name, limit=LIMIT, what=what)
        places = [Path(name)]
        if directory is not None:
            places.insert(0, directory / name)
        for place in dict.fromkeys(places):
            try:
                return read_regular(place, limit=LIMIT, what=f"{what} {str(place)!r}", follow=True)
            except FileNotFoundError:
                continue
        hint = ""
        if directory is None:
            hint = "with /dev/null the file is looked for in the current directory"
        where = " or ".join(repr(str(place)) for place in dict.fromkeys(places))
        raise SourceNotFound(f"{what} not found: there is no {where}", hint=hint)

    def task_file(self, name: str) -> tuple[str, bytes]:
        """Return the task file's name and bytes; without a name, the first usual one.

        Raises:
            SourceNotFound, InvalidInput: See ``read``.
        """
        if name:
            return name, self.read(name, "task file")
        if self._source.directory is None:
            raise InvalidInput(
                "there is no source, so no task file",
                hint="name a local task file by -f, or give one command by --cmd"
                if self._beside
                else "send the text of the task file, or one command",
            )
        for usual in TASK_FILES:
            try:
                return usual, self.read(usual, "task file")
            except SourceNotFound:
                continue
        raise SourceNotFound(
            f"there is no task file in {self._source.location}: none of {', '.join(TASK_FILES)}",
            hint="name it by -f",
        )

    def alias_reader(self, *, allow_urls: bool, allow_http: bool) -> Callable[[str], str]:
        """Return a function that reads one entry of ``alias.src`` (V-41).

        A path is a file of the source; a URL is fetched within two seconds,
        but only for a task file of the user's own (``allow_urls``).
        """

        def read(entry: str) -> str:
            if "://" in entry and not allow_urls:
                raise InvalidInput("this task file may take aliases from its own source only")
            if "://" in entry:
                return _fetch_text(entry, allow_http=allow_http)
            try:
                return self.read(entry, "alias file").decode(errors="replace")
            except SourceNotFound as exc:
                # The compiler takes it as one more problem of the file.
                raise InvalidInput(exc.message, hint=exc.hint) from exc

        return read


def _fetch_text(url: str, *, allow_http: bool) -> str:
    import httpx2

    from tasks_service.sources.location import parse_location, short

    # The same rules for hosts and schemes as for sources.
    parse_location(url.partition("?")[0], allow_http=allow_http)
    where = short(url.partition("?")[0])
    try:
        with httpx2.stream("GET", url, timeout=_ALIAS_S, follow_redirects=False) as response:
            if response.status_code > 299:
                raise InvalidInput(f"alias file {where}: status {response.status_code}")
            data = b""
            for block in response.iter_bytes():
                data += block
                if len(data) > LIMIT:
                    raise InvalidInput(f"alias file {where} is larger than {LIMIT // 1024} KiB")
    except httpx2.HTTPError as exc:
        raise InvalidInput(f"alias file {where} cannot be had: {exc}") from exc
    return data.decode(errors="replace")
