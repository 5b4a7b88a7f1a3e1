"""An API over a store of the test's own, and a queue that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from runners.model.errors import Unavailable
from tasks_service.api.app import create_app
from tasks_service.api.tokens import make_token
from tasks_service.blobs import LOGS, UPLOADS, open_blobs
from tasks_service.config import Settings
from tasks_service.model.access import Role
from tasks_service.runs.logs import RunLogs
from tasks_service.store import Store
from tests.contract.stores import opened


@dataclass
class Queue:
    """Remembers who was woken; refuses while ``away``."""

    woken: list[str] = field(default_factory=list)
    away: bool = False

    def wake(self, pool: str) -> None:
        if self.away:
            raise Unavailable("the broker is away")
        self.woken.append(pool)


@dataclass
class Api:
    app: FastAPI
    store: Store
    settings: Settings
    queue: Queue
    logs: RunLogs
    client: TestClient

    def token(self, role: Role = Role.ADMIN, *tasks: str, expires: float | None = None) -> str:
        """Return the text of a fresh token."""
        return make_token(self.store, name=str(role), role=role, tasks=tasks, expires=expires).text

    def call(self, method: str, path: str, *, token: str = "", **kwargs: Any) -> Any:
        """Send a request as the admin, or with another token."""
        headers = {"Authorization": f"Bearer {token or self.admin}", **kwargs.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **kwargs)

    def __post_init__(self) -> None:
        self.admin = self.token()


@contextmanager
def api(kind: str, folder: Path, **settings: Any) -> Iterator[Api]:
    """Yield an API that is served in this process."""
    with opened(kind, folder) as store:
        chosen = replace(Settings(state_dir=folder), **settings)
        queue = Queue()
        logs = RunLogs(store, open_blobs(chosen, LOGS))
        app = create_app(chosen, store, open_blobs(chosen, UPLOADS), logs, queue)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield Api(app, store, chosen, queue, logs, client)
