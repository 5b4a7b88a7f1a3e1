"""The server itself: is it alive, can it work, what is it, who am I."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from runners.model.errors import RunnerError
from tasks_service.api.caller import Reader
from tasks_service.api.metrics import CONTENT_TYPE, render
from tasks_service.api.models.base import rfc3339_or_none
from tasks_service.api.models.views import VersionView, WhoView
from tasks_service.api.parts import Check, Wired
from tasks_service.errors import NotFound

router = APIRouter(tags=["server"])
_SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "task.schema.json"


@router.get("/livez", response_class=PlainTextResponse)
def livez() -> str:
    """Answer while the process lives."""
    return "ok\n"


@router.get("/readyz", responses={503: {"description": "A part that is needed is away."}})
def readyz(parts: Wired, verbose: Annotated[str | None, Query(max_length=10)] = None) -> Response:
    """Tell whether requests can be served; ``?verbose`` names every part."""
    needed, wanted = _ask(parts.needed), _ask(parts.wanted)
    status = "unavailable" if any(needed.values()) else "degraded" if any(wanted.values()) else "ok"
    body: dict[str, Any] = {"status": status}
    if verbose is not None:
        body["parts"] = {name: said or "ok" for name, said in {**needed, **wanted}.items()}
    return JSONResponse(body, 503 if status == "unavailable" else 200)


def _ask(checks: Mapping[str, Check]) -> dict[str, str]:
    found = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = ""
        except RunnerError as error:
            found[name] = error.code
    return found


@router.get("/healthz", include_in_schema=False)
def healthz(parts: Wired) -> Response:
    """The same as ``/readyz``."""
    return readyz(parts)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(parts: Wired) -> Response:
    """Metrics in the text format of Prometheus."""
    if parts.settings.metrics_listen:
        raise NotFound(f"metrics are served at {parts.settings.metrics_listen}")
    return Response(render(parts.store), media_type=CONTENT_TYPE)


@router.get("/schemas/task.schema.json", include_in_schema=False)
def task_schema() -> Response:
    """The JSON Schema of task files, for editors."""
    if not _SCHEMA.is_file():
        raise NotFound("this installation has no schema of task files")
    return FileResponse(_SCHEMA, media_type="application/schema+json")


@router.get("/api/v1/version")
def server_version(caller: Reader) -> VersionView:
    """Return the server's version."""
    del caller
    return VersionView(version=version("tasks-service"), api_version="v1")


@router.get("/api/v1/whoami")
def whoami(caller: Reader) -> WhoView:
    """Return name, role and bounds of the token."""
    token = caller.token
    return WhoView(
        id=token.id,
        name=token.name,
        role=str(token.role),
        tasks=list(token.tasks),
        expires=rfc3339_or_none(token.expires),
    )
