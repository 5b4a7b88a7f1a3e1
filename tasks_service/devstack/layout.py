"""Where the stack keeps its things: a checkout in, folders out.

Everything lies below ``.tasks/`` of the checkout, so that it is found and
removed with it. What may not fit there (engines whose users can't walk into a
closed home folder, sockets with long paths) goes where
``runners.backends.dind.places`` says.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners.backends.dind import places
from runners.model.errors import Unavailable

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders of one checkout's stack, or of an installation's runners.

    None is made before it is needed. ``root`` is in place of ``.tasks``.
    """

    checkout: Path
    root: Path | None = None

    @property
    def state(self) -> Path:
        """Everything small or kept: settings, caches, results."""
        return self.root or self.checkout / ".tasks"

    @property
    def run(self) -> Path:
        """Sockets and process records; a short path."""
        return places.run_root(self.state) / "run"

    @property
    def logs(self) -> Path:
        """Logs of the processes the stack started."""
        return self.state / "log"

    @property
    def cache(self) -> Path:
        """What took long to make and can be made again."""
        return self.state / "cache"

    def prepare(self) -> None:
        """Make the folders, readable by all but writable by us."""
        for folder in (self.state, self.run, self.logs, self.cache):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)


@contextmanager
def exclusive(where: Layout, doing: str) -> Iterator[None]:
    """Hold the stack for one command; the lock ends with the process.

    Raises:
        Unavailable: another command holds it.
    """
    where.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = where.state / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another command"
            raise Unavailable(
                f"{holder} is at work in this checkout",
                hint="wait for it to end, or stop it; the lock goes away with its process",
            ) from error
        file.truncate(0)
        file.write(f"'{doing}' (process {os.getpid()})")
        file.flush()
        yield


def load(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; empty if there is none to be had."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object; readers see the old or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)
