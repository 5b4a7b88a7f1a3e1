"""The few calls of the Docker Engine API that hold a runner, over any dialer.

Small on purpose: a runner is started before anything else of a run, and
importing the SDK would cost more time than all these calls. The engine inside
the runner is driven by ``runners.clients``; only its ``/_ping`` and its
volumes are asked for here.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from runners.model.errors import Denied, InvalidInput, SystemFault, Unavailable

Dial = Callable[[], socket.socket]

# Both engines we know (20.10 and later) speak it, and newer ones still do.
API = "/v1.41"
MAX_REPLY = 16 << 20


class NotFound(InvalidInput):
    """The engine has no such object."""

    code = "not_found"


class InConflict(SystemFault):
    """The object exists already, or is in a state that forbids the call."""

    code = "conflict"


class _Connection(http.client.HTTPConnection):
    def __init__(self, dial: Dial, timeout_s: float) -> None:
        super().__init__("engine", timeout=timeout_s)
        self._dial = dial

    def connect(self) -> None:
        self.sock = self._dial()
        self.sock.settimeout(self.timeout)


def unix_dial(path: str) -> Dial:
    """Return a dialer of a Unix socket of this machine."""

    def dial() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock

    return dial


class EngineApi:
    """A Docker Engine behind a dialer. Thread-safe; one connection a call.

    Every method raises Unavailable when the engine can't be reached and
    SystemFault when it answers with an error of its own.
    """

    def __init__(self, dial: Dial, name: str) -> None:
        self.dial = dial
        self.name = name

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the decoded JSON of a GET."""
        return self.call("GET", path, query=query)

    def post(
        self,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 120,
    ) -> Any:
        """Return the decoded JSON of a POST, None for an empty reply."""
        return self.call("POST", path, body, query, timeout_s=timeout_s)

    def delete(
        self, path: str, query: Mapping[str, Any] | None = None, *, timeout_s: float = 120
    ) -> None:
        """Delete an object; one that is gone already is no error."""
        try:
            self.call("DELETE", path, query=query, timeout_s=timeout_s)
        except NotFound:
            return

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 120,
    ) -> Any:
        """Make one call and decode its reply (at most 16 MiB)."""
        connection = _Connection(self.dial, timeout_s)
        try:
            headers = {}
            payload = None
            if body is not None:
                payload = json.dumps(body).encode()
                headers["Content-Type"] = "application/json"
            connection.request(method, target(path, query), payload, headers)
            reply = connection.getresponse()
            data = reply.read(MAX_REPLY + 1)
        except (OSError, http.client.HTTPException) as exc:
            raise self._silent(exc) from exc
        finally:
            connection.close()
        if len(data) > MAX_REPLY:
            raise SystemFault(f"{self.name} answered {path} with more than 16 MiB")
        if reply.status >= 400:
            raise self._refusal(reply.status, data)
        return decode(data)

    def stream(
        self, path: str, body: Any, query: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        """POST ``body`` (bytes or a file) and yield the JSON lines of the reply."""
        connection = _Connection(self.dial, 1800)
        try:
            connection.request("POST", target(path, query), body, dict(headers))
            reply = connection.getresponse()
            if reply.status >= 400:
                raise self._refusal(reply.status, reply.read(65536))
            for line in reply:
                if line.strip():
                    yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise self._silent(exc) from exc
        finally:
            connection.close()

    def hijack(self, path: str, body: Any = None) -> socket.socket:
        """POST with an upgrade and return the raw stream that follows."""
        try:
            sock = self.dial()
        except OSError as exc:
            raise self._silent(exc) from exc
        try:
            payload = b"" if body is None else json.dumps(body).encode()
            head = (
                f"POST {API}{path} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\n"
                f"Upgrade: tcp\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(payload)}\r\n\r\n"
            )
            sock.settimeout(60)
            sock.sendall(head.encode() + payload)
            status, rest = _read_head(sock)
            sock.settimeout(None)
        except OSError as exc:
            sock.close()
            raise self._silent(exc) from exc
        if status not in (101, 200):
            sock.close()
            raise self._refusal(status, rest)
        return sock

    def ping(self, *, timeout_s: float = 5) -> bool:
        """Return whether the engine answers."""
        connection = _Connection(self.dial, timeout_s)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _silent(self, exc: Exception) -> Unavailable:
        return Unavailable(f"{self.name} does not answer: {exc}")

    def _refusal(self, status: int, data: bytes) -> Denied | NotFound | SystemFault:
        try:
            message = str(json.loads(data)["message"])
        except (ValueError, KeyError, TypeError):
            message = data[:500].decode(errors="replace").strip() or f"HTTP {status}"
        text = f"{self.name}: {message}"
        if status == 404:
            return NotFound(text)
        if status in (304, 409):
            return InConflict(text)
        if status in (401, 403):
            return Denied(text)
        return SystemFault(text)


def _read_head(sock: socket.socket) -> tuple[int, bytes]:
    head = b""
    # Byte by byte: what follows the head belongs to the stream, not to us.
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte or len(head) > 65536:
            raise ConnectionError("the connection closed before the reply's head ended")
        head += byte
    status = int(head.split(b" ", 2)[1])
    if status in (101, 200):
        return status, b""
    return status, sock.recv(65536)


def target(path: str, query: Mapping[str, Any] | None) -> str:
    """Return the request target: booleans as 1/0, mappings as JSON, None dropped."""
    if not query:
        return API + path
    words = {}
    for key, value in query.items():
        if isinstance(value, bool):
            words[key] = str(int(value))
        elif isinstance(value, Mapping):
            words[key] = json.dumps(value)
        elif value is not None:
            words[key] = str(value)
    return f"{API}{path}?{urlencode(words, quote_via=quote)}"


def decode(data: bytes) -> Any:
    """Return the JSON value of a reply, None if it has none."""
    try:
        return json.loads(data) if data.strip() else None
    except ValueError as exc:
        raise SystemFault(f"an engine's reply is not JSON: {data[:80]!r}") from exc
