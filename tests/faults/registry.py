"""A registry for faults: answers HEAD as Distribution does, late, wrong or not at all as told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(content: str) -> str:
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


class Registry:
    """Tags and what is behind them. Thread-safe.

    Attributes:
        address: ``host:port``.
        asked: Method and path of each request.
        busy_s: Answer 429 with this Retry-After, while it is not None.
        late: Tag → how often it is still told as it was before.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.busy_s: int | None = None
        self.late: dict[str, int] = {}
        self._lock = threading.Lock()
        self._tags: dict[str, list[str]] = {}
        self._server = _server(self)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def ref(self, name: str) -> str:
        return f"{self.address}/{name}:1"

    def push(self, name: str, content: str, *, late: int = 0) -> str:
        """Let a tag mean this content; return its digest."""
        with self._lock:
            self._tags.setdefault(name, []).append(content)
            self.late[name] = late
        return digest_of(content)

    def digest(self, name: str) -> str:
        """Return what a tag means."""
        with self._lock:
            return digest_of(self._tags[name][-1])

    def told(self, name: str, accept: str) -> str | None:
        """Return what a HEAD is told, or None where there is no such tag."""
        with self._lock:
            contents = self._tags.get(name)
            if not contents:
                return None
            old = self.late.get(name, 0) > 0 and len(contents) > 1
            self.late[name] = self.late.get(name, 0) - 1
        content = contents[-2 if old else -1]
        # Who does not take an index gets the manifest of one platform.
        return digest_of(content) if INDEX in accept else digest_of(f"amd64 of {content}")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def registry() -> Iterator[Registry]:
    """Yield a registry on a free port of this machine."""
    found = Registry()
    try:
        yield found
    finally:
        found.close()


def _server(registry: Registry) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            registry.asked.append(("HEAD", self.path))
            if registry.busy_s is not None:
                self._answer(429, {"Retry-After": str(registry.busy_s)})
                return
            name = self.path.removeprefix("/v2/").rpartition("/manifests/")[0]
            digest = registry.told(name, self.headers.get("Accept", ""))
            if digest is None:
                self._answer(404, {})
            elif self.headers.get("If-None-Match") == f'"{digest}"':
                self._answer(304, {})
            else:
                self._answer(200, {"Docker-Content-Digest": digest})

        def do_GET(self) -> None:
            registry.asked.append(("GET", self.path))
            self._answer(405, {})

        def _answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    ).start()
    return server
