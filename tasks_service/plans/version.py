"""The version gate and comment lines: what happens before anything is parsed.

In: the raw text. Out: the version as written (V-gate of aliases, Y-004 to
Y-007), and the text without its comment lines. Called by compile.py.
"""

from __future__ import annotations

import re

from tasks_service.plans.source import Segments

DEFAULT_VERSION = "v1.0.0"
VERSIONS = ("1.0-preview-1", "v1.0.0", "v1.1.0")
"""Versions a task file may name, compared without case (Y-004)."""

ALIAS_VERSION = "v1.1.0"
"""From this version text on, compared as text, aliases are on (Y-005)."""

_VERSION_LINE = re.compile(r"^['\"]*version[^:\n]*:", re.MULTILINE)
_BLOCK_HEADER = re.compile(r"(?:^|[:\-?]|\s[!&]\S+)\s+[|>][-+0-9]{0,2}[ \t]*(?:[ \t]#.*)?$")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_DASHES = re.compile(r"(?:[-?][ \t]+)*")


def find_version(text: str) -> str:
    """Return the version as the line scan sees it, or '' (Y-006).

    The scan knows no YAML: first line at column 0 that is a ``version`` key.
    The value keeps a trailing comment.
    """
    for match in _VERSION_LINE.finditer(text):
        end = text.find("\n", match.end())
        line = text[match.start() : end if end >= 0 else len(text)].rstrip("\r")
        key, _, value = line.partition(":")
        if key.lstrip("'\"").strip("'\" ") == "version":
            return value.strip().strip("'\"").strip()
    return ""


def aliases_on(version: str) -> bool:
    """Tell whether the version text switches alias processing on (Y-005)."""
    return version >= ALIAS_VERSION


def without_comments(text: str) -> tuple[str, Segments]:
    """Remove lines whose first visible character is ``#``; keep block scalars.

    The original removes such lines everywhere; here a script's ``#!/bin/sh``
    inside a ``|`` block stays. Removing them first means that templates and
    aliases in comments are never evaluated.
    """
    if "#" not in text:
        return text, Segments()
    output: list[str] = []
    segments = Segments()
    length = position = 0
    block = _BlockScalars()
    for line in _LINE.findall(text):
        inside = block.inside(line)
        if inside or not line.lstrip(" \t").startswith("#"):
            segments.add(length, position, copied=True)
            output.append(line)
            length += len(line)
        position += len(line)
    return "".join(output), segments


class _BlockScalars:
    """Follows, line by line, whether a line belongs to a block scalar."""

    def __init__(self) -> None:
        self._parent: int | None = None
        self._indent: int | None = None

    def inside(self, line: str) -> bool:
        """Tell whether this line, the next of the text, is a block's content."""
        stripped = line.strip()
        if self._parent is not None:
            if not stripped:
                return True
            indent = len(line) - len(line.lstrip(" "))
            if stripped.startswith("{{"):
                # A template's control line may stand at any column.
                return True
            if self._indent is None and indent > self._parent:
                self._indent = indent
            if self._indent is not None and indent >= self._indent:
                return True
            self._parent = self._indent = None
        header = None
        if stripped and not stripped.startswith("#"):
            header = _BLOCK_HEADER.search(line.rstrip())
        if header:
            body = line.lstrip(" ")
            dashes = _DASHES.match(body)
            start = len(line) - len(body) + (dashes.end() if dashes else 0)
            if body[dashes.end() if dashes else 0 :].lstrip()[:1] in {"|", ">"} and dashes:
                # "- |": the sequence, not a key, is the parent.
                start = len(line) - len(body) + dashes.group().rstrip().rfind("-")
            digit = re.search(r"[|>][-+]?([1-9])", header.group())
            self._parent = start
            self._indent = start + int(digit[1]) if digit else None
        return False
