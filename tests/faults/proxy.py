"""A registry with faults: a proxy before a real one that answers pushes as told."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1.1\r\n")


class Proxy:
    """Passes bytes on; a request that it was told to break gets a fault instead.

    Attributes:
        broken: Requests that got a fault, as ``METHOD path``.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._fault: tuple[re.Pattern[str], str, int] | None = None
        self._lock = threading.Lock()
        self.broken: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def fail(self, requests: str, how: str, times: int) -> None:
        """Break requests from now on.

        Args:
            requests: A pattern of ``METHOD path``.
            how: A status line with headers, or ``reset``: the connection is cut
                in the middle of the request.
            times: How many.
        """
        with self._lock:
            self._fault = (re.compile(requests), how, times)
            self.broken.clear()

    def heal(self) -> None:
        """Break nothing more."""
        with self._lock:
            self._fault = None

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._target) as real:
            threading.Thread(target=_copy, args=(real, client), daemon=True).start()
            while data := client.recv(65536):
                # A client begins each request with a write of its own.
                how = self._how(data)
                if how == "reset":
                    real.sendall(data[: len(data) // 2])
                    return
                if how:
                    # What is left of the body is taken: else the answer might get lost.
                    client.settimeout(0.2)
                    with suppress(TimeoutError):
                        while client.recv(65536):
                            pass
                    client.sendall(how.encode())
                    return
                real.sendall(data)

    def _how(self, data: bytes) -> str:
        found = _REQUEST.match(data)
        if found is None:
            return ""
        asked = f"{found[1].decode()} {found[2].decode(errors='replace')}"
        with self._lock:
            if self._fault is None or not self._fault[0].match(asked):
                return ""
            pattern, how, times = self._fault
            self._fault = (pattern, how, times - 1) if times > 1 else None
            self.broken.append(asked.partition("?")[0])
        return how


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def answer(status: str, *headers: str) -> str:
    """Return an answer without words of its own, as a proxy in trouble gives."""
    return "\r\n".join(
        [f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "Connection: close", "", ""]
    )


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """Yield a proxy before ``host:port``."""
    found = Proxy(target)
    try:
        yield found
    finally:
        found.close()
