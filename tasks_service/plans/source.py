"""Positions: from any later form of a task file back to the text the user wrote.

Comment removal, alias expansion and templates each make a new text out of an
older one. Each returns, with the text, a Segments that maps offsets of the
new text to the old. Reporter composes them and turns an offset in the last
text into file, line and column. Called by every stage that reports.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from tasks_service.errors import ERROR, WARNING, Problem
from tasks_service.plans.codes import CODES

# What editors count as the end of a line; YAML has more, but offsets are exact.
_LINE_BREAK = re.compile("\r\n|[\n\r]")
_SHOWN = 80
_LONGEST = 240
_LIKE = 0.72
_LIKE_AFTER_SAME_START = 0.6
_MOST_COMPARED = 3000


@dataclass(slots=True)
class Segments:
    """Where each stretch of a new text came from in the old one.

    ``starts[i]`` is an offset in the new text; from there on the text is a
    copy of the old from ``origins[i]`` (``copied[i]``), or stands as a whole
    for what is at ``origins[i]``. Starts rise.
    """

    starts: list[int] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)
    copied: list[bool] = field(default_factory=list)

    def add(self, start: int, origin: int, *, copied: bool) -> None:
        """Append a stretch that begins at ``start``."""
        if self.starts and self.starts[-1] == start:
            self.origins[-1] = origin
            self.copied[-1] = copied
            return
        self.starts.append(start)
        self.origins.append(origin)
        self.copied.append(copied)

    def origin(self, offset: int) -> int:
        """Return the old offset that ``offset`` came from."""
        index = bisect_right(self.starts, offset) - 1
        if index < 0:
            return offset
        if self.copied[index]:
            return self.origins[index] + offset - self.starts[index]
        return self.origins[index]

    def is_copied(self, offset: int) -> bool:
        """Tell whether the character at ``offset`` was there before."""
        index = bisect_right(self.starts, offset) - 1
        return index < 0 or self.copied[index]


class SourceText:
    """The text of one file as the user wrote it, with its lines."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self._starts: list[int] | None = None

    @property
    def line_starts(self) -> list[int]:
        """Offsets at which lines begin; the first is 0."""
        if self._starts is None:
            self._starts = [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of an offset (cut to the text)."""
        offset = max(0, min(offset, len(self.text)))
        starts = self.line_starts
        line = bisect_right(starts, offset)
        # An offset just behind the last line break belongs to the line the
        # user sees, not to the empty one after it.
        if line > 1 and offset == len(self.text) and starts[line - 1] == offset:
            line -= 1
            return line, len(self.line(line)) + 1
        return line, offset - starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return line ``number`` (from 1) without its break."""
        starts = self.line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")


def shown(value: str) -> str:
    """Return a value fit for a message: one line, at most 80 characters."""
    flat = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value[: _SHOWN + 1])
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return the known word that ``word`` was likely meant to be, or ''."""
    candidates = list(known)
    folded = {candidate.lower(): candidate for candidate in reversed(candidates)}
    if word.lower() in folded and folded[word.lower()] != word:
        return folded[word.lower()]
    if len(word) > _SHOWN:
        return ""
    low = word.lower()
    best = (0.0, 0, "")
    for candidate in folded:
        # Weaker likeness counts where the beginning is the same: retry, retries.
        least = _LIKE_AFTER_SAME_START if candidate[:3] == low[:3] else _LIKE
        if 2 * min(len(low), len(candidate)) < least * (len(low) + len(candidate)):
            continue
        likeness = difflib.SequenceMatcher(None, low, candidate).ratio()
        if likeness >= least:
            best = max(best, (likeness, -len(candidate), candidate))
    return folded[best[2]] if best[2] else ""


class Reporter:
    """Collects problems, at offsets of whatever text is current.

    ``push`` adds the map of the next form of the text. Reports made before it
    used the older text. Equal problems (from a template loop) collapse.
    """

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.text = source.text
        self._maps: list[Segments] = []
        self._problems: dict[tuple[int, int, str, str], Problem] = {}
        self._foreign: dict[Problem, None] = {}
        self._compared = 0

    def near_miss(self, word: str, known: Collection[str]) -> str:
        """Return the known word that ``word`` was likely meant to be, or ''.

        A file with thousands of mistakes gets suggestions for the first ones
        only, so that its cost stays that of its size.
        """
        if self._compared > _MOST_COMPARED:
            return ""
        self._compared += len(known)
        return near_miss(word, islice(known, _MOST_COMPARED))

    def did_you_mean(self, word: str, known: Collection[str]) -> str:
        """Return a suggestion sentence for a near miss, or ''."""
        found = self.near_miss(word, known)
        return f"did you mean '{found}'?" if found else ""

    def push(self, segments: Segments) -> None:
        """Report in offsets of the text that ``segments`` belongs to."""
        self._maps.append(segments)

    def set_maps(self, maps: Sequence[Segments]) -> None:
        """Replace all maps (a stage that works on a part of the text)."""
        self._maps = list(maps)

    @property
    def maps(self) -> list[Segments]:
        """The maps from the current text back to the user's."""
        return list(self._maps)

    def locate(self, start: int, end: int, token: str) -> tuple[int, int]:
        """Return offset and width of a word in a stretch of the current text.

        The whole stretch (one line of it) where the word isn't in it as such.
        ``text`` must hold the current text.
        """
        found = self.text.find(token, start, end) if token else -1
        if found >= 0:
            return found, len(token)
        return start, max(1, len(self.text[start:end].split("\n", 1)[0].rstrip()))

    def origin(self, offset: int) -> int:
        """Return the offset in the user's file of an offset in the current text."""
        for segments in reversed(self._maps):
            offset = segments.origin(offset)
        return offset

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column in the user's file, from 1."""
        return self.source.position(self.origin(offset))

    def report(
        self, code: str, message: str, offset: int, *, width: int = 1, suggestion: str = ""
    ) -> None:
        """Add a problem; ``code`` must be in the catalogue, which has its severity."""
        self.report_foreign(CODES[code].severity, code, message, offset, width, suggestion)

    def report_foreign(
        self,
        severity: str,
        code: str,
        message: str,
        offset: int,
        width: int = 1,
        suggestion: str = "",
    ) -> None:
        """Add a problem whose code and severity a step kind chose."""
        width = max(1, width)
        origin = self.origin(offset)
        line, column = self.source.position(origin)
        text = self.source.line(line)
        if width > 1 and self.origin(offset + width - 1) - origin != width - 1:
            # The text at fault isn't one stretch of the user's file.
            width = _word_width(text, column)
        severity = WARNING if severity == WARNING else ERROR
        message, suggestion = _printable(message), _printable(suggestion)
        if len(message) > _LONGEST:
            message = message[: _LONGEST - 1] + "…"
        problem = Problem(
            self.source.file, line, column, severity, code, message, text, width, suggestion
        )
        self._problems.setdefault((line, column, code, message), problem)

    def add(self, problem: Problem) -> None:
        """Add a problem of another file as it is."""
        self._foreign.setdefault(problem)

    def problems(self) -> tuple[Problem, ...]:
        """Return all problems: other files' first, then by line and column."""
        own = sorted(self._problems.values(), key=lambda p: (p.line, p.column, p.severity, p.code))
        return (*self._foreign, *own)

    def reported(self, *codes: str) -> bool:
        """Tell whether a problem with one of these codes was reported."""
        return any(problem.code in codes for problem in self._problems.values())

    @property
    def failed(self) -> bool:
        """True once an error was reported."""
        return any(p.severity == ERROR for p in self._problems.values()) or any(
            p.severity == ERROR for p in self._foreign
        )


def _word_width(line: str, column: int) -> int:
    rest = line[column - 1 :]
    if rest.startswith("{{"):
        end = rest.find("}}")
        return end + 2 if end > 0 else 2
    match = re.match(r"\$?\w+", rest)
    return match.end() if match else 1
