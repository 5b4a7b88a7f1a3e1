"""One session: everything the daemon may ask of us during a build, behind one id.

In come the directories, logins, secrets, agents and result receivers of a
build; out goes an open session whose id goes into the solve request. Called
by client.py. Ends with ``close``; a session id is never used twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from runners.clients.buildkit.h2server import Handler, SessionServer
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.rpc import frame
from runners.clients.buildkit.transport import SessionHeaders, Transport


class Service(Protocol):
    """A set of methods served on a session."""

    def handlers(self) -> Mapping[str, Handler]:
        """Return method path → handler."""
        ...


class Session:
    """A session that is open from construction to ``close``.

    Raises:
        Unavailable: the daemon refuses the session or cannot be reached.
    """

    def __init__(
        self, transport: Transport, handlers: Mapping[str, Handler], shared_key: str
    ) -> None:
        self.id = os.urandom(13).hex()
        headers = SessionHeaders(self.id, shared_key, tuple(handlers))
        connection, received = transport.open_session(headers)
        self._server = SessionServer(connection, received, handlers)
        self._server.start()

    @property
    def alive(self) -> bool:
        """False once the daemon has dropped the session."""
        return self._server.alive

    def close(self) -> None:
        """End the session and its threads. Idempotent."""
        self._server.close()


def unary(answer: Callable[[bytes, ServerStream], bytes]) -> Handler:
    """Make a handler of a function from request bytes to response bytes."""

    def handler(stream: ServerStream) -> None:
        stream.send(frame(answer(stream.receive_one(), stream)))

    return handler
