"""Values: a values file and ``--set``/``--set-secret`` entries to one map.

In: YAML text and ``key=value`` entries. Out: the map behind ``.Values``, and
the secret values to mask (V-60 to V-64). Called by compile.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks_service.errors import ERROR, Problem
from tasks_service.plans.scalars import is_null, resolve
from tasks_service.plans.source import SourceText, shown
from tasks_service.plans.yaml_nodes import MAPPING, SCALAR, SEQUENCE, Node, YamlProblem, parse_yaml


@dataclass(slots=True)
class Values:
    """What ``.Values`` holds, and which texts must never be printed."""

    data: dict[str, Any] = field(default_factory=dict)
    mask: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def merge_values(
    text: str | bytes | None,
    file: str,
    set_values: Sequence[str] = (),
    set_secrets: Sequence[str] = (),
) -> Values:
    """Merge the values file with the command line's entries.

    An entry is always text and replaces a top-level key as a whole; commas
    and dots in it mean nothing (V-61). A later entry wins.
    """
    problems: list[Problem] = []
    data: dict[str, Any] = {}
    if text is not None:
        data = _read_file(text, file, problems)
    mask: dict[str, None] = {}
    for option, entries in (("--set", set_values), ("--set-secret", set_secrets)):
        for entry in entries:
            name, separator, value = entry.partition("=")
            if not separator or not name:
                said = shown(name) if option == "--set-secret" else shown(entry)
                problems.append(
                    Problem(option, 1, 1, ERROR, "TF304", f"'{said}' must be name=value")
                )
                continue
            data[name] = value
            if option == "--set-secret" and value:
                mask[value] = None
    return Values(data, tuple(mask), tuple(problems))


def env_problems(entries: Sequence[str]) -> tuple[Problem, ...]:
    """Return what is wrong with ``--env`` entries, each ``NAME=value[,NAME=value]``."""
    return tuple(
        Problem("--env", 1, 1, ERROR, "TF508", f"'{shown(part)}' must be NAME=value")
        for entry in entries
        for part in entry.split(",")
        if part.find("=") < 1
    )


def _read_file(text: str | bytes, file: str, problems: list[Problem]) -> dict[str, Any]:
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            problems.append(Problem(file, 1, 1, ERROR, "TF101", "the values file is not UTF-8"))
            return {}
    text = text.removeprefix("\ufeff")
    source = SourceText(file, text)
    try:
        root = parse_yaml(text)
        if root is None or (root.kind == SCALAR and is_null(root)):
            return {}
        return _map(root)
    except YamlProblem as problem:
        line, column = source.position(problem.offset)
        problems.append(
            Problem(file, line, column, ERROR, problem.code, problem.message, source.line(line))
        )
        return {}


def _map(root: Node) -> dict[str, Any]:
    if root.kind != MAPPING:
        raise YamlProblem("TF303", "a values file must be a map", root.start)
    return dict(plain_value(root))


def plain_value(node: Node) -> Any:
    """Return the node as plain Python data, read as YAML 1.1.

    Map keys become text. Raises YamlProblem for keys that can't be text.
    """
    if node.kind == SCALAR:
        return resolve(node)
    if node.kind == SEQUENCE:
        return [plain_value(item) for item in node.value]
    data: dict[str, Any] = {}
    for key, value in node.value:
        if key.kind != SCALAR:
            raise YamlProblem("TF303", "a key must be plain text", key.start)
        if key.plain and key.value == "<<":
            for source in reversed(list(_maps(value))):
                data.update(plain_value(source))
            continue
        data[str(key.value)] = plain_value(value)
    return data


def _maps(node: Node) -> Iterable[Node]:
    sources = node.value if node.kind == SEQUENCE else [node]
    for source in sources:
        if source.kind != MAPPING:
            raise YamlProblem("TF303", "<< can only merge a map or a list of maps", node.start)
        yield source
