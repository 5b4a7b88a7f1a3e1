"""Files of task definitions: read with every problem at once, compared, written.

In: YAML, one task a document, or a list of them. Out: tasks as the API takes
them. Pure but for the environment that ``fromEnv`` names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from runners.model.errors import InvalidInput

JSON = Mapping[str, Any]
LIMIT = 4 << 20
_MAX_NODES = 200_000
READ_ONLY = ("version", "createTime", "updateTime", "hasGitToken")
_DEFAULTS: Mapping[str, Any] = {
    "status": "Enabled",
    "maxConcurrent": 0,
    "baseImageTrigger": "All",
    "timeout": 3600,
    "pool": "default",
    "source": "/dev/null",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """One task of a file.

    Attributes:
        body: As the API takes it.
        place: File and number of the document, for messages.
        new_secrets: It gives values of secrets, which nobody can compare.
    """

    name: str
    body: JSON = field(repr=False)
    place: str
    new_secrets: bool


def read_definitions(
    files: Iterable[tuple[str, bytes]], env: Mapping[str, str]
) -> tuple[Definition, ...]:
    """Return all tasks of some files, in order.

    Raises:
        InvalidInput: With every problem, each with its place.
    """
    problems: list[str] = []
    found: dict[str, Definition] = {}
    for file, data in files:
        for place, body in _documents(file, data, problems):
            one = _definition(place, body, env, problems)
            if one is None:
                continue
            if one.name in found:
                problems.append(f"{place}: task {one.name!r} is in {found[one.name].place}, too")
            found[one.name] = one
    if problems:
        count = len(problems)
        raise InvalidInput(
            problems[0] if count == 1 else f"{count} problems in the definitions of tasks",
            detail="" if count == 1 else "\n".join(problems),
        )
    return tuple(found.values())


def _documents(file: str, data: bytes, problems: list[str]) -> Iterator[tuple[str, object]]:
    try:
        documents = [one for one in yaml.safe_load_all(data) if one is not None]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        problems.append(f"{place}: {getattr(error, 'problem', None) or str(error)[:200]}")
        return
    if not _small(documents):
        problems.append(f"{file}: its anchors expand to more than {_MAX_NODES} values")
        return
    if not documents:
        problems.append(f"{file}: there is no task in it")
    for number, document in enumerate(documents, 1):
        place = f"{file}, document {number}" if len(documents) > 1 else file
        if isinstance(document, dict) and set(document) == {"tasks"}:
            document = document["tasks"]  # noqa: PLW2901 - the list in its envelope
        if not isinstance(document, list):
            yield place, document
            continue
        for index, entry in enumerate(document, 1):
            yield f"{place}, task {index}", entry


def _small(value: object) -> bool:
    """Return whether a value, aliases expanded, is small enough to be sent."""
    left, stack = _MAX_NODES, [value]
    while stack and left:
        left -= 1
        item = stack.pop()
        if isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return bool(left)


def _definition(
    place: str, body: object, env: Mapping[str, str], problems: list[str]
) -> Definition | None:
    if not isinstance(body, dict):
        problems.append(f"{place}: a task is a mapping that begins with its name")
        return None
    name = body.get("name")
    if not isinstance(name, str) or not name:
        problems.append(f"{place}: the task has no name")
        return None
    strange = [key for key in _keys(body) if not isinstance(key, str)]
    if strange:
        problems.append(f"{place}: key {strange[0]!r} of task {name!r} is not text")
        return None
    filled = _Filler(env, f"{place}: task {name!r}", problems)
    kept = {key: value for key, value in body.items() if key not in READ_ONLY}
    whole = filled(kept)
    assert isinstance(whole, dict)  # noqa: S101 - what goes in as a mapping comes out as one
    if "gitTokenFromEnv" in whole:
        whole["gitToken"] = filled.variable(whole.pop("gitTokenFromEnv"))
    return Definition(name, whole, place, filled.used or bool(whole.get("gitToken")))


def _keys(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


class _Filler:
    """Puts values of the environment where ``fromEnv`` names them."""

    def __init__(self, env: Mapping[str, str], place: str, problems: list[str]) -> None:
        self._env = env
        self._place = place
        self._problems = problems
        self.used = False
        """Whether the value of a secret was given."""

    def __call__(self, value: object) -> object:
        if isinstance(value, list):
            return [self(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        found = {key: self(inner) for key, inner in value.items()}
        if "fromEnv" in found:
            key = "password" if "registry" in found else "value"
            found[key] = self.variable(found.pop("fromEnv"))
        hidden = found.get("secret") is True or "id" in found
        self.used = self.used or "password" in found or (hidden and "value" in found)
        return found

    def variable(self, name: object) -> str:
        """Return the variable's value; a missing one is a problem."""
        if isinstance(name, str) and name in self._env:
            return self._env[name]
        self._problems.append(f"{self._place}: there is no environment variable {name!r}")
        return ""


def same(one: JSON, other: JSON) -> bool:
    """Return whether two definitions mean the same, secrets compared by name."""
    return _normal(one) == _normal(other)


def _normal(task: JSON) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in task.items():
        if key in (*READ_ONLY, "credentials", "gitToken") or value == _DEFAULTS.get(key):
            continue
        if key == "build" and isinstance(value, dict):
            found[key] = {
                name: _entries(inner)
                for name, inner in value.items()
                if inner not in (None, "", [], False) or name == "push"
            }
            found[key].setdefault("push", True)
            if found[key]["push"] is None:
                found[key]["push"] = True
        elif value not in (None, "", [], {}, False):
            found[key] = _entries(value)
    if isinstance(found.get("registry"), str):
        found["registry"] = found["registry"].lower()
    return found


def _entries(value: object) -> object:
    """Return a list of named values as a mapping, so that order means nothing."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return value
    if any("schedule" in entry for entry in value):
        return {str(entry.get("name")): _timer(entry) for entry in value}
    return {
        str(entry.get("name", entry.get("id"))): (
            True if entry.get("secret") or "id" in entry else entry.get("value")
        )
        for entry in value
    }


def _timer(entry: JSON) -> dict[str, Any]:
    usual = {"enabled": True, "misfire": "run-once", "jitter": 0}
    found = {key: value for key, value in entry.items() if value not in (None, [], usual.get(key))}
    return found | {"schedule": str(entry.get("schedule")).split()}


def exported(task: JSON) -> dict[str, Any]:
    """Return a task without what only the server writes."""
    kept = {key: value for key, value in task.items() if key not in READ_ONLY}
    return {key: value for key, value in kept.items() if value not in (None, "", [], {})}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, for people who edit them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dumped(tasks: Iterable[JSON]) -> str:
    """Return tasks as YAML, one a document."""
    return str(
        yaml.dump_all(
            [dict(task) for task in tasks],
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            explicit_start=True,
            width=100,
        )
    )
