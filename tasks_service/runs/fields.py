"""Fields that can't be: every problem of a request at once, each with its place.

Places are JSON pointers into the request as the API takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runners.model.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that can't be.

    Attributes:
        pointer: JSON pointer, such as ``/build/images/0``.
        detail: One sentence.
        line, column: In the text the field holds, from 1; 0 where it means nothing.
    """

    pointer: str
    detail: str
    line: int = 0
    column: int = 0


class InvalidFields(InvalidInput):
    """A request that can't be; ``errors`` holds every problem of it."""

    def __init__(self, errors: Sequence[FieldError], *, hint: str = "") -> None:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        place = first.pointer.strip("/").replace("/", ".")
        super().__init__(
            f"{place}: {first.detail}{more}" if place else first.detail + more, hint=hint
        )
        self.errors = tuple(errors)


def pointer(*parts: str | int) -> str:
    """Return the JSON pointer of a path (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def raise_if_any(errors: Iterable[FieldError], *, hint: str = "") -> None:
    """Raise InvalidFields if there is an error."""
    found = list(errors)
    if found:
        raise InvalidFields(found, hint=hint)
