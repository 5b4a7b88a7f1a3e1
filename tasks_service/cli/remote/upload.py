"""A directory of this machine becomes a source of a server: packed, and sent if it is new.

In: a directory and the file that must be in it. Out: ``upload:<sha256>``. What
the server holds already is not sent again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runners.model.errors import InvalidInput
from tasks_service.cli.output import Writer
from tasks_service.cli.remote.printing import say
from tasks_service.cli.terminal import is_terminal, size
from tasks_service.client.service import ServiceClient
from tasks_service.model.run import UPLOAD
from tasks_service.sources.pack import PackedContext, pack_directory

_PERIOD_S = 0.1


def upload_directory(
    client: ServiceClient, directory: Path, *, needed: Path | None, quiet: bool
) -> tuple[str, str]:
    """Return the source for a run, and the name that ``needed`` has in it.

    Args:
        client: Of the server.
        directory: What to pack, as Docker would (C-030 to C-035).
        needed: Dockerfile or task file that must be in it, whatever is ignored.
        quiet: Say nothing.

    Raises:
        InvalidInput: It can't be packed, or the server refuses it.
        Unavailable: The server does not answer.
    """
    meter = Meter(quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="tasks-context-") as folder:
        packed = pack_directory(
            directory,
            Path(folder, "context.tar.gz"),
            dockerfile=needed,
            progress=lambda done, total: meter.show("Packing the context", done, total),
        )
        meter.clear()
        _warn(packed, quiet=quiet)
        if client.has_upload(packed.sha256):
            meter.say(f"Context unchanged ({size(packed.size)}): not sent again")
        else:
            _send(client, packed, meter)
    return UPLOAD + packed.sha256, packed.dockerfile


def _send(client: ServiceClient, packed: PackedContext, meter: Meter) -> None:
    meter.say(f"Sending the context: {size(packed.size)}, {packed.entries} entries")
    try:
        with packed.path.open("rb") as stream:
            client.upload(
                packed.sha256,
                stream,
                packed.size,
                lambda done: meter.show("Sending the context", done, packed.size),
            )
    except InvalidInput as error:
        largest = "\n".join(f"{size(count):>9}  {name}" for name, count in packed.largest)
        hint = error.hint or "leave files out by .dockerignore; the largest are below"
        raise InvalidInput(error.message, hint=hint, detail=largest) from error
    finally:
        meter.clear()


def _warn(packed: PackedContext, *, quiet: bool) -> None:
    if packed.skipped and not quiet:
        names = ", ".join(packed.skipped[:5])
        more = len(packed.skipped) - 5
        say(
            "warning: sockets, pipes and devices are not packed: "
            + names
            + (f" and {more} more" if more > 0 else "")
        )


class Meter:
    """One line of progress on a terminal; nothing elsewhere."""

    def __init__(self, *, quiet: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._out = Writer(sys.stderr)
        self._live = not quiet and is_terminal(sys.stderr)
        self._now = now
        self._shown = 0.0
        self._dirty = False

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if not self._quiet:
            say(text)

    def show(self, what: str, done: int, total: int) -> None:
        """Show how far it is, ten times a second at most."""
        if not self._live or self._now() - self._shown < _PERIOD_S:
            return
        self._shown = self._now()
        self._dirty = True
        part = 100 * done // total if total else 100
        self._out.write(f"\r\x1b[K{what}: {part} % of {size(total)}")

    def clear(self) -> None:
        """Remove the line of progress."""
        if self._dirty:
            self._out.write("\r\x1b[K")
            self._dirty = False
