"""The application: routes, front door and errors, wired to the parts it is given.

Called by the daemons and by tests. ``create_app`` connects nothing; the
parts are opened and closed by the caller.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from runners.model.errors import RunnerError, Unavailable
from tasks_service.api.middleware import FrontDoor
from tasks_service.api.parts import Check, Parts
from tasks_service.api.problem import (
    MEDIA_TYPE,
    ProblemView,
    on_fault,
    on_http_error,
    on_invalid_request,
    on_runner_error,
)
from tasks_service.api.routes import ROUTERS
from tasks_service.api.streams import Streams
from tasks_service.api.tokens import Doorkeeper
from tasks_service.blobs import BlobStore
from tasks_service.config import Settings
from tasks_service.runs.announcer import Announcer, Wake
from tasks_service.runs.lifecycle import RunLife
from tasks_service.runs.logs import RunLogs
from tasks_service.store import Store
from tasks_service.store.schema import current, head
from tasks_service.triggers.policies import PolicyFile

THREADS = 80
"""Requests answered at once; each needs a connection of the database for moments only."""
_DESCRIPTION = (
    "Stored tasks, runs, their logs and everything around them. Every request but those for "
    "health carries a token: `Authorization: Bearer tsk_…`. Errors are problem documents "
    "(RFC 9457) with a stable `code`."
)


def create_app(
    settings: Settings,
    store: Store,
    uploads: BlobStore,
    logs: RunLogs,
    queue: Wake,
    *,
    wanted: Mapping[str, Check] | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        settings: Limits, rules and addresses.
        store: The database.
        uploads: Where uploaded contexts go.
        logs: Logs of runs.
        queue: Wakes workers of accepted runs.
        wanted: Further checks of ``/readyz`` that make it ``degraded`` at most.
    """
    announcer = Announcer(store, queue)
    parts = Parts(
        settings=settings,
        store=store,
        uploads=uploads,
        life=RunLife(store, announcer, settings),
        logs=logs,
        doorkeeper=Doorkeeper(store),
        streams=Streams(),
        needed={"database": lambda: _schema_fits(store)},
        wanted=wanted or {},
        policies=PolicyFile(settings.base_policies),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        parts.streams.stop()
        await anyio.to_thread.run_sync(announcer.close)

    app = FastAPI(
        title="tasks-service",
        version=version("tasks-service"),
        description=_DESCRIPTION,
        # Pages of documentation would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation,
        responses={"default": {"model": ProblemView, "content": {MEDIA_TYPE: {}}}},
    )
    app.state.parts = parts
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(RunnerError, on_runner_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_fault)
    app.add_middleware(FrontDoor, doorkeeper=parts.doorkeeper)
    return app


def stop_streams(app: FastAPI) -> None:
    """End the event streams of an application, so that its server can stop."""
    parts: Parts = app.state.parts
    parts.streams.stop()


def _schema_fits(store: Store) -> None:
    if current(store.database) != head():
        raise Unavailable("the database's schema is not the one this version needs")


def _operation(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}"


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    return app.openapi()
