"""An end for a whole conversation, however slowly the other side drips.

Timeouts of sockets count from one byte to the next. In: a number of seconds
and the sockets of one request. Out: sockets that are dead when it is over.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2


class Deadline:
    """Shuts connections down after ``seconds``. For one request, in one thread.

    Whoever waits for such a connection then finds it closed, with the error
    of their library; ``over`` tells that it was for this reason.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until

    @property
    def left_s(self) -> float:
        """Seconds that are left, never less than a millisecond."""
        return max(0.001, self._until - time.monotonic())

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for one in self._held:
                one.close()
            self._held.clear()

    def watch(self, connection: socket.socket) -> None:
        """Have a connection shut down when the time is over."""
        # A descriptor of our own: TLS wraps and detaches the caller's.
        own = socket.socket(fileno=os.dup(connection.fileno()))
        with self._lock:
            self._held.append(own)
        if self.over:
            self._shut()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Watch the connections of a request: its extension ``trace``.

        Raises:
            httpx2.ConnectTimeout: The time is over before one is made.
        """
        if event == "connection.connect_tcp.started" and self.over:
            raise httpx2.ConnectTimeout("the time is over")
        if event == "connection.connect_tcp.complete":
            connection = info["return_value"].get_extra_info("socket")
            if connection is not None:
                self.watch(connection)

    def _shut(self) -> None:
        with self._lock:
            for one in self._held:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
