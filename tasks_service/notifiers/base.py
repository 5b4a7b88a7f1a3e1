"""What a kind of notifier must do. One module per kind, listed in ``KINDS``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tasks_service.egress.policy import EgressPolicy
from tasks_service.model.notification import Receiver
from tasks_service.model.run import Run


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt went.

    Attributes:
        taken: The receiver has it.
        code: What it answered with; 0 if it did not.
        problem: Why it was not taken, or not by all; never a secret.
        final: Trying again can't help.
    """

    taken: bool
    code: int = 0
    problem: str = ""
    final: bool = False


class Notifier(Protocol):
    """One kind. Thread-safe, without state."""

    key: str
    signed: bool
    """Its messages are signed: a receiver has a secret, made if none is given."""

    def problems(self, receiver: Receiver, policy: EgressPolicy) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a receiver: a pointer into the request, and words."""
        ...

    def place(self, receiver: Receiver) -> str:
        """Return where it goes, for people: no secret is in it."""
        ...

    def body(self, event: str, run: Run, *, message: str, public_url: str) -> str:
        """Return what is stored and sent: the same text at every attempt."""
        ...

    def send(self, receiver: Receiver, message: str, body: str, policy: EgressPolicy) -> Sent:
        """Try once to hand over a message. Never raises for what the receiver does."""
        ...
