"""Who may do what: roles, API tokens, audit entries, workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Role(IntEnum):
    """Each role may do all that the ones before it may.

    Reader sees; runner starts and cancels runs; author writes tasks and their
    secrets; admin manages tokens and sees the audit log.
    """

    READER = 1
    RUNNER = 2
    AUTHOR = 3
    ADMIN = 4

    @classmethod
    def of(cls, text: str) -> Role | None:
        """Return the role of that name, any case, or None."""
        return cls.__members__.get(text.upper())

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Token:
    """An API token; its secret exists nowhere but with its holder.

    Attributes:
        id: Public, part of the token's text.
        tasks: Glob patterns of the tasks it is for; empty is all of them, and
            quick runs too.
        expires: Seconds since the epoch; None never.
    """

    id: str
    name: str
    role: Role
    tasks: tuple[str, ...] = ()
    created: float = 0.0
    expires: float | None = None
    last_used: float | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change, and who made it."""

    number: int
    time: float
    actor: str
    action: str
    """Noun and verb, such as ``task.create``."""
    object: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process as the store saw it last."""

    id: str
    pool: str
    host: str
    concurrency: int
    started: float
    seen: float
    active: int = 0
    draining: bool = False
