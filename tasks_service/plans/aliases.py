"""Aliases: the ``alias`` block, ``$name`` in the text, bare first words of ``cmd``.

In: the text without comment lines. Out: the text with aliases expanded, its
map to the input, and the names for bare words. Follows the original engine
rule for rule (V-30 to V-51). Called by compile.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.model.errors import InvalidInput
from tasks_service.errors import ERROR, Problem
from tasks_service.plans.source import Reporter, Segments, shown
from tasks_service.plans.template import render_template
from tasks_service.plans.yaml_nodes import MAPPING, SCALAR, SEQUENCE, Node, YamlProblem, parse_yaml

RUN_ALIASES = (
    "ID", "SharedVolume", "Registry", "RegistryName", "Date", "OS", "Architecture", "Commit",
    "Branch",
)  # fmt: skip
"""Run variables that have an alias of the same name (V-01 to V-09)."""

IMAGE_ALIASES: Mapping[str, str] = {
    "acr": "mcr.microsoft.com/acr/acr-cli:0.19",
    "az": "mcr.microsoft.com/azure-cli:2.67.0",
    "bash": "docker.io/library/bash:5.2",
    "curl": "docker.io/curlimages/curl:8.11.1",
    "cssc": "mcr.microsoft.com/acr/cssc:2ff604c",
}
"""Bare first words of ``cmd`` and the images they mean by default (V-30 to V-34)."""

ALIASED_KINDS = frozenset(("cmd",))
"""Kinds of steps whose bare first word can be an alias (V-35)."""

MAX_EXPANDED = 1024 * 1024
"""Characters that a text may have after its aliases are put in."""

_OPEN = re.compile(r"^alias[^\S\n]*:", re.MULTILINE)
_CLOSE = re.compile(r"^[^\s:][^\n]*:", re.MULTILINE)
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")
_KEYS = ("values", "src", "directive")


@dataclass(slots=True)
class Aliases:
    """Every alias of a file, by name, and the directive that calls them."""

    values: dict[str, str] = field(default_factory=dict)
    directive: str = "$"
    block: bool = False
    """True if the file has an ``alias`` block that was read."""


@dataclass(slots=True)
class AliasContext:
    """What alias processing needs from outside the file."""

    data: Mapping[str, Any]
    name: str
    strict: bool
    images: Mapping[str, str]
    reader: Callable[[str], str] | None


def split_block(text: str) -> tuple[str, Segments, str, Segments]:
    """Cut the ``alias`` block out by lines (V-50).

    Returns:
        The block and its map, then the rest and its map.
    """
    parts: dict[bool, list[str]] = {True: [], False: []}
    maps = {True: Segments(), False: Segments()}
    lengths = {True: 0, False: 0}

    def put(start: int, end: int, *, inside: bool) -> None:
        if start < end:
            maps[inside].add(lengths[inside], start, copied=True)
            parts[inside].append(text[start:end])
            lengths[inside] += end - start

    position = 0
    while found := _OPEN.search(text, position):
        put(position, found.start(), inside=False)
        line_end = text.find("\n", found.start()) + 1 or len(text)
        closing = _CLOSE.search(text, line_end)
        end = closing.start() if closing else len(text)
        put(found.start(), end, inside=True)
        # The line that closes the block opens no other, whatever it is.
        position = text.find("\n", end) + 1 or len(text)
        put(end, position, inside=False)
    put(position, len(text), inside=False)
    return "".join(parts[True]), maps[True], "".join(parts[False]), maps[False]


def read_aliases(
    block: str, segments: Segments, reporter: Reporter, context: AliasContext
) -> Aliases:
    """Read the ``alias`` block; the built-in aliases are always there.

    The block is a template of its own, rendered first (V-44). What a variable
    put into it is never rendered again.
    """
    aliases = Aliases()
    outer = reporter.maps
    if block.strip():
        aliases.block = True
        reporter.push(segments)
        _read_block(block, aliases, reporter, context)
        reporter.set_maps(outer)
    for name in RUN_ALIASES:
        aliases.values.setdefault(name, "{{.Run." + name + "}}")
    for name, image in context.images.items():
        aliases.values.setdefault(name, image)
    return aliases


def _read_block(block: str, aliases: Aliases, reporter: Reporter, context: AliasContext) -> None:
    rendered = render_template(block, name=context.name, data=context.data, strict=context.strict)
    for error in rendered.errors:
        reporter.report("TF305" if error.limit else "TF301", error.message, error.offset)
    if rendered.text is None:
        return
    text, quoted = _quote_inserted(rendered.text, rendered.segments)
    reporter.push(rendered.segments)
    reporter.push(quoted)
    try:
        root = parse_yaml(text)
    except YamlProblem as problem:
        reporter.report(problem.code, problem.message, problem.offset)
        return
    if root is None or root.kind != MAPPING:
        return
    seen = False
    for key, value in root.value:
        if key.value != "alias":
            continue
        if seen:
            reporter.report("TF407", "duplicate key 'alias'", key.start, width=5)
        seen = True
        _read_alias_map(value, aliases, reporter, context)


def _quote_inserted(text: str, segments: Segments) -> tuple[str, Segments]:
    """Keep ``{{`` that a variable brought in from being rendered with the file."""
    result = Segments()
    output: list[str] = []
    length = position = 0
    for match in re.finditer(r"\{\{", text):
        if segments.is_copied(match.start()):
            continue
        result.add(length, position, copied=True)
        stretch = text[position : match.start()]
        output.append(stretch)
        length += len(stretch)
        result.add(length, match.start(), copied=False)
        output.append("{{`{{`}}")
        length += 8
        position = match.end()
    result.add(length, position, copied=True)
    output.append(text[position:])
    return "".join(output), result


def _read_alias_map(
    node: Node, aliases: Aliases, reporter: Reporter, context: AliasContext
) -> None:
    if node.kind == SCALAR and not _text(node):
        return
    if node.kind != MAPPING:
        reporter.report("TF201", "alias must be a map with values, src or directive", node.start)
        return
    found: dict[str, Node] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in found:
            reporter.report("TF407", f"duplicate key '{shown(name)}'", key.start, width=len(name))
        elif name not in _KEYS:
            reporter.report(
                "TF408",
                f"alias has no property '{shown(name)}'",
                key.start,
                width=len(name),
                suggestion=reporter.did_you_mean(name, _KEYS),
            )
        found[name] = value
    if "directive" in found:
        _read_directive(found["directive"], aliases, reporter)
    if "values" in found:
        _read_values(found["values"], aliases, reporter)
    if "src" in found:
        _read_sources(found["src"], aliases, reporter, context)


def _read_directive(node: Node, aliases: Aliases, reporter: Reporter) -> None:
    text = _text(node) if node.kind == SCALAR else "  "
    if not text:
        return
    if len(text) != 1:
        reporter.report(
            "TF202", "the directive must be exactly one character", node.start, width=len(text) or 1
        )
    elif _ALPHANUMERIC.fullmatch(text):
        reporter.report("TF202", "the directive can't be a letter or a digit", node.start)
    else:
        aliases.directive = text


def _read_values(node: Node, aliases: Aliases, reporter: Reporter) -> None:
    if node.kind == SCALAR and not _text(node):
        return
    if node.kind != MAPPING:
        reporter.report("TF201", "alias.values must be a map of name to text", node.start)
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        if key.kind != SCALAR or not _ALPHANUMERIC.fullmatch(name):
            reporter.report(
                "TF203",
                f"the alias name '{shown(name)}' may only have letters and digits",
                key.start,
                width=len(name),
            )
            continue
        if name in seen:
            reporter.report("TF407", f"duplicate key '{shown(name)}'", key.start, width=len(name))
        seen.add(name)
        if value.kind != SCALAR:
            reporter.report("TF201", f"the alias '{name}' must be text", value.start)
            continue
        aliases.values[name] = _text(value)


def _text(node: Node) -> str:
    if node.plain and node.value in {"~", "null", "Null", "NULL"}:
        return ""
    return str(node.value)


def _read_sources(node: Node, aliases: Aliases, reporter: Reporter, context: AliasContext) -> None:
    if node.kind != SEQUENCE:
        if node.kind != SCALAR or _text(node):
            reporter.report("TF201", "alias.src must be a list of files", node.start)
        return
    # The last source is the strongest, and none replaces a name already known.
    for item in reversed(node.value):
        if item.kind != SCALAR or not item.value:
            reporter.report("TF201", "an entry of alias.src must be a file name", item.start)
            continue
        _read_source(item, aliases, reporter, context)


def _read_source(item: Node, aliases: Aliases, reporter: Reporter, context: AliasContext) -> None:
    name = str(item.value)
    if context.reader is None:
        reporter.report(
            "TF204", f"alias.src '{shown(name)}' can't be read here", item.start, width=len(name)
        )
        return
    try:
        text = context.reader(name)
    except (OSError, UnicodeError, InvalidInput) as error:
        reason = getattr(error, "strerror", None) or str(error)
        reporter.report(
            "TF204",
            f"alias.src '{shown(name)}' can't be read: {reason}",
            item.start,
            width=len(name),
        )
        return
    try:
        root = parse_yaml(text)
    except YamlProblem as problem:
        _source_problem(name, text, problem.offset, problem.message, reporter)
        return
    if root is None:
        return
    if root.kind != MAPPING:
        _source_problem(name, text, root.start, "must be a map of name to text", reporter)
        return
    for key, value in root.value:
        if value.kind != SCALAR or not _ALPHANUMERIC.fullmatch(str(key.value)):
            _source_problem(
                name, text, key.start, "must be a map of alphanumeric names to text", reporter
            )
            continue
        aliases.values.setdefault(str(key.value), _text(value))


def _source_problem(name: str, text: str, offset: int, message: str, reporter: Reporter) -> None:
    line = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    shown_line = text[start : end if end >= 0 else len(text)]
    reporter.add(
        Problem(
            name, line, offset - start + 1, ERROR, "TF205", f"alias source: {message}", shown_line
        )
    )


def expand(
    text: str, aliases: Aliases, reporter: Reporter
) -> tuple[str, Segments, list[tuple[str, int]]]:
    """Replace aliases in one pass, never again in what was put in (V-45 to V-51).

    A text that grows beyond every use is reported and dropped.

    Returns:
        The text, its map, and each unknown name with its offset in ``text``.
    """
    segments = Segments()
    unknown: list[tuple[str, int]] = []
    sign = aliases.directive
    if sign not in text:
        return text, segments, unknown
    output: list[str] = []
    length = position = 0
    size = len(text)

    def put(value: str, origin: int, *, copied: bool) -> None:
        nonlocal length
        if value:
            segments.add(length, origin, copied=copied)
            output.append(value)
            length += len(value)

    while position < size:
        found = text.find(sign, position)
        if found < 0:
            break
        put(text[position:found], position, copied=True)
        name = _ALPHANUMERIC.match(text, found + 1)
        if text.startswith(sign, found + 1):
            put(sign, found, copied=True)
            position = found + 2
        elif name is None:
            put(sign, found, copied=True)
            position = found + 1
        elif name[0] in aliases.values:
            if length > MAX_EXPANDED:
                message = f"the file has more than {MAX_EXPANDED} characters with its aliases"
                reporter.report("TF305", message, found, width=name.end() - found)
                reporter.text = ""
                return "", segments, []
            put(aliases.values[name[0]], found, copied=False)
            position = name.end()
        else:
            unknown.append((name[0], found))
            # The character that ends an unknown name is copied as it is, a
            # directive too: "$nope$foo" stays.
            position = name.end() + (1 if text.startswith(sign, name.end()) else 0)
            put(text[found:position], found, copied=True)
    put(text[position:], position, copied=True)
    return "".join(output), segments, unknown


def replace_first_word(text: str, aliases: Aliases, run: Mapping[str, str]) -> str:
    """Replace the first word of a ``cmd`` that is an alias (V-35).

    The value isn't expanded further, but a run variable's alias stands for
    its value (the original puts the bare template text there).
    """
    trimmed = text.strip()
    words = trimmed.split(None, 1)
    name = words[0] if words else ""
    if name not in aliases.values:
        return text
    value = aliases.values[name]
    if value == "{{.Run." + name + "}}":
        value = run.get(name, "")
    return value + trimmed[len(name) :]
