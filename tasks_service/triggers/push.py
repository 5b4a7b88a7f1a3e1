"""Pushes as all providers mean them: what one says, and whether a trigger wants it.

In: a payload that was read by a provider's module. Out: Push, or a reason to
ignore it. Pure. Nothing of a payload is trusted beyond what is checked here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from runners.model.errors import InvalidInput
from tasks_service.model.commit import ELSEWHERE, CommitTrigger

BRANCH = "refs/heads/"
TAG = "refs/tags/"
MAX_REF = 500
MAX_MESSAGE = 4000
MAX_STARS = 4
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PLAIN = re.compile(r"[\w./@+#=,\-]+")
_SKIP = re.compile(r"\[(?:skip ci|ci skip|no ci|skip tasks)\]", re.IGNORECASE)


class InvalidPayload(InvalidInput):
    """A delivery is not what its provider sends."""

    code = "invalid_payload"


@dataclass(frozen=True, slots=True)
class Pull:
    """What makes a push one of a pull request.

    Attributes:
        base_ref: The branch it is for, whole.
        fork: Its code is not of the repository itself, or nobody says so.
    """

    number: int
    base_ref: str
    fork: bool
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """One ref that moved, or a pull request at a commit.

    Attributes:
        ref: Whole (``refs/heads/main``).
        before, commit: Where it was and is; ``before`` is empty for a new ref.
        paths: Changed files, or None where the payload does not tell all.
        pull: The pull request whose head ``ref`` is.
    """

    repository: str
    ref: str
    before: str
    commit: str
    default_branch: str = ""
    message: str = ""
    paths: tuple[str, ...] | None = None
    pull: Pull | None = None

    @property
    def meaning(self) -> str:
        """What stays the same however often, and under whatever id, it is delivered."""
        told = ["push", self.ref, self.before, self.commit]
        if (pull := self.pull) is not None:
            told = ["pull", self.ref, self.commit, pull.base_ref, str(pull.draft)]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()


def make_push(
    *,
    repository: str,
    ref: str,
    before: str,
    commit: str,
    default_branch: str = "",
    message: str = "",
    paths: tuple[str, ...] | None = None,
) -> Push | None:
    """Return a checked push, or None if the ref was deleted.

    Raises:
        InvalidPayload: The ref or a commit can't be.
    """
    if not commit.strip("0"):
        return None
    return checked_push(
        Push(repository, ref, before.strip("0") and before, commit, default_branch, message, paths)
    )


def checked_push(push: Push) -> Push:
    """Return a push as it may be stored.

    Raises:
        InvalidPayload: The ref or a commit can't be.
    """
    commit, before, ref = push.commit, push.before, push.ref
    if not _COMMIT.fullmatch(commit):
        raise InvalidPayload("the payload's commit is not a full commit id")
    if before and not _COMMIT.fullmatch(before):
        raise InvalidPayload("the payload's previous commit is not a full commit id")
    if not ref.startswith("refs/") or len(ref) > MAX_REF or not ref.isprintable():
        raise InvalidPayload("the payload's ref is not the name of a ref")
    return replace(
        push,
        repository=storable(push.repository)[:300],
        default_branch=storable(push.default_branch)[:MAX_REF],
        message=storable(push.message)[:MAX_MESSAGE],
        paths=None if push.paths is None else tuple(map(storable, push.paths)),
    )


def plain_name(ref: str, kind: str) -> str:
    """Return the name of a branch or tag for ``{{.Run.Branch}}`` and the like, or an empty text.

    A name with quotes, dollars and the like is nobody's to put into a command.
    """
    name = ref.removeprefix(kind)
    return name if ref.startswith(kind) and _PLAIN.fullmatch(name) and name[0] != "-" else ""


def storable(text: str) -> str:
    """Return foreign text without what no database keeps."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


_PUSH = TypeAdapter(Push)


def dump_push(push: Push) -> str:
    """Return a push as JSON."""
    return _PUSH.dump_json(push).decode()


def load_push(text: str) -> Push:
    """Return the push that ``dump_push`` wrote."""
    return _PUSH.validate_json(text)


def text(payload: Any, *path: str) -> str:
    """Return the text at ``path``.

    Raises:
        InvalidPayload: There is none.
    """
    found = optional(payload, *path)
    if not found:
        raise InvalidPayload(f"the payload has no text at {'.'.join(path)}")
    return found


def optional(payload: Any, *path: str) -> str:
    """Return the text at ``path``, or an empty one."""
    for name in path:
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    return payload if isinstance(payload, str) else ""


def items(payload: Any, *path: str) -> list[Any]:
    """Return the list at ``path``, or an empty one."""
    for name in path:
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    return payload if isinstance(payload, list) else []


def changed_paths(commits: list[Any], *, whole: bool) -> tuple[str, ...] | None:
    """Return the files that ``commits`` name, or None where they are not all.

    ``commits`` have ``added``, ``modified`` and ``removed``, as most providers send.
    """
    if not whole or not commits:
        return None
    found: dict[str, None] = {}
    for commit in commits:
        for kind in ("added", "modified", "removed"):
            found.update((path, None) for path in items(commit, kind) if isinstance(path, str))
    return tuple(found)


def unwanted(trigger: CommitTrigger, push: Push, source_ref: str) -> str:
    """Return why a trigger ignores a push, or an empty text if it does not.

    Args:
        trigger: The trigger.
        push: What came.
        source_ref: The ref of the task's source, or empty.
    """
    if not trigger.enabled:
        return "the trigger is disabled"
    if trigger.repository and trigger.repository.lower() != push.repository.lower():
        return ELSEWHERE
    if why := _uncounted(trigger, push):
        return why
    ref = push.ref if push.pull is None else push.pull.base_ref
    if not wants_ref(trigger, ref, source_ref, push.default_branch):
        return "no pattern of the trigger takes this ref"
    if _SKIP.search(push.message):
        return "its commit message asks to skip it"
    # A push too large for its payload is built: better once too often.
    known = push.paths if trigger.paths else None
    if known is not None and not any(_chosen(trigger.paths, path, path) for path in known):
        return "none of its files match the trigger's paths"
    return ""


def wants_ref(trigger: CommitTrigger, ref: str, source_ref: str, default: str) -> bool:
    """Return whether the patterns of a trigger take a whole ref.

    Args:
        trigger: The trigger.
        ref: As ``refs/heads/main``.
        source_ref: The ref of the task's source, or empty.
        default: The repository's default branch, or empty.
    """
    globs = trigger.refs or (source_ref or default or "main",)
    return _chosen(globs, ref.removeprefix(BRANCH), ref)


def _uncounted(trigger: CommitTrigger, push: Push) -> str:
    if push.pull is None:
        return "" if trigger.pushes else "the trigger takes pull requests only"
    if not trigger.pull_requests:
        return "the trigger takes no pull requests"
    return "it is a draft" if push.pull.draft else ""


def glob_problem(glob: str) -> str:
    """Return why a glob can't be, or an empty text."""
    if not glob.removeprefix("!") or len(glob) > 200 or not glob.isprintable():
        return "must be 1 to 200 printable characters"
    if glob.count("*") > MAX_STARS * 2:
        return f"must hold at most {MAX_STARS * 2} stars"
    return ""


def _chosen(globs: Iterable[str], short: str, whole: str) -> bool:
    wanted = [glob for glob in globs if not glob.startswith("!")]
    refused = [glob[1:] for glob in globs if glob.startswith("!")]

    def matches(glob: str) -> bool:
        return _pattern(glob).fullmatch(whole if glob.startswith("refs/") else short) is not None

    return (not wanted or any(map(matches, wanted))) and not any(map(matches, refused))


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    """``*`` and ``?`` stay in one folder, ``**`` does not."""
    parts = re.split(r"(\*\*/|\*+|\?)", glob)
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)
