"""The front door, before any route: request id, token, limits, headers, one log line.

Everything that is not in OPEN_PATHS or below HOOKS needs a good token here, whether there is
a route for it or not.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import anyio.to_thread
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runners.model.errors import RunnerError
from tasks_service.api.caller import Caller
from tasks_service.api.problem import on_fault, on_runner_error
from tasks_service.api.tokens import Doorkeeper
from tasks_service.blobs import TooLarge
from tasks_service.errors import NotFound
from tasks_service.process_log import get_logger

OPEN_PATHS = frozenset(
    {"/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/schemas/task.schema.json"}
)
HOOKS = "/hooks/"
"""Deliveries of Git servers: judged by their signature, by the route itself."""
UPLOADS = "/api/v1/uploads/"
MAX_BODY = 4 << 20
_GIVEN_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_QUIET = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
_log = get_logger(__name__)


class FrontDoor:
    """ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, *, doorkeeper: Doorkeeper) -> None:
        self._app = app
        self._doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Visit(self._app, self._doorkeeper, scope, receive, send).serve()


class _Visit:
    """One request on its way in and its answer on the way out."""

    def __init__(
        self, app: ASGIApp, doorkeeper: Doorkeeper, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = Headers(scope=scope)
        self._status = 0
        self._size = 0
        given = self._headers.get("x-request-id", "")
        self._id = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._state["request_id"] = self._id

    async def serve(self) -> None:
        began = time.monotonic()
        path = self._scope["path"]
        with structlog.contextvars.bound_contextvars(request_id=self._id):
            try:
                await self._serve(path)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem
                await self._failed(error)
            if path not in _QUIET:
                caller = self._state.get("caller")
                _log.info(
                    "request",
                    method=self._scope["method"],
                    path=path[:300],
                    status=self._status,
                    ms=round((time.monotonic() - began) * 1000, 1),
                    actor=caller.name if caller else "",
                )

    async def _serve(self, path: str) -> None:
        if not path.isprintable():
            # No name of ours holds such a character, and not every database takes it.
            raise NotFound("there is nothing at a path with control characters")
        if path not in OPEN_PATHS and not path.startswith(HOOKS):
            client = self._scope.get("client") or ("", 0)
            login = self._headers.get("authorization", "")
            token = await anyio.to_thread.run_sync(self._doorkeeper.admit, login, client[0])
            self._state["caller"] = Caller(token)
        if not path.startswith(UPLOADS):
            self._check_length()
        await self._app(self._scope, self._limited, self._answer)

    def _check_length(self) -> None:
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > MAX_BODY:
            raise _too_large()

    async def _limited(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._scope["path"].startswith(UPLOADS):
            self._size += len(message.get("body", b""))
            if self._size > MAX_BODY:
                raise _too_large()
        return message

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
            if self._status == 401:
                headers["WWW-Authenticate"] = 'Bearer realm="tasks"'
        await self._send(message)

    async def _failed(self, error: Exception) -> None:
        request = Request(self._scope)
        if self._status:
            # Half of the answer is out; the broken connection must tell.
            _log.error("answer_broken", path=self._scope["path"][:300], exc_info=error)
            raise error
        known = isinstance(error, RunnerError)
        answer = on_runner_error(request, error) if known else on_fault(request, error)
        await answer(self._scope, self._receive, self._answer)


def _too_large() -> TooLarge:
    return TooLarge(f"the body is larger than {MAX_BODY >> 20} MiB", hint="upload large sources")
