"""Submodules: each fetched like a source of its own, under the same rules, and put in its place.

In: a fetched tree and the links in it. Out: the tree with the links filled.
Git's own submodule machinery is not used: names, ``update`` commands and
branches of ``.gitmodules`` mean nothing here, only paths and URLs do (G3).
Called by ``open.py`` where the operator or the user asked for submodules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from tasks_service.sources.confine import Answer
from tasks_service.sources.folders import private_folder
from tasks_service.sources.git import fetch_git
from tasks_service.sources.location import GitLocation, parse_location, short
from tasks_service.sources.refs import is_commit
from tasks_service.sources.settings import SourceSettings

MAX_DEPTH = 3
"""Submodules of submodules, counted from the repository."""
MAX_COUNT = 50
"""Of one source, all levels together."""


@dataclass(slots=True)
class Budget:
    """What is left for all submodules of a source."""

    bytes: int
    entries: int
    deadline: float
    count: int = MAX_COUNT

    @classmethod
    def after(cls, answer: Answer, settings: SourceSettings, started: float) -> Budget:
        """Return what the repository itself left over."""
        return cls(
            settings.max_bytes - int(answer["bytes"]),
            settings.max_entries - int(answer["entries"]),
            started + settings.deadline_s,
        )

    def bound(self, settings: SourceSettings) -> SourceSettings:
        """Return settings for the next fetch."""
        return replace(
            settings,
            max_bytes=max(1, self.bytes),
            max_entries=max(1, self.entries),
            deadline_s=max(1.0, self.deadline - time.monotonic()),
        )

    def spend(self, answer: Answer) -> None:
        """Take off what a fetch needed."""
        self.bytes -= int(answer["bytes"])
        self.entries -= int(answer["entries"])


def fetch_submodules(
    location: GitLocation,
    tree: Path,
    answer: Answer,
    settings: SourceSettings,
    cancel: Cancellation,
    budget: Budget,
    notice: Callable[[str], None],
    *,
    depth: int = 1,
) -> None:
    """Fill every link of ``tree`` with the commit it names.

    The process that filled the tree is dead. A login is used for its own host
    only, as for any source.

    Raises:
        InvalidInput: There are too many, they nest too deep, or a URL or a
            path breaks a rule.
        RunnerError: See ``fetch_git``.
    """
    budget.count -= len(answer["links"])
    if budget.count < 0:
        raise InvalidInput(f"the source has more than {MAX_COUNT} submodules")
    for link in answer["links"]:
        path = str(link["path"])
        if depth > MAX_DEPTH:
            raise InvalidInput(f"submodules nest deeper than {MAX_DEPTH} at {short(path)!r}")
        module = _location(location, path, str(link["url"]), str(link["commit"]), settings)
        place = _place(tree, path)
        notice(f"Fetching submodule {short(path)} from {module.url}")
        with private_folder(settings.folder) as folder:
            found = fetch_git(module, folder, budget.bound(settings), cancel)
            budget.spend(found)
            below = folder / "tree"
            fetch_submodules(
                module, below, found, settings, cancel, budget, notice, depth=depth + 1
            )
            place.rmdir()
            below.rename(place)


def _location(
    parent: GitLocation, path: str, url: str, commit: str, settings: SourceSettings
) -> GitLocation:
    if not url:
        raise InvalidInput(
            f"submodule {short(path)!r} has no URL in .gitmodules",
            hint="add it, or remove the link",
        )
    whole = _joined(parent.url, url) if url.startswith(("./", "../")) else url
    try:
        found = parse_location(whole, allow_http=settings.allow_http)
    except InvalidInput as error:
        raise InvalidInput(f"submodule {short(path)!r}: {error.message}", hint=error.hint) from None
    plain = isinstance(found, GitLocation) and not (found.ref or found.directory)
    if not isinstance(found, GitLocation) or not plain or found.credential:
        raise InvalidInput(
            f"submodule {short(path)!r} has a URL that is none of a Git repository: {short(url)!r}",
            hint="write https://host/repository.git, or a path that begins with ../",
        )
    if not is_commit(commit):
        raise InvalidInput(f"submodule {short(path)!r} names no commit")
    same = (found.scheme, found.host) == (parent.scheme, parent.host)
    return replace(found, ref=commit, credential=parent.credential if same else None)


def _joined(base: str, relative: str) -> str:
    # As Git does: ``../`` takes off a part of the path, and never the host.
    parts = urlsplit(base)
    if not parts.scheme:
        head, _, path = base.partition(":")
        prefix = f"{head}:"
    else:
        path = parts.path.lstrip("/")
        prefix = f"{parts.scheme}://{parts.netloc}/"
    steps = path.rstrip("/").split("/")
    for step in relative.split("/"):
        if step == "..":
            if not steps:
                raise InvalidInput(f"submodule URL {short(relative)!r} leaves the host")
            steps.pop()
        elif step not in ("", "."):
            steps.append(step)
    return prefix + "/".join(steps)


def _place(tree: Path, path: str) -> Path:
    place = tree / path
    plain = ".." not in Path(path).parts and not Path(path).is_absolute()
    # Nobody changes the tree any more, so what is checked here stays.
    if not plain or place.resolve() != tree.resolve() / path or not place.is_dir():
        raise InvalidInput(f"submodule {short(path)!r} has no folder of its own in the source")
    if any(place.iterdir()):
        raise InvalidInput(f"submodule {short(path)!r} has a folder that is not empty")
    return place
