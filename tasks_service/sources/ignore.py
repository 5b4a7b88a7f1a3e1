"""Which files of a context stay at home: ``.dockerignore`` and what nobody wants in one.

In: a context's directory and its Dockerfile. Out: an object that is asked by
path. The rules of patterns are those of Docker and BuildKit. Called by ``pack.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runners.model.errors import InvalidInput
from tasks_service.sources.beneath import read_regular

if TYPE_CHECKING:
    from e2b_dockerfile_utils import PatternMatcher

VERSION_CONTROL = (".git", ".gitignore", ".bzr", ".bzrignore", ".hg", ".hgignore", ".svn")
"""Left out of the context's root unless a ``!`` pattern names them (C-033)."""

_LIMIT = 1 << 20
# Each is asked for every file.
_MAX_PATTERNS = 5000


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns of one context.

    Attributes:
        patterns: As written, without comments; the last match wins.
        file: The ignore file's name in the context; empty if there is none,
            or if it stands outside.
    """

    patterns: tuple[str, ...]
    file: str
    _matcher: PatternMatcher

    def excludes(self, path: str) -> bool:
        """Return whether the path stays at home by itself."""
        return bool(self._matcher.matches(path))

    def may_hold(self, directory: str) -> bool:
        """Return whether something below the directory may come along."""
        return not self.excludes(directory) or bool(self._matcher.may_match_under(directory))


def read_ignore(root: Path, dockerfile: Path | None) -> Ignore:
    """Return the patterns of a context.

    ``<Dockerfile>.dockerignore`` beside the Dockerfile takes the place of
    ``.dockerignore`` in the root (C-032).

    Raises:
        InvalidInput: The file can't be read, or a pattern can't be.
    """
    # Slow to import, and only needed here.
    from e2b_dockerfile_utils import PatternMatcher

    path, lines = _lines(root, dockerfile)
    if len(lines) > _MAX_PATTERNS:
        raise InvalidInput(f"{path.name} holds more than {_MAX_PATTERNS} patterns")
    patterns = (*VERSION_CONTROL, *lines)
    try:
        matcher = PatternMatcher(list(patterns))
    except ValueError as exc:
        raise InvalidInput(f"{path.name}: {exc}") from exc
    file = path.relative_to(root).as_posix() if lines and path.is_relative_to(root) else ""
    return Ignore(patterns, file, matcher)


def _lines(root: Path, dockerfile: Path | None) -> tuple[Path, list[str]]:
    places = [root / ".dockerignore"]
    if dockerfile is not None:
        own = dockerfile.parent.resolve() / f"{dockerfile.name}.dockerignore"
        places.insert(0, own)
    for path in places:
        try:
            # The user's own file: a link of theirs may lead where it likes.
            data = read_regular(path, limit=_LIMIT, what=f"file {str(path)!r}", follow=True)
        except FileNotFoundError:
            continue
        text = data.decode("utf-8-sig", "surrogateescape")
        found = (line.strip() for line in text.splitlines() if not line.startswith("#"))
        return path, [line for line in found if line]
    return places[-1], []
