"""Connections to an engine from a dialer: pooled ones for requests, raw ones for streams.

A dialer in, an adapter for requests and raw two-way streams out. Used by
clients/docker_sdk.py only.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests.adapters
import urllib3
import urllib3.connection

Dial = Callable[[], socket.socket]
"""Returns a fresh, connected stream socket to the engine; raises OSError."""

MAX_HEADER = 64 << 10
REPLY_TIMEOUT_S = 120


def unix_dialer(path: str) -> Dial:
    """Return a dialer for an engine's socket at ``path``."""

    def dial() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock

    return dial


class Sockets:
    """Connections in use by one cancellable piece of work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._shut = False

    def add(self, connection: _Connection) -> None:
        """Take note of one; raises OSError if the work was cancelled already."""
        with self._lock:
            if self._shut:
                raise ConnectionAbortedError("canceled")
            self._connections.add(connection)

    def drop(self, connection: _Connection) -> None:
        """Forget one."""
        with self._lock:
            self._connections.discard(connection)

    def shut(self) -> None:
        """Wake whoever reads or writes; what is dialled later fails at once."""
        with self._lock:
            self._shut = True
            connections = list(self._connections)
        for connection in connections:
            connection.shut()


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, dial: Dial, **kwargs: Any) -> None:
        super().__init__("engine", **kwargs)
        self._dial = dial

    def connect(self) -> None:
        self.sock = self._dial()
        self.sock.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)

    def shut(self) -> None:
        if self.sock is not None:
            _shut(self.sock)


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, dial: Dial, local: threading.local) -> None:
        super().__init__("engine", maxsize=64, block=False)
        self._dial = dial
        self._local = local

    def _new_conn(self) -> _Connection:
        return _Connection(self._dial)

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        sockets: Sockets | None = getattr(self._local, "sockets", None)
        if sockets is not None:
            try:
                sockets.add(connection)
            except OSError:
                super()._put_conn(connection)
                raise
            connection.sockets = sockets
        return connection

    def _put_conn(self, conn: Any) -> None:
        sockets = getattr(conn, "sockets", None)
        if sockets is not None:
            sockets.drop(conn)
            conn.sockets = None
        super()._put_conn(conn)


class Adapter(requests.adapters.HTTPAdapter):
    """Sends requests over connections of the dialer, whatever their address says."""

    def __init__(self, dial: Dial, local: threading.local) -> None:
        super().__init__()
        self._pool = _Pool(dial, local)

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the one pool there is."""
        del request, verify, proxies, cert
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return the path alone; there are no proxies."""
        del proxies
        return str(request.path_url)

    def close(self) -> None:
        """Close the idle connections."""
        super().close()
        self._pool.close()


class Hijacked:
    """A raw two-way stream that an HTTP request turned into."""

    def __init__(self, sock: socket.socket, rest: bytes) -> None:
        self._sock = sock
        self._rest = rest

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; empty at the end, or after ``shut``."""
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data
        try:
            return self._sock.recv(size)
        except OSError:
            return b""

    def read_exactly(self, size: int) -> bytes:
        """Return ``size`` bytes, or fewer at the end of the stream."""
        data = self.read(size)
        while 0 < len(data) < size:
            more = self.read(size - len(data))
            if not more:
                break
            data += more
        return data

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._sock.sendall(data)

    def end_input(self) -> None:
        """Tell the other end that nothing more is written."""
        self._sock.shutdown(socket.SHUT_WR)

    def shut(self) -> None:
        """End both directions and wake a reader. Thread-safe."""
        _shut(self._sock)

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()


def upgrade(sock: socket.socket, url: str, body: bytes) -> bytes:
    """Ask for the raw stream; return what came with the answer's end of header."""
    head = (
        f"POST {url} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sock.settimeout(REPLY_TIMEOUT_S)
    sock.sendall(head.encode() + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = sock.recv(4096)
        if not more or len(answer) > MAX_HEADER:
            raise ConnectionError("no answer to the upgrade")
        answer += more
    head_end = answer.index(b"\r\n\r\n") + 4
    status = answer.split(b" ", 2)[1]
    if status not in (b"101", b"200"):
        text = answer[head_end:].decode(errors="replace").strip()
        raise ConnectionError(f"the engine refuses to attach ({status.decode()}): {text[:500]}")
    sock.settimeout(None)
    return answer[head_end:]


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
