"""Which images a Dockerfile names, and what for: its text in, uses out.

Reads as BuildKit does what decides that: parser directives, continued lines,
heredocs, arguments before the first FROM, stages, the target and what it
needs, named contexts, pinned digests. Everything else is passed over. Pure;
provenance.py joins it with what the build really used.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runners.model.errors import InvalidInput
from runners.model.image import ImageRef

RUNTIME, BUILD, COPY, MOUNT, ONBUILD, FRONTEND = (
    "runtime", "build", "copy", "mount", "onbuild", "frontend",
)  # fmt: skip
ORDER = (RUNTIME, BUILD, COPY, MOUNT, ONBUILD, FRONTEND)
"""Roles, the one that counts for an image with several first."""
_DIRECTIVE = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_FLAG = re.compile(r"--([a-z-]+)(?:=(.*))?", re.DOTALL)
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+""", re.DOTALL)
_VARIABLE = re.compile(
    r"\$(?:(?P<name>\w+)|\{(?P<braced>\w+)(?:(?P<kind>:?[-+])(?P<word>[^{}]*))?\}|(?P<bad>.?))"
)
_IMAGE = "docker-image://"
_BUILT_IN = re.compile(r"dockerfile\.v0")


@dataclass(frozen=True, slots=True)
class Use:
    """One image that the build needs.

    Attributes:
        reference: Full name with its tag, without a digest.
        role: One of ORDER.
        pinned: Digest it is held at, or empty.
    """

    reference: str
    role: str
    pinned: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """All uses of the target; ``complete`` is false where something could not be read.

    ``labels`` are the names that LABEL gives anywhere in the file.
    """

    uses: tuple[Use, ...]
    complete: bool = True
    labels: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Stage:
    base: str
    name: str = ""
    copies: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


class _Unreadable(Exception):
    """A word is not what this reader understands."""


def read_uses(
    text: str,
    *,
    arguments: Mapping[str, str] | None = None,
    target: str = "",
    contexts: Mapping[str, str] | None = None,
    platform: str = "",
    builder: str = "linux/amd64",
) -> Reading:
    """Return what the build of a target uses, without duplicates.

    Args:
        text: The Dockerfile.
        arguments: Build arguments.
        target: Name of a stage; empty is the last.
        contexts: Named contexts; those that are no images hide what they replace.
        platform: The target's, ``os/arch[/variant]``; empty is the builder's.
        builder: The builder's platform.
    """
    given = dict(arguments or {})
    directives = _directives(text)
    uses: list[Use] = []
    complete = True
    stages: list[_Stage] = []
    syntax = given.get("BUILDKIT_SYNTAX") or directives.get("syntax", "")
    if syntax and not _BUILT_IN.fullmatch(syntax.split()[0]):
        uses.append(_use(syntax.split()[0], FRONTEND))
    try:
        known = _platform_arguments(TARGET=platform or builder, BUILD=builder)
        stages = _stages(text, directives.get("escape", "\\"), given, known)
        uses += _Walk(stages, contexts or {}).uses(target)
    except (_Unreadable, InvalidInput, ValueError):
        complete = False
    labels = frozenset(name for stage in stages for name in stage.labels)
    return Reading(tuple(dict.fromkeys(uses)), complete, labels)


class _Walk:
    """Follows a target down to the images it needs."""

    def __init__(self, stages: Sequence[_Stage], contexts: Mapping[str, str]) -> None:
        self._stages = stages
        # One that is named as an image is meant whether its tag is written or not.
        self._contexts = {_tagged(name): place for name, place in contexts.items()}
        self._contexts |= {name.lower(): place for name, place in contexts.items()}
        self._found: list[Use] = []
        self._seen: set[tuple[int, str]] = set()

    def uses(self, target: str) -> list[Use]:
        if not self._stages:
            raise _Unreadable
        number = self._stage(target, len(self._stages)) if target else len(self._stages) - 1
        if number is None:
            raise _Unreadable
        self._visit(number, RUNTIME)
        return self._found

    def _visit(self, number: int, role: str) -> None:
        todo = [(number, role)]
        while todo:
            number, role = todo.pop()
            if (number, role) in self._seen:
                continue
            self._seen.add((number, role))
            stage = self._stages[number]
            base = self._named(stage.base, number)
            if base is not None:
                todo.append((base, role))
            else:
                self._image(stage.base, role)
            for names, own in ((stage.copies, COPY), (stage.mounts, MOUNT)):
                for name in names:
                    other = self._numbered(name, number)
                    if other is not None:
                        todo.append((other, BUILD))
                    else:
                        self._image(name, own)

    def _image(self, name: str, role: str) -> None:
        place = self._contexts.get(name.lower(), self._contexts.get(_tagged(name), ""))
        if place and not place.startswith(_IMAGE):
            return
        name = place.removeprefix(_IMAGE) or name
        if name.lower() != "scratch" or role not in (RUNTIME, BUILD):
            self._found.append(_use(name, role))

    def _named(self, name: str, before: int) -> int | None:
        """Return the last stage of that name before another; FROM knows no numbers.

        Names of stages are small letters, whatever was written; FROM wants
        them so, and all else does not mind.
        """
        if name.lower() in self._contexts:
            return None
        for number in reversed(range(before)):
            if self._stages[number].name == name:
                return number
        return None

    def _numbered(self, name: str, before: int) -> int | None:
        found = self._named(name.lower(), before)
        if found is None and name.isdecimal() and int(name) < before:
            return int(name)
        return found

    def _stage(self, target: str, before: int) -> int | None:
        for number in range(before):
            if self._stages[number].name == target.lower():
                return number
        return None


def _use(text: str, role: str) -> Use:
    ref = ImageRef.parse(text)
    name = ImageRef(ref.registry, ref.path, ref.tag).with_default_tag().canonical
    return Use(name, role, ref.digest)


def _tagged(name: str) -> str:
    try:
        return ImageRef.parse(name).with_default_tag().canonical
    except InvalidInput:
        return ""


def _directives(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(text)):
        if not number and line.startswith("#!"):
            continue
        match = _DIRECTIVE.match(line)
        if match is None or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def _stages(
    text: str, escape: str, given: Mapping[str, str], known: dict[str, str]
) -> list[_Stage]:
    stages: list[_Stage] = []
    for name, rest in _instructions(text, escape):
        if name == "FROM":
            words = _words(rest, flags=False)
            base = _expanded(words[0] if words else "", known)
            if not base:
                raise _Unreadable
            alias = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else ""
            stages.append(_Stage(base, alias))
        elif name == "ARG" and not stages:
            _note(rest, known, given)
        elif name == "LABEL" and stages:
            stages[-1].labels |= {_unquoted(word.partition("=")[0]) for word in _words(rest)}
        elif stages:
            _note_sources(name, rest, stages[-1])
    return stages


def _note(rest: str, known: dict[str, str], given: Mapping[str, str]) -> None:
    """Learn the arguments of an ARG before the first FROM."""
    for word in _words(rest):
        name, equals, default = word.partition("=")
        if name in given:
            known[name] = given[name]
        elif equals:
            known[name] = _expanded(default, known)
        else:
            # Known without a value: even what the builder would give is hidden.
            known.pop(name, None)


def _note_sources(name: str, rest: str, stage: _Stage) -> None:
    for flag, value in _flags(rest):
        if name == "COPY" and flag == "from":
            stage.copies.append(_literal(value))
        elif name == "RUN" and flag == "mount":
            fields = dict(
                part.partition("=")[::2] for part in next(csv.reader([_unquoted(value)]), [])
            )
            if fields.get("from") and fields.get("type", "bind") in ("bind", "cache"):
                stage.mounts.append(_literal(fields["from"]))


def _literal(value: str) -> str:
    if "$" in value:
        raise _Unreadable
    return _unquoted(value)


def _instructions(text: str, escape: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in upper case with the rest of its line, heredocs left out."""
    continued = re.compile(rf"(?:(?<!{re.escape(escape)})|^){re.escape(escape)}[ \t]*$")
    lines = iter(_lines(text))
    for line in lines:
        if _passed_over(line):
            continue
        parts = [line.strip()]
        while continued.search(parts[-1]):
            parts[-1] = continued.sub("", parts[-1])
            following = next((one for one in lines if not _passed_over(one)), None)
            if following is None:
                break
            parts.append(following.rstrip())
        name, *more = "".join(parts).split(maxsplit=1)
        rest = more[0] if more else ""
        if name.upper() in ("RUN", "COPY", "ADD"):
            for word in _words(rest):
                if found := _HEREDOC.fullmatch(word):
                    _skip(lines, _unquoted(found[2]), tabs=bool(found[1]))
        yield name.upper(), rest


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def _passed_over(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _skip(lines: Iterator[str], end: str, *, tabs: bool) -> None:
    for line in lines:
        if (line.lstrip("\t") if tabs else line) == end:
            return


def _words(rest: str, *, flags: bool = True) -> list[str]:
    found = _WORD.findall(rest)
    while not flags and found and found[0].startswith("--"):
        found = found[1:]
    return found


def _flags(rest: str) -> Iterator[tuple[str, str]]:
    for word in _words(rest):
        match = _FLAG.fullmatch(word)
        if match is None:
            return
        yield match[1], match[2] or ""


def _unquoted(word: str) -> str:
    return re.sub(r"""(["'])(.*?)\1""", r"\2", word)


def _expanded(word: str, known: Mapping[str, str]) -> str:
    """Return a word with its variables replaced, and without quotes.

    Raises:
        _Unreadable: One is written in a way that is not known here.
    """

    def value(match: re.Match[str]) -> str:
        if match["bad"] is not None:
            raise _Unreadable
        found = known.get(match["name"] or match["braced"])
        kind = match["kind"] or ""
        there = bool(found) if kind.startswith(":") else found is not None
        if kind.endswith("+"):
            return _expanded(match["word"], known) if there else ""
        if kind.endswith("-") and not there:
            return _expanded(match["word"], known)
        return found or ""

    return _VARIABLE.sub(value, _unquoted(word))


def _platform_arguments(**platforms: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for prefix, value in platforms.items():
        system, _, rest = value.partition("/")
        architecture, _, variant = rest.partition("/")
        found |= {
            f"{prefix}PLATFORM": value,
            f"{prefix}OS": system,
            f"{prefix}ARCH": architecture,
            f"{prefix}VARIANT": variant,
        }
    return found
