"""Health and metrics of processes that serve no API: schedulers and workers.

In: checks. Out: a small application with ``/livez``, ``/readyz`` and ``/metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from runners.model.errors import RunnerError
from tasks_service.api.metrics import CONTENT_TYPE, render
from tasks_service.daemons.http import HTTPServer
from tasks_service.daemons.parts import Parts
from tasks_service.store.schema import current


def health_app(parts: Parts, *, alive: Callable[[], bool]) -> Starlette:
    """Return the application.

    Args:
        parts: Whose database must answer to be ready.
        alive: Whether the process does its work; a supervisor that sees it
            fail starts a fresh one.
    """

    def livez(request: Request) -> Response:
        del request
        good = alive()
        return PlainTextResponse("ok\n" if good else "stuck\n", 200 if good else 503)

    def readyz(request: Request) -> Response:
        del request
        status: Mapping[str, str]
        try:
            current(parts.store.database)
        except RunnerError as error:
            status = {"status": "unavailable", "database": error.code}
        else:
            status = {"status": "ok"}
        return JSONResponse(dict(status), 200 if status["status"] == "ok" else 503)

    def metrics(request: Request) -> Response:
        del request
        return Response(render(parts.store), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/healthz", readyz),
            Route("/metrics", metrics),
        ]
    )


def serve_health(parts: Parts, *, alive: Callable[[], bool]) -> HTTPServer | None:
    """Serve it where ``metrics_listen`` says; None where it says nothing.

    Raises:
        Unavailable: The address can't be had.
    """
    if not parts.settings.metrics_listen:
        return None
    server = HTTPServer(health_app(parts, alive=alive), parts.settings.metrics_listen)
    server.start()
    return server
