"""One call of the daemon on a session: its metadata, its messages, our answers.

Given by h2server.py to the handler of the call's method; messages in and out
are gRPC's, whole, or as many framed ones at once as the handler likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runners.clients.buildkit.rpc import CallAborted, frame, split_messages

if TYPE_CHECKING:
    from runners.clients.buildkit.h2server import SessionServer

_CREDIT_STEP = 1 << 20


class ServerStream:
    """One call of the daemon. Used by its handler's thread alone, unless said."""

    def __init__(
        self, server: SessionServer, stream_id: int, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self._server = server
        self._id = stream_id
        self._headers = headers
        self._inbox: list[bytes] = []
        self._partial = b""
        self._ended = False
        self._reset = False
        self._answered = False
        self._credit = 0

    @property
    def path(self) -> str:
        """The method path, ``/package.Service/Method``."""
        return self.values(":path")[0]

    def values(self, name: str) -> list[str]:
        """Return all values of a metadata key, bytes that are no UTF-8 kept as surrogates."""
        wanted = name.encode()
        return [v.decode("utf-8", "surrogateescape") for n, v in self._headers if n == wanted]

    def poll(self) -> list[bytes]:
        """Return the messages that have arrived, maybe none; never block.

        Raises:
            CallAborted: the daemon reset the call or the connection ended.
        """
        with self._server.lock:
            chunks, self._inbox = self._inbox, []
            if not chunks:
                self._check()
        return self._split(chunks)

    def receive(self) -> list[bytes] | None:
        """Return one or more messages; None once the daemon has finished sending.

        Raises:
            CallAborted: the daemon reset the call or the connection ended.
        """
        while True:
            with self._server.lock:
                while not self._inbox and not self._ended and not self._reset:
                    self._server.changed.wait()
                # What arrived before a reset counts: a daemon that has all it wants
                # says so and resets the call in one breath.
                chunks, self._inbox = self._inbox, []
                if not chunks:
                    self._check()
                ended = self._ended
            messages = self._split(chunks)
            if messages or ended:
                return messages or None

    def receive_one(self) -> bytes:
        """Return the request of a unary call."""
        messages = self.receive()
        return messages[0] if messages else b""

    def _split(self, chunks: list[bytes]) -> list[bytes]:
        if not chunks:
            return []
        data = b"".join([self._partial, *chunks]) if self._partial or len(chunks) > 1 else chunks[0]
        self._credit += len(data) - len(self._partial)
        if self._credit >= _CREDIT_STEP:
            self._server.grant(self._id, self._credit)
            self._credit = 0
        messages, self._partial = split_messages(data)
        return messages

    def _check(self) -> None:
        if self._reset:
            raise CallAborted("the daemon ended the call")

    def send(self, framed: bytes) -> None:
        """Send gRPC frames (prefix and message, as many as wanted, cut anywhere).

        Blocks while the daemon's windows are full.

        Raises:
            CallAborted: the daemon reset the call or the connection ended.
        """
        self._server.send_data(self, framed)

    def send_message(self, message: bytes) -> None:
        """Send one message."""
        self.send(frame(message))
