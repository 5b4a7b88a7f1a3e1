"""Split the text of a step into words, as a shell would, without a shell.

Text in, words with their places and every problem out. Used by the step
kinds of this folder. Nothing is expanded: no variables, no globs, no
commands; ``$`` and ``*`` outside of quotes stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runners.steps.base import SpecProblem

_OPERATOR = re.compile(r"&&|\|\||;;|>>|<<|[|;&<>]|\$\(|`")
_SHELL = re.compile(r"^(/bin/)?(ba|da|a)?sh\s+-\w*c\s+")
_MEANING = {
    "|": "a pipe",
    "||": "an 'or' of commands",
    "&&": "a chain of commands",
    "&": "a background command",
    ";": "a list of commands",
    ";;": "a list of commands",
    ">": "a redirection",
    ">>": "a redirection",
    "<": "a redirection",
    "<<": "a here-document",
    "$(": "a command substitution",
    "`": "a command substitution",
}


@dataclass(frozen=True, slots=True)
class Word:
    """One word, quotes taken off; ``start`` and ``end`` cut it out of the text."""

    text: str
    start: int
    end: int
    quoted: bool = False
    """True if any part of it stood in quotes."""


@dataclass(frozen=True, slots=True)
class Split:
    """The words of a text and what is wrong with it."""

    words: tuple[Word, ...]
    problems: tuple[SpecProblem, ...] = ()
    operator: str = ""
    """The first shell operator outside of quotes, or empty."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The words alone."""
        return tuple(word.text for word in self.words)


def split(text: str) -> Split:
    r"""Split ``text`` at blanks and line ends, POSIX quoting rules.

    A backslash before a line end joins lines; other line ends separate words
    like blanks. A shell operator outside of quotes is reported, since no
    shell will see it, and stays in its word.
    """
    scanner = _Scanner(text)
    scanner.run()
    operator = scanner.operator.group() if scanner.operator else ""
    return Split(tuple(scanner.words), tuple(scanner.problems), operator)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.words: list[Word] = []
        self.problems: list[SpecProblem] = []
        self.operator: re.Match[str] | None = None

    def run(self) -> None:
        text = self._text
        while self._at < len(text):
            if text[self._at].isspace():
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
            else:
                self._word()

    def _word(self) -> None:
        text, start = self._text, self._at
        parts: list[str] = []
        quoted = False
        while self._at < len(text) and not text[self._at].isspace():
            character = text[self._at]
            if character in "'\"":
                quoted = True
                parts.append(self._quoted(character))
            elif character == "\\":
                parts.append(self._escaped())
            else:
                self._note_operator()
                parts.append(character)
                self._at += 1
        self.words.append(Word("".join(parts), start, self._at, quoted))

    def _escaped(self) -> str:
        following = self._text[self._at + 1 : self._at + 2]
        if not following:
            self.problems.append(
                SpecProblem("dangling-backslash", "the text ends with a backslash", "\\")
            )
        self._at += 2
        return "" if following == "\n" else following

    def _quoted(self, quote: str) -> str:
        text, start = self._text, self._at
        self._at += 1
        parts: list[str] = []
        while self._at < len(text):
            character = text[self._at]
            if character == quote:
                self._at += 1
                return "".join(parts)
            if (
                character == "\\"
                and quote == '"'
                and text[self._at + 1 : self._at + 2] in '"\\$`\n'
            ):
                following = text[self._at + 1 : self._at + 2]
                parts.append("" if following == "\n" else following)
                self._at += 2 if following else 1
                continue
            parts.append(character)
            self._at += 1
        line = text.count("\n", 0, start) + 1
        where = f" in line {line} of the text" if "\n" in text else ""
        self.problems.append(
            SpecProblem(
                "unclosed-quote", f"a {quote} is not closed{where}", text[start : start + 20]
            )
        )
        return "".join(parts)

    def _note_operator(self) -> None:
        found = _OPERATOR.match(self._text, self._at)
        if found is None or self.operator is not None:
            return
        # `a=<b>` or `x;y` inside a word is as much an operator to a shell as
        # one that stands alone, but `?a=1&b=2` of an address is not meant so.
        before = self._text[: self._at]
        word = re.split(r"\s", before)[-1]
        if found.group() == "&" and "://" in word:
            return
        self.operator = found


def shell_problem(operator: str, before: str, command: str) -> SpecProblem:
    """Return the problem of a shell operator, with the form that works.

    Args:
        operator: The operator, as ``split`` found it.
        before: The text up to the image, the image included.
        command: The text after it.
    """
    command = _SHELL.sub("", command.strip())
    quoted = command.replace("'", "'\\''")
    form = f"{before.strip()} sh -c '{quoted}'"
    return SpecProblem(
        "shell-syntax",
        f"'{operator}' is {_MEANING[operator]} for a shell, but no shell reads this text: "
        f"its words go to the container as they are. Ask for a shell: {form}",
        operator,
        form,
    )
