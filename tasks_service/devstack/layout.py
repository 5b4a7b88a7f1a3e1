"""Where the stack keeps its things: a checkout in, folders out.

Everything lies below ``.tasks/`` of the checkout, so that it is found and
removed with it. Two things may not fit there: a remapped engine's users must
be able to walk to its data, and a socket's path has a short limit. Then they
go to the machine's own places, under a name that belongs to this checkout.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners.model.errors import Unavailable

CHECKOUT = Path(__file__).resolve().parents[2]
# sun_path holds 108 bytes; the longest name below a run folder takes the rest.
_MAX_RUN_PATH = 70


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders of one checkout's stack; none is made before it is needed.

    Attributes:
        checkout: The working copy.
        state: Everything small or kept: settings, caches, results.
        data: Data roots of engines (large, owned by root).
        run: Sockets and process records; short paths.
    """

    checkout: Path
    state: Path
    data: Path
    run: Path

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
        for folder in (self.state, self.data, self.run, self.logs, self.cache):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)


def layout(checkout: Path = CHECKOUT) -> Layout:
    """Return the folders of ``checkout``."""
    state = checkout / ".tasks"
    name = hashlib.sha256(os.fsencode(checkout)).hexdigest()[:12]
    as_root = os.geteuid() == 0
    data, run = state / "engine", state / "run"
    if as_root and not _all_may_walk_to(checkout):
        data = Path("/var/lib/tasks-service") / name
    if len(os.fsencode(run)) > _MAX_RUN_PATH:
        base = Path("/run") if as_root else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))  # noqa: S108
        run = base / "tasks-service" / name
    return Layout(checkout=checkout, state=state, data=data, run=run)


def _all_may_walk_to(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))


@contextmanager
def exclusive(where: Layout, doing: str) -> Iterator[None]:
    """Hold the stack for one command; the lock ends with the process.

    Raises:
        Unavailable: another command holds it.
    """
    where.prepare()
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
