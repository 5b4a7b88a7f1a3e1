"""Path patterns of ``.dockerignore`` and of the daemon's include lists.

Pattern texts in, a matcher out that is asked along a walk; called by walk.py.
The rules are those of the matcher that Docker and BuildKit share: ``*``, ``?``
and classes within a name, ``**`` across names, ``!`` takes back, the last
match wins, and a pattern that matched a directory matches all below it.

The list is cut into runs of equal sign. Within a run order cannot matter, so
that a run of a thousand plain names costs one look-up.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

State = tuple[bool, ...]
"""Per run, whether it matched a directory or one above it."""

_WILD = re.compile(r"[*?\[\\]")


class BadPattern(ValueError):
    """A pattern that can never match, such as an unclosed class."""


class _Run:
    def __init__(self, *, negative: bool) -> None:
        self.negative = negative
        self.exact: set[str] = set()
        self.sources: list[str] = []
        self.regex: re.Pattern[str] | None = None

    def finish(self) -> None:
        if self.sources:
            self.regex = re.compile("|".join(self.sources), re.DOTALL)

    def match(self, path: str) -> bool:
        return path in self.exact or (
            self.regex is not None and self.regex.fullmatch(path) is not None
        )


class Matcher:
    """An ordered list of patterns.

    Raises:
        BadPattern: one of them is malformed.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._runs: list[_Run] = []
        self._texts: list[tuple[bool, list[str]]] = []
        for text in patterns:
            self._add(text)
        for run in self._runs:
            run.finish()
        self.initial: State = (False,) * len(self._runs)

    def _add(self, text: str) -> None:
        pattern = text.strip()
        if not pattern:
            return
        negative = pattern.startswith("!")
        if negative:
            pattern = pattern[1:].strip()
            if not pattern:
                raise BadPattern(f"illegal exclusion pattern {text!r}")
        pattern = clean(pattern)
        if len(pattern) > 1:
            pattern = pattern.removeprefix("/")
        if not self._runs or self._runs[-1].negative != negative:
            self._runs.append(_Run(negative=negative))
        self._texts.append((negative, pattern.split("/")))
        if _WILD.search(pattern):
            source = translate(pattern)
            try:
                re.compile(source)
            except re.error as error:
                raise BadPattern(f"syntax error in pattern {text!r}: {error}") from error
            self._runs[-1].sources.append(f"(?:{source})")
        else:
            self._runs[-1].exact.add(pattern)

    def __bool__(self) -> bool:
        return bool(self._runs)

    def match(self, path: str, parent: State) -> tuple[bool, State]:
        """Return whether ``path`` matches, and the state for what is below it.

        ``parent`` is the state of the directory that holds it; ``initial``
        for a name in the root.
        """
        matched = False
        state = []
        for run, inherited in zip(self._runs, parent, strict=True):
            # A run that could not change the outcome is not asked, and counts as unmatched
            # for what is below: so does the reference.
            hit = inherited or (run.negative == matched and run.match(path))
            state.append(hit)
            if hit:
                matched = not run.negative
        return matched, tuple(state)

    def may_match_below(self, directory: str, *, negative: bool) -> bool:
        """Return whether a pattern of that sign could match something below a directory."""
        parts = directory.split("/")
        return any(sign == negative and _reaches_below(texts, parts) for sign, texts in self._texts)


def _reaches_below(pattern: list[str], directory: list[str]) -> bool:
    for text, name in zip(pattern, directory, strict=False):
        if "**" in text:
            return True
        if not _WILD.search(text) and text != name:
            return False
    return len(pattern) > len(directory)


def clean(path: str) -> str:
    """Return the path without ``.``, doubled slashes and what ``..`` takes back."""
    cleaned = posixpath.normpath(path)
    # normpath keeps exactly two leading slashes, for reasons of POSIX.
    return "/" + cleaned.lstrip("/") if cleaned.startswith("//") else cleaned


def translate(pattern: str) -> str:
    """Return the pattern as the source of a regular expression, unanchored.

    Raises:
        BadPattern: an unclosed class or a trailing backslash.
    """
    out: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "*":
            text, position = _stars(pattern, position)
            out.append(text)
        elif char == "?":
            out.append("[^/]")
            position += 1
        elif char == "[":
            text, position = _class(pattern, position)
            out.append(text)
        elif char == "\\":
            if position + 1 == len(pattern):
                raise BadPattern(f"syntax error in pattern {pattern!r}: it ends in a backslash")
            out.append(re.escape(pattern[position + 1]))
            position += 2
        else:
            out.append(re.escape(char))
            position += 1
    return "".join(out)


def _stars(pattern: str, position: int) -> tuple[str, int]:
    if not pattern.startswith("**", position):
        return "[^/]*", position + 1
    position += 2
    if pattern.startswith("/", position):
        position += 1
    # "**" at the end takes all that is left; before something it takes whole names.
    return (".*" if position >= len(pattern) else "(?:.*/)?"), position


def _class(pattern: str, position: int) -> tuple[str, int]:
    end = position + 1
    negated = pattern.startswith("^", end)
    end += negated
    body: list[str] = []
    while end < len(pattern) and (pattern[end] != "]" or not body):
        if pattern[end] == "]":
            break
        if pattern[end] == "\\":
            end += 1
            if end == len(pattern):
                break
            body.append("\\" + pattern[end] if not pattern[end].isalnum() else pattern[end])
        else:
            body.append(pattern[end] if pattern[end] == "-" else _in_class(pattern[end]))
        end += 1
    if end >= len(pattern) or not body or pattern[end] != "]":
        raise BadPattern(f"syntax error in pattern {pattern!r}: a class is not closed")
    return f"[{'^' if negated else ''}{''.join(body)}]", end + 1


def _in_class(char: str) -> str:
    return "\\" + char if char in "[^&~|" else char
