"""What a provider's module has: names, checks of deliveries, pushes and statuses.

A module satisfies Provider; ``providers.PROVIDERS`` lists all of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from tasks_service.triggers.push import Push

Headers = Mapping[str, str]
"""By lower-case name."""


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """What is told about a commit: ``state`` is pending, running, success, failure or error."""

    repository: str
    commit: str
    state: str
    url: str
    text: str
    context: str


@dataclass(frozen=True, slots=True)
class Message:
    """A POST of JSON."""

    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that a repository is to have.

    Attributes:
        url: Where deliveries go; tells it from all others of the repository.
        pulls: It tells of pull requests, too.
    """

    repository: str
    url: str
    secret: str = field(repr=False)
    pulls: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a provider's API; a body is sent as JSON."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(default=None, repr=False)


Conversation: TypeAlias = Generator[Call, Any, None]
"""Yields calls and is sent the JSON of each good answer. What is answered is foreign."""


class Provider(Protocol):
    """One kind of Git server. All functions are pure."""

    API: str
    """Where its public server takes statuses; empty if there is none."""

    def genuine(self, headers: Headers, body: bytes, secret: str) -> bool:
        """Return whether who knows ``secret`` sent exactly these bytes."""
        ...

    def pushes(self, headers: Headers, payload: Any) -> tuple[Push, ...]:
        """Return the pushes of a delivery; none for other events.

        Raises:
            InvalidPayload: It is not what this provider sends.
        """
        ...

    def message(self, api: str, token: str, status: CommitStatus) -> Message:
        """Return the request that tells a status."""
        ...

    def connect(self, api: str, token: str, webhook: Webhook) -> Conversation:
        """Give the repository this webhook, or make the one it has as this one is."""
        ...

    def disconnect(self, api: str, token: str, webhook: Webhook) -> Conversation:
        """Take the webhook away, if it is there."""
        ...


def signed(given: str, body: bytes, secret: str) -> bool:
    """Return whether ``given`` is the hexadecimal HMAC-SHA-256 of ``body``."""
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return same(given.lower(), wanted)


def same(given: str, wanted: str) -> bool:
    """Return whether two secrets are equal, in a time that tells nothing."""
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def basic_password(header: str) -> str:
    """Return the password of a Basic login, or an empty text."""
    kind, _, text = header.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
