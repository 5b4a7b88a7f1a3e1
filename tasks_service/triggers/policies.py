"""Policies of base images: a TOML file in, what triggers whom, when and how fast out.

The first policy that names an image (and a task) counts. All problems of a
file are told at once. A file that changes is read again; one that is wrong by
then changes nothing and is told in the log.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from runners.model.errors import InvalidInput
from tasks_service.process_log import get_logger
from tasks_service.triggers.windows import Windows

ROLES = ("runtime", "build", "copy", "mount", "onbuild", "frontend")
DEFAULT_ROLES = frozenset(ROLES[:-1])
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_POLICIES = 1000
_MAX_FILE = 1 << 20
_COMPARISON = re.compile(r"(>=|<=|>|<|=)?v?(\d+(?:\.\d+){0,3})")
_VERSION = re.compile(r"v?(\d+(?:\.\d+){0,3})(?:[-.+_]?[A-Za-z].*)?")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy; what it leaves out is as without it.

    Attributes:
        images, tasks: Globs of what it is for; full names with tags.
        roles: Of these roles an image triggers.
        tags: Version range that the tag must be in; empty is any tag.
        soak_s: How long a digest must have been there before it is used.
        holds_downgrades: A digest that the image had before is not built with again.
        windows: Texts of the windows in which rebuilds are started.
        cohorts: Shares of a wave that are tried first; None is the service's own.
        breaker: Share of failures that stops a wave; None is the service's own.
    """

    name: str = "default"
    images: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] = ()
    roles: frozenset[str] = DEFAULT_ROLES
    tags: str = ""
    soak_s: float = 0.0
    holds_downgrades: bool = False
    windows: tuple[str, ...] = ()
    cohorts: tuple[float, ...] | None = None
    breaker: float | None = None

    def triggers(self, reference: str, roles: frozenset[str]) -> bool:
        """Return whether an image that is used for ``roles`` triggers."""
        tag = reference.rpartition("/")[2].partition(":")[2]
        return bool(roles & self.roles) and (not self.tags or in_range(tag, self.tags))


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies, in the order of the file."""

    items: tuple[Policy, ...] = ()

    def of(self, task: str, reference: str) -> Policy:
        """Return the first policy for a task and an image it stands on."""
        return self._first(
            reference, lambda p: not p.tasks or any(fnmatchcase(task, glob) for glob in p.tasks)
        )

    def of_image(self, reference: str) -> Policy:
        """Return the first policy for an image, whoever stands on it."""
        return self._first(reference, lambda p: not p.tasks)

    def _first(self, reference: str, fits: Callable[[Policy], bool]) -> Policy:
        for policy in self.items:
            if any(fnmatchcase(reference, glob) for glob in policy.images) and fits(policy):
                return policy
        return DEFAULT


@dataclass
class PolicyFile:
    """The policies of a file, as they are now. ``path`` empty is none.

    Raises:
        InvalidInput: The file can't be read, or is wrong, at first.
    """

    path: str
    _seen: tuple[int, int] = (0, 0)
    _policies: Policies = field(default_factory=Policies)

    def __post_init__(self) -> None:
        if self.path:
            self._policies = read_policies(Path(self.path))
            self._seen = self._mark()

    def current(self) -> Policies:
        """Return the policies; read again if the file changed."""
        if self.path and (mark := self._mark()) != self._seen:
            self._seen = mark
            try:
                self._policies = read_policies(Path(self.path))
            except InvalidInput as error:
                _log.error("policies_not_read", error=error.message, detail=error.detail)
        return self._policies

    def _mark(self) -> tuple[int, int]:
        try:
            status = Path(self.path).stat()
        except OSError:
            return (0, 0)
        return status.st_mtime_ns, status.st_ino


def read_policies(path: Path) -> Policies:
    """Read a file.

    Raises:
        InvalidInput: It is not there, no TOML, or wrong; every problem.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(content) > _MAX_FILE:
        raise InvalidInput(f"{path}: larger than 1 MiB")
    try:
        loaded = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    problems: list[str] = []
    policies = parse_policies(loaded, problems)
    if problems:
        shown = [f"{path}: {problem}" for problem in problems]
        raise InvalidInput(
            shown[0] if len(shown) == 1 else f"{path}: {len(shown)} problems",
            hint="docs/service/base-images.md has examples",
            detail="\n".join(shown) if len(shown) > 1 else "",
        )
    return policies


def parse_policies(loaded: Mapping[str, Any], problems: list[str]) -> Policies:
    """Return the policies of a loaded file; what is wrong goes to ``problems``."""
    problems += [f"there is no '{name}', only [[policy]]" for name in loaded if name != "policy"]
    items = loaded.get("policy", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        problems.append("'policy' must be written [[policy]]")
        return Policies()
    if len(items) > _MAX_POLICIES:
        problems.append(f"more than {_MAX_POLICIES} policies")
        return Policies()
    found = []
    names: set[str] = set()
    for number, item in enumerate(items, 1):
        name = item.get("name")
        label = f"policy {name!r}" if isinstance(name, str) and name else f"policy {number}"
        if isinstance(name, str) and name in names:
            problems.append(f"{label}: the name is taken by another one")
        names.add(str(name))
        found.append(_policy(item, label, problems))
    for number, policy in enumerate(found):
        for before in found[:number]:
            if before.images == ("*",) and not before.tasks:
                problems.append(
                    f"policy {policy.name!r}: never used, as {before.name!r} before it is for all"
                )
                break
    return Policies(tuple(found))


def _policy(item: Mapping[str, Any], label: str, problems: list[str]) -> Policy:
    values: dict[str, Any] = {}
    for key, value in item.items():
        if key not in _FIELDS:
            problems.append(f"{label}: there is no '{key}'; there are {', '.join(_FIELDS)}")
            continue
        name, parse = _FIELDS[key]
        try:
            values[name] = parse(value)
        except (ValueError, InvalidInput) as error:
            problems.append(f"{label}: {key}: {error}")
    if "name" not in item:
        problems.append(f"{label}: 'name' is missing")
    if values.get("tasks"):
        problems.extend(
            f"{label}: '{key}' is an image's, whoever stands on it: leave 'tasks' out"
            for key in ("soak", "downgrade", "cohorts", "breaker")
            if key in item
        )
    return Policy(**values)


def in_range(tag: str, wanted: str) -> bool:
    """Return whether a tag is a version in a range such as ``>=3.18 <4``.

    Of the tag only its numbers count: ``3.20-slim`` is 3.20. What is no
    version is in no range.
    """
    found = _VERSION.fullmatch(tag)
    if found is None:
        return False
    version = _numbers(found[1])
    return all(_fits(version, word) for word in wanted.split())


def _fits(version: tuple[int, ...], word: str) -> bool:
    match = _COMPARISON.fullmatch(word)
    if match is None:
        return False
    bound = _numbers(match[2])
    return {
        ">=": version >= bound,
        "<=": version <= bound,
        ">": version > bound,
        "<": version < bound,
        "=": version == bound,
    }[match[1] or "="]


def _numbers(text: str) -> tuple[int, ...]:
    found = [int(part) for part in text.split(".")]
    return tuple(found + [0] * (4 - len(found)))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 400:
        raise ValueError("must be text, and not empty")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or len(value) > 1000:
        raise ValueError("must be a list of texts, and not empty")
    return tuple(_text(part) for part in value)


def _roles(value: Any) -> frozenset[str]:
    found = _texts(value)
    unknown = [role for role in found if role not in ROLES]
    if unknown:
        raise ValueError(f"there is no role '{unknown[0]}'; there are {', '.join(ROLES)}")
    return frozenset(found)


def _range(value: Any) -> str:
    found = _text(value)
    wrong = [word for word in found.split() if not _COMPARISON.fullmatch(word)]
    if wrong:
        raise ValueError(f"'{wrong[0]}' must be a comparison such as >=3.18 or <4")
    return found


def _seconds(value: Any) -> float:
    found = re.fullmatch(r"(\d{1,9})([smhd])", str(value))
    if found is None:
        raise ValueError("must be a time such as 90s, 30m, 24h or 7d")
    return float(int(found[1]) * _UNITS[found[2]])


def _holds(value: Any) -> bool:
    if value not in ("hold", "follow"):
        raise ValueError("must be 'hold' or 'follow'")
    return bool(value == "hold")


def _windows(value: Any) -> tuple[str, ...]:
    found = _texts(value)
    Windows(found)
    return found


def _share(value: Any) -> float:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)%", str(value))
    if found is None or not 0 <= float(found[1]) <= 100:
        raise ValueError("must be a share such as 10%")
    return float(found[1]) / 100


def _shares(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > 20:
        raise ValueError("must be a list of shares such as ['1%', '10%']")
    found = tuple(_share(part) for part in value)
    if list(found) != sorted(set(found)):
        raise ValueError("must rise")
    return found


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", _text),
    "images": ("images", _texts),
    "tasks": ("tasks", _texts),
    "roles": ("roles", _roles),
    "tags": ("tags", _range),
    "soak": ("soak_s", _seconds),
    "downgrade": ("holds_downgrades", _holds),
    "windows": ("windows", _windows),
    "cohorts": ("cohorts", _shares),
    "breaker": ("breaker", _share),
}
