"""What the routes need, wired once by ``create_app``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from tasks_service.api.streams import Streams
from tasks_service.api.tokens import Doorkeeper
from tasks_service.blobs import BlobStore
from tasks_service.config import Settings
from tasks_service.runs.bases import Restarts
from tasks_service.runs.lifecycle import RunLife
from tasks_service.runs.logs import RunLogs
from tasks_service.store import Store
from tasks_service.triggers.policies import PolicyFile

Check = Callable[[], None]
"""Raises a RunnerError if the part it asks does not answer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The API's own parts and those below it.

    ``needed`` are checks without which nothing works (``/readyz`` says 503),
    ``wanted`` those without which work is slower (``degraded``).
    """

    settings: Settings
    store: Store
    uploads: BlobStore
    life: RunLife
    logs: RunLogs
    doorkeeper: Doorkeeper
    streams: Streams
    needed: Mapping[str, Check]
    wanted: Mapping[str, Check]
    policies: PolicyFile
    restarts: Restarts = field(default_factory=Restarts)


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Wired = Annotated[Parts, Depends(_parts)]
