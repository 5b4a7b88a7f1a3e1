"""Serve an ASGI application in a thread: started when it listens, stopped in time.

In: an application and an address. Out: HTTP. uvicorn's own signal handling
is left out: the process has one place for signals (``lifetime``).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from runners.model.errors import InvalidInput, Unavailable

GRACE_S = 5
_START_S = 10.0


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``, ``[::1]:port`` or ``:port``.

    Raises:
        InvalidInput: It is none of them.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput(
            f"listen address {text[:80]!r} is not host:port", hint="write 127.0.0.1:8080"
        )
    return host or "0.0.0.0", int(port)  # noqa: S104 - what a bare port means everywhere


class HTTPServer:
    """One listening server. Start it once, stop it once.

    Args:
        app: The application.
        listen: ``host:port``; port 0 takes a free one, see ``address``.
        on_stop: Called first when it stops: ends streams that would else
            keep their connections open.
    """

    def __init__(
        self, app: Any, listen: str, *, on_stop: Callable[[], None] = lambda: None
    ) -> None:
        self._on_stop = on_stop
        self._host, self._port = parse_listen(listen)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GRACE_S,
                server_header=False,
                lifespan="on",
            )
        )

    def start(self) -> None:
        """Listen and serve in a thread; return when requests are answered.

        Raises:
            Unavailable: The address can't be had, or the application fails.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # asyncio turns Nagle's delay off for what calls itself TCP only: without the
        # name each answer on a kept connection waits 40 ms for the client's ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise Unavailable(
                f"can't listen on {self._host}:{self._port}: {(error.strerror or '').lower()}",
                hint="choose another address by --listen",
            ) from error
        listener.listen(512)
        self._socket = listener
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="http", daemon=True
        )
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_S / 0.02)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            waited.wait(0.02)
        raise Unavailable("the HTTP server did not start; its reason is in the log")

    @property
    def address(self) -> str:
        """``host:port`` it really listens on."""
        assert self._socket is not None  # noqa: S101 - started before
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Finish what is under way, within seconds, and stop. Idempotent."""
        self._on_stop()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(GRACE_S * 2)
        if self._socket is not None:
            self._socket.close()
