"""Read command-line flags against a table that knows every one of them.

Words and a table in; values, remaining words and problems out. Used by the
step kinds of this folder. Nothing is ever silently ignored: a flag is
honoured, accepted without effect (a warning says so), or refused with its
reason; one that the table does not know is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from runners.steps.base import SpecProblem
from runners.steps.words import Word

_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")


class Effect(StrEnum):
    """What becomes of a flag."""

    HONOURED = "honoured"
    NONE = "accepted, without effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of a command.

    Attributes:
        names: All its names, dashes included, the main one first.
        value: What its value is called; empty for a switch.
        effect: What becomes of it.
        note: Why it has no effect or is refused, or how it is honoured.
    """

    names: tuple[str, ...]
    value: str = ""
    effect: Effect = Effect.HONOURED
    note: str = ""

    @property
    def name(self) -> str:
        """The main name, without dashes."""
        return self.names[0].lstrip("-")


@dataclass(frozen=True, slots=True)
class Given:
    """One flag as it was given; a switch's value is ``true`` or ``false``."""

    flag: Flag
    value: str
    word: str


@dataclass(slots=True)
class Flags:
    """The outcome: honoured flags in order, the other words, the problems."""

    given: list[Given] = field(default_factory=list)
    rest: list[Word] = field(default_factory=list)
    problems: list[SpecProblem] = field(default_factory=list)

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag, in order."""
        return tuple(given.value for given in self.given if given.flag.name == name)

    def last(self, name: str) -> str | None:
        """Return the last value of a flag, or None."""
        values = self.values(name)
        return values[-1] if values else None

    def on(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.last(name) == "true"


def flag(names: str, value: str = "", note: str = "") -> Flag:
    """Describe an honoured flag; ``names`` separated by blanks."""
    return Flag(tuple(names.split()), value, Effect.HONOURED, note)


def no_effect(names: str, value: str = "", note: str = "") -> Flag:
    """Describe a flag that is accepted and changes nothing."""
    return Flag(tuple(names.split()), value, Effect.NONE, note)


def refused(names: str, value: str = "", note: str = "") -> Flag:
    """Describe a flag that is refused."""
    return Flag(tuple(names.split()), value, Effect.REFUSED, note)


def read_flags(
    words: Iterable[Word], table: Iterable[Flag], *, command: str, mixed: bool = True
) -> Flags:
    """Read the flags among ``words``.

    Args:
        words: The words after the command.
        table: Every flag the command knows.
        command: Its name, for messages (``docker build``).
        mixed: False to stop at the first word that is no flag.
    """
    return _Reader(list(words), table, command, mixed=mixed).read()


class _Reader:
    def __init__(self, words: list[Word], table: Iterable[Flag], command: str, *, mixed: bool):
        self._words = iter(words)
        self._table = {name: flag for flag in table for name in flag.names}
        self._command = command
        self._mixed = mixed
        self._out = Flags()

    def read(self) -> Flags:
        for word in self._words:
            text = word.text
            if text == "--":
                break
            if text.startswith("--"):
                self._long(text)
            elif text.startswith("-") and text != "-":
                self._short(text)
            else:
                self._out.rest.append(word)
                if not self._mixed:
                    break
        self._out.rest += self._words
        return self._out

    def _long(self, text: str) -> None:
        name, equals, value = text.partition("=")
        found = self._table.get(name)
        if found is None:
            self._unknown(name)
        elif found.value:
            self._take(found, name, value if equals else self._following(found, name))
        else:
            self._switch(found, name, value if equals else "true")

    def _short(self, text: str) -> None:
        for at in range(1, len(text)):
            name, rest = f"-{text[at]}", text[at + 1 :]
            found = self._table.get(name)
            if found is None:
                self._unknown(name if at > 1 else text)
                return
            if found.value:
                value = rest.removeprefix("=") if rest else self._following(found, name)
                self._take(found, name, value)
                return
            if rest.startswith("="):
                self._switch(found, name, rest[1:])
                return
            self._switch(found, name, "true")

    def _following(self, found: Flag, name: str) -> str | None:
        word = next(self._words, None)
        if word is None:
            self._problem("missing-value", f"{name} needs a value ({found.value})", name)
            return None
        return word.text

    def _switch(self, found: Flag, name: str, value: str) -> None:
        if value.lower() not in _TRUE + _FALSE:
            self._problem("bad-value", f"{name} takes true or false, not {value!r}", name)
            return
        self._take(found, name, "true" if value.lower() in _TRUE else "false")

    def _take(self, found: Flag, name: str, value: str | None) -> None:
        if value is None:
            return
        if found.effect is Effect.REFUSED:
            if not found.value and value == "false":
                return
            message = f"unsupported option '{name}' in {self._command}: {found.note}"
            self._problem("unsupported-flag", message, name)
        elif found.effect is Effect.NONE:
            note = f": {found.note}" if found.note else ""
            self._out.problems.append(
                SpecProblem(
                    "flag-without-effect", f"'{name}' has no effect here{note}", name, "", "warning"
                )
            )
        else:
            self._out.given.append(Given(found, value, name))

    def _unknown(self, name: str) -> None:
        near = difflib.get_close_matches(name, self._table, 1, 0.7)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        message = f"unknown option '{name}' in {self._command}{hint}"
        self._problem("unknown-flag", message, name, near[0] if near else "")

    def _problem(self, code: str, message: str, token: str, suggestion: str = "") -> None:
        self._out.problems.append(SpecProblem(code, message, token, suggestion))


def markdown_table(table: Iterable[Flag]) -> Iterator[str]:
    """Yield the lines of a Markdown table of ``table``."""
    yield "| flag | becomes | note |"
    yield "| --- | --- | --- |"
    for entry in table:
        names = ", ".join(f"`{name}`" for name in entry.names)
        value = f" *{entry.value}*" if entry.value else ""
        yield f"| {names}{value} | {entry.effect} | {entry.note} |"


_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def read_size(text: str) -> int | None:
    """Return the bytes of ``512m`` and the like, or None if it is no size."""
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        return int(float(number.removesuffix(unit)) * _SIZES[unit])
    except (KeyError, ValueError, OverflowError):
        return None
