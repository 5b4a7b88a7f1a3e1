"""The template stage: a text with ``{{ }}`` in, the rendered text and its map out.

TemplateEngine is the port; template_gotpl.py is the engine behind it. This
module adds what no engine gives: a map from rendered text back to the source
(invisible markers written between the template's parts and taken out again),
all template errors of a file at once, and a short way past the engine for
files that only insert variables. Called by compile.py and aliases.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from tasks_service.plans.source import Segments

NO_VALUE = "<no value>"
"""What an engine prints for a missing key; removed from its output (V-82)."""

_MAX_ERRORS = 20
_OPEN, _CLOSE = "\x01", "\x02"
_MARKER = re.compile(_OPEN + r"([0-9]{1,7})" + _CLOSE)
_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)*')"""
_QUOTED = re.compile(_STRING, re.DOTALL)
_ACTION_REST = re.compile(rf"""(?:{_STRING}|(?!\}}\}})[^"`'])*\}}\}}""", re.DOTALL)
_UNTIL_OPEN_QUOTE = re.compile(rf"""(?:{_STRING}|[^"`'])*(?=["`'])""", re.DOTALL)
_LONG_NUMBER = 16
_OCTAL = re.compile(r"0[0-7_]{16,}")
_COMMENT_REST = re.compile(r"/\*.*?\*/(?P<trim>[ \t\r\n]-)?\}\}", re.DOTALL)
_SPACE = " \t\r\n"
_KEYWORD = re.compile(r"\s*([a-z]+)\b")
_CONTROL = frozenset(
    ("if", "else", "end", "range", "with", "define", "block", "template", "break", "continue")
)
_TICKED = frozenset(("range", "define", "block"))
_SIMPLE = re.compile(r"\s*\.(Run|Values|Secrets|Build)\.([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)\s*")


class TemplateError(Exception):
    """A template that can't be read, fails, or asks for more than it may.

    ``offset`` is in the text given to the engine; ``limit`` tells a template
    stopped by a limit from a wrong one.
    """

    def __init__(self, message: str, offset: int, *, limit: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.limit = limit


class TemplateEngine(Protocol):
    """Renders Go templates with the allowed functions, within limits."""

    def render(self, source: str, name: str, data: Mapping[str, Any], *, strict: bool) -> str:
        """Return the rendered text.

        A missing key renders as ``NO_VALUE``, or is an error with ``strict``.
        ``tick`` may be called as a function without arguments; it renders as
        nothing and spends time budget.

        Raises:
            TemplateError: anything that goes wrong; never another exception.
        """
        ...


TICK = "tasksTick"
"""Name of the function that lets an engine check its clock inside loops."""


@cache
def default_engine() -> TemplateEngine:
    """Return the engine, made once a process (imports the library late)."""
    from tasks_service.plans.template_gotpl import GotplEngine

    return GotplEngine()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered text, its map to the source, and what failed on the way.

    ``text`` is None if nothing could be rendered.
    """

    text: str | None
    segments: Segments
    errors: tuple[TemplateError, ...] = ()


@dataclass(slots=True)
class _Piece:
    """A stretch of literal text, or one action (``{{…}}``), of a template."""

    start: int
    end: int
    action: bool
    body: str = ""
    body_start: int = 0
    keyword: str = ""


def render_template(
    source: str,
    *,
    name: str,
    data: Mapping[str, Any],
    strict: bool = False,
    engine: TemplateEngine | None = None,
) -> Rendered:
    """Render ``source``; on errors go on without the failing actions.

    A text with errors is only good for looking for further problems in it.
    Deterministic apart from the functions that are not (``now``, ``rand…``).
    """
    if "{{" not in source:
        return Rendered(source, Segments())
    try:
        pieces = _split(source)
    except TemplateError as error:
        return Rendered(None, Segments(), (error,))
    if not strict:
        quick = _render_variables(source, pieces, data)
        if quick is not None:
            return quick
    return _render_all(source, pieces, name, data, strict=strict, engine=engine or default_engine())


def _unclosed(source: str, found: int, inner: int) -> TemplateError:
    """Return what is wrong with an action at ``found`` that never ends."""
    if source.startswith("/*", inner):
        return TemplateError("this template comment is never closed", found)
    open_quote = _UNTIL_OPEN_QUOTE.match(source, inner)
    if open_quote is not None and open_quote.end() < len(source):
        return TemplateError("this quoted text is never closed", open_quote.end())
    return TemplateError("this template action is never closed", found)


def _impossible_number(piece: _Piece) -> TemplateError | None:
    """Refuse octal numbers of endless length, on which engines spend ages."""
    if "00" not in piece.body and "0_" not in piece.body and len(piece.body) < _LONG_NUMBER:
        return None
    bare = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), piece.body)
    number = _OCTAL.search(bare)
    if number is None:
        return None
    return TemplateError("this number is too long", piece.body_start + number.start())


def _split(source: str) -> list[_Piece]:
    """Cut a template into text and actions, trim markers carried out.

    Raises TemplateError if an action never ends.
    """
    pieces: list[_Piece] = []
    position = 0
    trim_next = False
    while True:
        found = source.find("{{", position)
        text_end = len(source) if found < 0 else found
        start = position
        if trim_next:
            while start < text_end and source[start] in _SPACE:
                start += 1
        if found < 0:
            pieces.append(_Piece(start, text_end, action=False))
            return pieces
        inner = found + 2
        end = text_end
        if source.startswith("-", inner) and source[inner + 1 : inner + 2] in tuple(_SPACE):
            inner += 2
            while end > start and source[end - 1] in _SPACE:
                end -= 1
        pieces.append(_Piece(start, end, action=False))
        position, trim_next = _end_of_action(source, found, inner, pieces)


def _end_of_action(source: str, found: int, inner: int, pieces: list[_Piece]) -> tuple[int, bool]:
    """Append the action that opens at ``found``; return where it ends and trim."""
    if source.startswith("/*", inner):
        comment = _COMMENT_REST.match(source, inner)
        if comment is None:
            raise _unclosed(source, found, inner)
        return comment.end(), comment["trim"] is not None
    rest = _ACTION_REST.match(source, inner)
    if rest is None:
        raise _unclosed(source, found, inner)
    end = rest.end()
    trim = source[end - 3] == "-" and end - 4 >= inner and source[end - 4] in _SPACE
    body = source[inner : end - (3 if trim else 2)]
    word = _KEYWORD.match(body)
    keyword = word[1] if word and word[1] in _CONTROL else ""
    pieces.append(_Piece(found, end, action=True, body=body, body_start=inner, keyword=keyword))
    return end, trim


def _render_variables(
    source: str, pieces: list[_Piece], data: Mapping[str, Any]
) -> Rendered | None:
    """Render a template whose actions all insert one variable; else None.

    Means exactly what the engine would do (a test compares them).
    """
    output: list[str] = []
    segments = Segments()
    length = 0
    for piece in pieces:
        if not piece.action:
            text = source[piece.start : piece.end]
            segments.add(length, piece.start, copied=True)
        else:
            value = _variable(piece, data)
            if value is None:
                return None
            text = value
            if text:
                segments.add(length, piece.start, copied=False)
        output.append(text)
        length += len(text)
    return Rendered("".join(output), segments)


def _variable(piece: _Piece, data: Mapping[str, Any]) -> str | None:
    match = None if piece.keyword else _SIMPLE.fullmatch(piece.body)
    if match is None:
        return None
    container: Any = data[match[1]]
    value = container.get(match[2])
    if match[3]:
        for part in match[3][1:].split("."):
            if not isinstance(value, dict):
                return None
            value = value.get(part)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else None


def _render_all(
    source: str,
    pieces: list[_Piece],
    name: str,
    data: Mapping[str, Any],
    *,
    strict: bool,
    engine: TemplateEngine,
) -> Rendered:
    errors: list[TemplateError] = []
    for piece in [piece for piece in pieces if piece.action]:
        number = _impossible_number(piece)
        if number is not None:
            errors.append(number)
            if piece.keyword:
                return Rendered(None, Segments(), tuple(errors))
            pieces.remove(piece)
    while True:
        marked, marks, sites = _instrument(source, pieces)
        try:
            text = engine.render(marked, name, data, strict=strict)
        except TemplateError as error:
            offset = sites.origin(min(error.offset, len(marked)))
            failed = TemplateError(error.message, offset, limit=error.limit)
            if all(known.offset != offset for known in errors):
                errors.append(failed)
            rest = _without(pieces, offset)
            if error.limit or rest is None or len(errors) >= _MAX_ERRORS:
                return Rendered(None, Segments(), tuple(errors))
            pieces = rest
            continue
        plain, segments = _take_marks_out(text, marks)
        return Rendered(plain, segments, tuple(errors))


def _without(pieces: list[_Piece], offset: int) -> list[_Piece] | None:
    """Leave out the value action at ``offset``; None if there is none."""
    for index, piece in enumerate(pieces):
        if piece.action and piece.start <= offset < piece.end:
            if piece.keyword:
                return None
            return pieces[:index] + pieces[index + 1 :]
    return None


def _instrument(source: str, pieces: list[_Piece]) -> tuple[str, list[tuple[int, bool]], Segments]:
    """Write a marker before every piece.

    Returns the marked template, what each marker stands for (offset in the
    source, text or action), and the map from marked template to source.
    """
    output: list[str] = []
    marks: list[tuple[int, bool]] = []
    sites = Segments()
    length = 0

    def put(text: str, origin: int, *, copied: bool) -> None:
        nonlocal length
        if text:
            sites.add(length, origin, copied=copied)
            output.append(text)
            length += len(text)

    for piece in pieces:
        put(f"{_OPEN}{len(marks)}{_CLOSE}", piece.start, copied=False)
        marks.append((piece.start, not piece.action))
        if not piece.action:
            put(source[piece.start : piece.end], piece.start, copied=True)
            continue
        put("{{", piece.start, copied=True)
        # A blank keeps "{{-3}}" a number and not a trim marker.
        put(" ", piece.start, copied=False)
        put(piece.body, piece.body_start, copied=True)
        put(" }}", piece.end - 2, copied=False)
        if piece.keyword in _TICKED:
            put("{{" + TICK + "}}", piece.start, copied=False)
    return "".join(output), marks, sites


def _take_marks_out(text: str, marks: list[tuple[int, bool]]) -> tuple[str, Segments]:
    output: list[str] = []
    segments = Segments()
    length = 0
    parts = _MARKER.split(text)
    # parts is text, number, text, number, …; nothing stands before the first.
    for index in range(1, len(parts), 2):
        number = int(parts[index])
        stretch = parts[index + 1]
        if number >= len(marks):
            continue
        origin, literal = marks[number]
        if not stretch or (not literal and stretch == NO_VALUE):
            continue
        segments.add(length, origin, copied=literal)
        output.append(stretch)
        length += len(stretch)
    return "".join(output), segments
