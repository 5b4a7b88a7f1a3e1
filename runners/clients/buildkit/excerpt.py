"""Excerpts of a Dockerfile with the lines in question marked.

A Dockerfile's text and line numbers in, a text for people out; called by errors.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_AROUND = 2
_MAX_SHOWN = 12
_STEP = re.compile(r"^\[[^\]]*\]\s+(.*)$", re.DOTALL)
_FOLDED = re.compile(r"[\s\\]+")


@dataclass(frozen=True, slots=True)
class Source:
    """A Dockerfile; ``lines`` are the ones in question, counted from 1."""

    filename: str
    text: str
    lines: tuple[int, ...] = ()

    def at(self, *lines: int) -> Source:
        """Return the same file with these lines in question."""
        return replace(self, lines=lines)


def excerpt(source: Source) -> str:
    """Return the lines in question with two more around them, ``>`` before each marked one."""
    if not source.lines:
        return ""
    text = source.text.splitlines()
    first = max(1, min(source.lines) - _AROUND)
    last = min(len(text), max(source.lines) + _AROUND)
    numbers = list(range(first, last + 1))
    cut = len(numbers) > _MAX_SHOWN
    shown = [
        f"{'>' if number in source.lines else ' '} {number:4} | {text[number - 1]}"
        for number in numbers[:_MAX_SHOWN]
    ]
    head = f"{source.filename}:{min(source.lines)}"
    return "\n".join([head, *shown, *(["       | …"] if cut else [])])


def find_instruction(text: str, step: str) -> tuple[int, ...]:
    """Return the lines of the instruction that a step's name quotes, or none.

    For daemons that do not tell: the name is ``[stage 2/5] RUN …`` with the
    instruction on one line.
    """
    named = _STEP.match(step)
    if named is None:
        return ()
    wanted = _fold(named[1])
    lines = text.splitlines()
    start = 0
    while start < len(lines):
        end = start
        while lines[end].rstrip().endswith("\\") and end + 1 < len(lines):
            end += 1
        if _fold(" ".join(lines[start : end + 1])) == wanted:
            return tuple(range(start + 1, end + 2))
        start = end + 1
    return ()


def _fold(text: str) -> str:
    return _FOLDED.sub(" ", text).strip()
