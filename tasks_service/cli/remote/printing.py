"""Answers on standard output: tables for people, JSON and the like for programs.

In: objects of the API. Out: text. Foreign text can do nothing to a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks_service.cli.output import Writer
from tasks_service.cli.terminal import clean_line

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name and how to read its cell."""

    title: str
    read: Callable[[JSON], object]


@dataclass(frozen=True, slots=True)
class Form:
    """How a list is printed: one of LIST_FORMS, with or without the names of columns."""

    output: str = "table"
    headers: bool = True

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Form:
        """Return what the options say."""
        return cls(parameters["output"], not parameters.get("no_headers", False))


def key(*path: str) -> Callable[[JSON], object]:
    """Return a reader of what stands at a path of keys, or nothing."""

    def read(item: JSON) -> object:
        value: Any = item
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return read


def print_list(
    items: Iterable[JSON], columns: Sequence[Column], form: Form, *, name: str = "name"
) -> None:
    """Print a list.

    Args:
        items: In the order to print.
        columns: Of the table and of ``tsv``, which never has names.
        form: How.
        name: Key that ``-o name`` prints.
    """
    found = list(items)
    out = Writer(sys.stdout)
    if form.output in ("json", "yaml"):
        out.write(_dumped(found, form.output))
    elif form.output == "name":
        out.write("".join(f"{cell(item.get(name))}\n" for item in found))
    elif form.output == "tsv":
        rows = [[cell(column.read(item)) for column in columns] for item in found]
        out.write(
            "".join("\t".join(text.replace("\t", " ") for text in row) + "\n" for row in rows)
        )
    else:
        rows = [[column.title for column in columns]] if form.headers else []
        rows += [[cell(column.read(item)) for column in columns] for item in found]
        if found or form.headers:
            out.write(columns_text(rows) + "\n")


def print_object(
    item: JSON, facts: Sequence[Column], form: Form, *, name: str = "name", more: str = ""
) -> None:
    """Print one object: facts line by line, or the whole of it.

    Args:
        item: The object.
        facts: Lines of the table; those that are empty are left out.
        form: How.
        name: Key that ``-o name`` prints.
        more: Text below the table.
    """
    out = Writer(sys.stdout)
    if form.output in ("json", "yaml"):
        out.write(_dumped(item, form.output))
    elif form.output == "name":
        out.write(f"{cell(item.get(name))}\n")
    else:
        lines = [(fact.title, cell(fact.read(item))) for fact in facts]
        width = max((len(title) for title, text in lines if text), default=0) + 1
        text = "".join(f"{title + ':':<{width}} {text}\n" for title, text in lines if text)
        out.write(text + (f"\n{more}\n" if more else ""))


def columns_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of equal length as aligned columns, without a last newline."""
    if not rows:
        return ""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def cell(value: object) -> str:
    """Return a value as one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{cell(k)}={cell(v)}" for k, v in value.items())
    return clean_line(" ".join(str(value).split("\n")), colour=False)


def _dumped(value: object, form: str) -> str:
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def say(text: str) -> None:
    """Print one line of our own words to standard error."""
    Writer(sys.stderr).write(clean_line(text, colour=False) + "\n")
