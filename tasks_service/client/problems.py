"""Problem documents (RFC 9457) become errors of ours: same code, same exit code.

In: status and body of an answer that refuses. Out: one RunnerError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runners.model.errors import Denied, InvalidInput, RunnerError, SystemFault, Unavailable
from tasks_service.errors import Busy, Conflict, NotFound, VersionMismatch

MAX_RETRY_AFTER_S = 300


class LoginRefused(Denied):
    """There is no token, or the server does not take it."""


_MAKERS: Mapping[str, Callable[..., RunnerError]] = {
    "invalid_input": InvalidInput,
    "invalid_task_file": InvalidInput,
    "denied": Denied,
    "not_found": NotFound,
    "conflict": Conflict,
    "version_mismatch": VersionMismatch,
    "unavailable": Unavailable,
    "system_fault": SystemFault,
}
_BY_STATUS: Mapping[int, Callable[..., RunnerError]] = {
    400: InvalidInput,
    403: Denied,
    404: NotFound,
    405: InvalidInput,
    409: Conflict,
    410: NotFound,
    412: VersionMismatch,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
    428: InvalidInput,
}


def error_of(status: int, body: object, *, where: str, retry_after: str = "") -> RunnerError:
    """Return the error that an answer with ``status`` means.

    Args:
        status: 300 to 599.
        body: Decoded JSON, or anything else.
        where: The server, for messages.
        retry_after: Value of that header.
    """
    problem: Mapping[str, Any] = body if isinstance(body, dict) else {}
    code = _text(problem, "code")
    message = _text(problem, "detail") or _text(problem, "title") or f"{where}: status {status}"
    hint = _text(problem, "hint")
    detail = _details(problem)
    if detail == message:
        # The only error is the message already.
        detail = ""
    if status == 401:
        return LoginRefused(
            message if problem else f"{where} does not take the token",
            # The server's own hint is for people who write HTTP.
            hint="set TASKS_TOKEN, or give the context a new token: `tasks context add`",
        )
    if code == "busy" or status == 429:
        wait = int(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else 30
        return Busy(
            message,
            retry_after_s=min(wait, MAX_RETRY_AFTER_S),
            hint=hint or f"try again in {wait} s",
        )
    maker = _MAKERS.get(code) or _BY_STATUS.get(status)
    if maker is None:
        maker = Unavailable if status >= 500 else Denied
    if status >= 500:
        hint = hint or "try again; if it stays, look at the server's log"
        request_id = _text(problem, "requestId")
        detail = "\n".join(
            part for part in (detail, f"request {request_id}" * bool(request_id)) if part
        )
    return maker(message, hint=hint, detail=detail)


def _text(problem: Mapping[str, Any], name: str) -> str:
    value = problem.get(name)
    return value[:4000] if isinstance(value, str) else ""


def _details(problem: Mapping[str, Any]) -> str:
    errors = problem.get("errors")
    if not isinstance(errors, list):
        return ""
    lines = [_detail(error) for error in errors[:100] if isinstance(error, dict)]
    return "\n".join(line for line in lines if line)


def _detail(error: Mapping[str, Any]) -> str:
    text = _text(error, "detail")
    line, column = error.get("line"), error.get("column")
    if isinstance(line, int) and line > 0:
        place = f"{line}:{column}" if isinstance(column, int) and column > 0 else str(line)
        return f"line {place}: {text}" if not text.startswith(str(place)) else text
    pointer = _text(error, "pointer").removeprefix("#").strip("/").replace("/", ".")
    return f"{pointer}: {text}" if pointer else text
