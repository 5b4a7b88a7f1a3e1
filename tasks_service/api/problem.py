"""Errors as problem documents (RFC 9457): the status and code of each, declared once.

Nothing but these leaves the API for an error: no traceback, no text of a
library, no path of the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from runners.model.errors import RunnerError
from tasks_service.api.models.base import View, nearest_key
from tasks_service.errors import Busy
from tasks_service.process_log import get_logger
from tasks_service.runs.fields import FieldError, InvalidFields, pointer

MEDIA_TYPE = "application/problem+json"
RETRY_S = 5
STATUSES: Mapping[str, int] = {
    "invalid_input": 422,
    "invalid_task_file": 422,
    "invalid_schedule": 422,
    "idempotency_mismatch": 422,
    "digest_mismatch": 422,
    "invalid_payload": 422,
    "too_large": 413,
    "unauthorized": 401,
    "denied": 403,
    "forged_delivery": 403,
    "not_found": 404,
    "conflict": 409,
    "task_disabled": 409,
    "secrets_erased": 409,
    "version_mismatch": 412,
    "busy": 429,
    "unavailable": 503,
    "schema_too_new": 503,
}
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "denied",
    404: "not_found",
    405: "method_not_allowed",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
}
_log = get_logger(__name__)


class FieldErrorView(View):
    """One field that can't be; ``pointer`` leads into the body, ``parameter`` names another."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    line: int | None = None
    column: int | None = None


class ProblemView(View):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str
    errors: list[FieldErrorView]
    request_id: str


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    errors: Sequence[Mapping[str, Any]] = (),
    request_id: str = "",
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer for one problem."""
    body = {
        "type": f"urn:tasks-service:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
        "errors": list(errors),
        "requestId": request_id,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """Return the id the request was given."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def on_runner_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of ours."""
    assert isinstance(error, RunnerError)  # noqa: S101 - registered for this class
    status = STATUSES.get(error.code, 500)
    headers = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        headers["Retry-After"] = str(RETRY_S)
    if status >= 500:
        _log.error("request_failed", code=error.code, error=error.message)
    detail = error.message if status != 500 else "the service could not do it"
    errors = [_field_json(e) for e in error.errors] if isinstance(error, InvalidFields) else []
    return problem(
        status,
        error.code,
        detail,
        hint=error.hint,
        errors=errors,
        request_id=request_id_of(request),
        headers=headers,
    )


def _field_json(error: FieldError) -> dict[str, Any]:
    found: dict[str, Any] = {"pointer": error.pointer, "detail": error.detail}
    if error.line:
        found |= {"line": error.line, "column": error.column}
    return found


def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Answer a body or parameter of the wrong form; every one at once."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    route = request.scope.get("route")
    field = getattr(route, "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    errors = [_described(entry, model) for entry in error.errors()[:100]]
    first = errors[0]
    place = first.get("parameter") or str(first.get("pointer", "")).strip("/").replace("/", ".")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(
        422,
        "invalid_input",
        (f"{place}: " if place else "") + str(first["detail"]) + more,
        errors=errors,
        request_id=request_id_of(request),
    )


def body_errors(model: type[BaseModel], entries: Sequence[Any]) -> list[FieldError]:
    """Return what pydantic found in a body that was validated by hand."""
    described = [_described({**entry, "loc": ("body", *entry["loc"])}, model) for entry in entries]
    return [FieldError(str(entry["pointer"]), str(entry["detail"])) for entry in described]


def _described(entry: Any, model: Any) -> dict[str, Any]:
    where, *path = entry["loc"]
    kind = entry["type"]
    detail = _sentence(entry)
    if where != "body":
        return {"parameter": str(path[0]) if path else str(where), "detail": detail}
    if kind == "json_invalid":
        return {"pointer": "", "detail": f"the body is not JSON: {detail}"}
    if kind == "extra_forbidden":
        detail = "there is no such key"
        if isinstance(model, type) and issubclass(model, BaseModel):
            near = nearest_key(model, path)
            detail += f"; did you mean '{near}'?" if near else ""
    return {"pointer": pointer(*(str(part)[:100] for part in path)), "detail": detail}


def _sentence(entry: Any) -> str:
    # Pydantic's own words, without the value: it may be a secret.
    if entry["type"] == "value_error":
        return str(entry.get("ctx", {}).get("error", entry["msg"]))
    if entry["type"] == "json_invalid":
        return str(entry.get("ctx", {}).get("error", entry["msg"]))
    text = str(entry["msg"])
    return text[:1].lower() + text[1:]


def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses: no such path, wrong method, body that is no JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if isinstance(error.__cause__, RunnerError):
        # What the body's own reader raised, wrapped by the framework.
        return on_runner_error(request, error.__cause__)
    status = error.status_code
    code = _CODES.get(status, "bad_request" if status < 500 else "system_fault")
    detail = {
        404: f"there is nothing at {request.url.path[:200]}",
        405: f"{request.method} is not possible at {request.url.path[:200]}",
    }.get(status, str(error.detail)[:300])
    return problem(status, code, detail, request_id=request_id_of(request), headers=error.headers)


def on_fault(request: Request, error: Exception) -> JSONResponse:
    """Answer a fault of ours; the log has the rest under the request's id."""
    _log.error("fault", path=request.url.path, exc_info=error)
    return problem(
        500,
        "system_fault",
        "something broke on our side",
        hint="try again; if it stays, look for the request id in the server's log",
        request_id=request_id_of(request),
    )
