"""Open a source: a text in, a directory at an exact commit out, nothing left after.

The one entrance of this package; called by the command line (and later by
the service's preparer).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from tasks_service.sources.beneath import resolve_beneath
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.folders import private_folder
from tasks_service.sources.location import (
    ArchiveLocation,
    ArtifactLocation,
    GitLocation,
    LocalDirectory,
    NoSource,
    parse_location,
    redactions,
    short,
)
from tasks_service.sources.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Source:
    """A source as a run sees it.

    Attributes:
        directory: What becomes the workspace; None for ``/dev/null``.
        location: Where it came from, without any login.
        remote: True if somebody else filled the directory: files are then
            read beneath it only.
        commit, branch, tag, repository: Filled for Git sources (V-08, V-09).
        mask: Texts that no output may show.
    """

    directory: Path | None
    location: str
    remote: bool = False
    commit: str = ""
    branch: str = ""
    tag: str = ""
    repository: str = ""
    mask: tuple[str, ...] = field(default=(), repr=False)


def silent(text: str) -> None:
    """Take a notice and drop it."""


@contextlib.contextmanager
def open_source(
    text: str,
    *,
    settings: SourceSettings,
    cancel: Cancellation,
    notice: Callable[[str], None] = silent,
) -> Iterator[Source]:
    """Yield the source that ``text`` means; remove what was fetched afterwards.

    Raises:
        InvalidInput: The text breaks a rule, or the source does.
        SourceNotFound: The directory, repository, ref or subdirectory is
            not there.
        Denied, Unavailable: See ``git.fetch_git``, ``archive`` and ``artifact``.
        RunnerError: The reason of ``cancel``.
    """
    location = parse_location(text, allow_http=settings.allow_http)
    if isinstance(location, NoSource):
        yield Source(None, location.display)
    elif isinstance(location, LocalDirectory):
        yield Source(_local(location.path), location.display)
    else:
        notice(f"Fetching {location.display}")
        with private_folder(settings.folder) as folder:
            yield _fetch(location, folder, settings, cancel, notice)


def _local(path: Path) -> Path:
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise InvalidInput(
            f"source {str(path)!r} is a file, not a directory",
            hint="give the directory; `-f` names the task file",
        )
    hint = "a Git source begins with https:// or ssh://"
    raise SourceNotFound(f"there is no directory {str(path)!r}", hint=hint)


def _fetch(
    location: GitLocation | ArchiveLocation | ArtifactLocation,
    folder: Path,
    settings: SourceSettings,
    cancel: Cancellation,
    notice: Callable[[str], None],
) -> Source:
    if isinstance(location, ArtifactLocation):
        from tasks_service.sources.artifact import fetch_artifact

        notice(f"Artifact {fetch_artifact(location, folder, settings, cancel)}")
        return Source(directory_of(folder, location.directory), location.display, remote=True)
    if isinstance(location, ArchiveLocation):
        from tasks_service.sources.archive import fetch_archive

        fetch_archive(location, folder, settings, cancel)
        return Source(
            directory_of(folder, location.directory),
            location.display,
            remote=True,
            mask=redactions(location),
        )
    from tasks_service.sources.git import fetch_git

    started = time.monotonic()
    answer = fetch_git(location, folder, settings, cancel)
    notice(_told(answer["commit"], str(answer["subject"])))
    if answer.get("lent"):
        notice(f"Received {_size(int(answer['received']))}; the rest was here already")
    if settings.lfs:
        from tasks_service.sources.lfs import fetch_lfs

        # Before submodules come in: their files are at other servers.
        filled = fetch_lfs(location, folder, settings, cancel)
        if filled.files:
            notice(f"{filled.files} Git LFS file(s), {_size(filled.bytes)}")
    if answer["submodules"] and settings.submodules:
        from tasks_service.sources.submodules import Budget, fetch_submodules

        budget = Budget.after(answer, settings, started)
        fetch_submodules(location, folder / "tree", answer, settings, cancel, budget, notice)
    elif answer["submodules"]:
        notice(f"{answer['submodules']} submodule(s) of {location.url} were not fetched")
    return Source(
        directory_of(folder, location.directory),
        location.display,
        remote=True,
        commit=answer["commit"],
        branch=answer["branch"],
        tag=answer["tag"],
        repository=location.url,
        mask=redactions(location) + ((settings.login.password,) if settings.login else ()),
    )


def _size(count: int) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _told(commit: str, subject: str) -> str:
    # Whoever wrote the message may not write on the terminal.
    shown = short("".join(letter for letter in subject if letter.isprintable()))
    return f"Commit {commit[:12]}: {shown}" if shown else f"Commit {commit[:12]}"


def directory_of(folder: Path, directory: str) -> Path:
    """Return the directory of the fetched tree that becomes the workspace.

    Raises:
        InvalidInput: It leaves the tree, or is no directory.
        SourceNotFound: It is not there.
    """
    tree = folder / "tree"
    if not directory:
        return tree
    found = resolve_beneath(tree, directory, what="directory")
    if not found.is_dir():
        raise InvalidInput(f"{directory!r} of the source is not a directory")
    return found
