"""What a server answers, checked for shape: nothing else of it is trusted.

In: decoded JSON. Out: frozen values that keep the whole object for ``-o json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runners.model.errors import SystemFault
from runners.model.status import RunStatus

JSON = Mapping[str, Any]
"""One object of the API, as it came."""


class StrangeAnswer(SystemFault):
    """The server answered something that this version does not understand."""

    code = "strange_answer"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the server answered {what}",
            hint="check that the address is that of a tasks server, and the versions of both",
        )


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``cursor`` gets the next, empty at the end."""

    items: tuple[JSON, ...]
    cursor: str = ""

    @classmethod
    def of(cls, body: object) -> Page:
        """Read a page.

        Raises:
            StrangeAnswer: It is none.
        """
        found = read_object(body, "a list")
        items = found.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise StrangeAnswer("a list without items")
        return cls(tuple(items), str(found.get("cursor") or ""))


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """A run, as far as the command line acts on it; ``body`` is all of it."""

    id: str
    status: RunStatus
    body: JSON = field(repr=False)

    @classmethod
    def of(cls, body: object) -> RunAnswer:
        """Read a run.

        Raises:
            StrangeAnswer: It is none.
        """
        found = read_object(body, "a run")
        run_id = found.get("id") or found.get("runId")
        if not isinstance(run_id, str) or not run_id:
            raise StrangeAnswer("a run without an id")
        try:
            status = RunStatus(str(found.get("status")))
        except ValueError:
            raise StrangeAnswer(f"a run with the status {found.get('status')!r}") from None
        return cls(run_id, status, found)

    @property
    def error_code(self) -> str:
        """Stable code of what ended it, or empty."""
        error = self.body.get("error")
        return str(error.get("code") or "") if isinstance(error, dict) else ""

    @property
    def began(self) -> bool:
        """True once a step was started."""
        return any(step.get("startTime") for step in self.steps)

    @property
    def steps(self) -> tuple[JSON, ...]:
        """Its steps in file order; empty before it was compiled."""
        return read_steps(self.body)


def read_steps(body: JSON) -> tuple[JSON, ...]:
    """Return the well-formed steps of a run or of a status event."""
    steps = body.get("steps")
    if not isinstance(steps, list):
        return ()
    return tuple(step for step in steps if isinstance(step, dict) and step.get("id"))


def read_object(body: object, what: str) -> JSON:
    """Return ``body`` if it is an object.

    Raises:
        StrangeAnswer: It is not.
    """
    if not isinstance(body, dict):
        raise StrangeAnswer(f"something that is not {what}")
    return body


def read_time(value: object) -> datetime | None:
    """Return an RFC 3339 time, or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
