"""Notifications: who is told of which ends of runs, and each delivery of it."""

from __future__ import annotations

from dataclasses import dataclass, field

FINISHED, FAILED, RECOVERED, APPROVAL = "finished", "failed", "recovered", "approval"
EVENTS = (FINISHED, FAILED, RECOVERED, APPROVAL)
HELD = "held/"
"""In front of a run's id on the outbox: it waits for approval, and has not ended."""
TEST = "test"
"""Told by hand, to see whether it arrives."""
WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"


@dataclass(frozen=True, slots=True)
class Notification:
    """One receiver.

    Attributes:
        kind: A key of ``notifiers.KINDS``.
        address: Where it goes, for people; the whole URL may be a secret.
        events: Some of EVENTS.
        tasks: Globs of task names; empty is all, and quick runs.
    """

    name: str
    kind: str
    address: str
    events: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where it goes, sealed at rest."""

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    """Signs webhooks: ``whsec_`` and base64."""
    username: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    to: tuple[str, ...] = ()
    """E-mail: the login at the mail server, whom it is from, whom it is to."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver, tried until it is taken or dead."""

    id: str
    notification: str
    run_id: str
    event: str
    body: str
    status: str
    at: float
    attempts: int
    code: int
    problem: str
    created: float
