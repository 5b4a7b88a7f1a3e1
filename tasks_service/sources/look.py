"""Look where the refs of a Git repository stand, without fetching it.

In: a checked GitLocation. Out: Refs. Called by the scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from tasks_service.sources.folders import private_folder
from tasks_service.sources.git import ask_git
from tasks_service.sources.location import GitLocation
from tasks_service.sources.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Refs:
    """Where the branches and tags of a repository stand.

    Attributes:
        default: The default branch as a whole ref, or empty.
        commits: Commit by whole ref.
        objects: By whole ref all ids that stand for it: the commit, and the
            object of an annotated tag.
    """

    default: str
    commits: Mapping[str, str]
    objects: Mapping[str, tuple[str, ...]]


def look_at(location: GitLocation, settings: SourceSettings, cancel: Cancellation) -> Refs:
    """Ask a Git server for its refs.

    Raises:
        SourceNotFound, Denied, Unavailable, InvalidInput: As ``git.fetch_git``.
    """
    location = replace(location, ref="", directory="")
    with private_folder(settings.folder) as folder:
        answer = ask_git("look", location, folder, settings, cancel)
    if not answer["ok"]:
        raise InvalidInput(f"{location.url} has more than {answer['limit']} branches and tags")
    objects = {ref: tuple(ids) for ref, ids in answer["refs"].items()}
    return Refs(answer["default"], {ref: ids[-1] for ref, ids in objects.items()}, objects)
