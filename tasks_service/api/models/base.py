"""What all bodies share: camelCase names, no unknown keys, no guessing of types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

MAX_STRING = 262_144


def _plain(text: str) -> str:
    # No database of ours can keep it, and no program takes it.
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Text = Annotated[str, AfterValidator(_plain)]


class Wire(BaseModel):
    """A body that comes in."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, validate_by_name=False
    )


class View(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True
    )


class Page(View):
    """One page of a list; ``cursor`` gets the next, empty at the end."""

    cursor: str = ""


def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339, UTC, milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(seconds: float | None) -> str | None:
    """Return the same, or None."""
    return None if seconds is None else rfc3339(seconds)


def parse_time(text: str) -> float:
    """Return an RFC 3339 time as seconds since the epoch.

    Raises:
        ValueError: It is none, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-05-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("needs a zone: 2026-05-01T12:00:00Z")
    return seconds


def nearest_key(model: type[BaseModel], path: Sequence[str | int]) -> str:
    """Return the known key most like the last of ``path``, or an empty text."""
    found: type[BaseModel] | None = model
    for part in path[:-1]:
        if isinstance(part, int) or found is None:
            continue
        found = next(
            (
                _model_in(info.annotation)
                for name, info in found.model_fields.items()
                if part in (name, info.alias)
            ),
            None,
        )
    if found is None:
        return ""
    known = [info.alias or name for name, info in found.model_fields.items()]
    return nearest(str(path[-1]), known)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what ``word`` was meant to be, or an empty text."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(by_lower), 1, 0.7)
    return by_lower[near[0]] if near else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
