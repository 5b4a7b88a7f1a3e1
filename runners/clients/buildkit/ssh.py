"""SSH agents of this side, lent to build steps.

Ids and agent sockets in, raw agent traffic out; called by the handlers
attach.py registers. A step may list keys and have them sign; requests that
would change the agent are refused here, before they reach it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Mapping

from runners.clients.buildkit._pb import session_pb2
from runners.clients.buildkit.filesync import varint
from runners.clients.buildkit.h2server import Handler
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.rpc import (
    NOT_FOUND,
    PERMISSION_DENIED,
    CallAborted,
    RpcFailure,
    frame,
)
from runners.clients.buildkit.session import unary

_DEFAULT = "default"
_CHUNK = 1 << 16
# Requests of the agent protocol that read: list, sign, and their old forms.
_ALLOWED = frozenset((11, 13))
_FAILURE = struct.pack(">IB", 1, 5)
_MAX_REQUEST = 1 << 20


class SSHService:
    """Serves the agents of one build.

    Args:
        agents: Id → path of the agent's socket.
    """

    def __init__(self, agents: Mapping[str, str]) -> None:
        self._agents = agents

    def handlers(self) -> dict[str, Handler]:
        """See ``session.Service``."""
        return {
            "/moby.sshforward.v1.SSH/CheckAgent": unary(self._check),
            "/moby.sshforward.v1.SSH/ForwardAgent": self._forward,
        }

    def _path(self, name: str) -> str:
        path = self._agents.get(name or _DEFAULT)
        if path is None:
            raise RpcFailure(NOT_FOUND, f"no SSH agent {name or _DEFAULT!r} is given to this build")
        return path

    def _check(self, request: bytes, _: ServerStream) -> bytes:
        self._connect(session_pb2.CheckAgentRequest.FromString(request).ID).close()
        return b""

    def _connect(self, name: str) -> socket.socket:
        path = self._path(name)
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            agent.connect(path)
        except OSError as error:
            agent.close()
            raise RpcFailure(
                PERMISSION_DENIED, f"SSH agent {name or _DEFAULT!r}: {error.strerror}"
            ) from error
        return agent

    def _forward(self, stream: ServerStream) -> None:
        agent = self._connect((stream.values("buildkit.ssh.id") or [_DEFAULT])[0])
        answers = threading.Thread(
            target=_answers, args=(agent, stream), daemon=True, name="buildkit-ssh"
        )
        answers.start()
        try:
            _requests(stream, agent)
            with contextlib.suppress(OSError):
                agent.shutdown(socket.SHUT_WR)
            answers.join()
        finally:
            with contextlib.suppress(OSError):
                agent.shutdown(socket.SHUT_RDWR)
            answers.join()
            agent.close()


def _requests(stream: ServerStream, agent: socket.socket) -> None:
    pending = b""
    while (messages := stream.receive()) is not None:
        pending += b"".join(session_pb2.BytesMessage.FromString(m).data for m in messages)
        while len(pending) > 4:
            size = int.from_bytes(pending[:4], "big")
            if not 0 < size <= _MAX_REQUEST:
                raise RpcFailure(PERMISSION_DENIED, "no request of the SSH agent protocol")
            if len(pending) < 4 + size:
                break
            request, pending = pending[: 4 + size], pending[4 + size :]
            if request[4] in _ALLOWED:
                agent.sendall(request)
            else:
                stream.send(_packed(_FAILURE))


def _answers(agent: socket.socket, stream: ServerStream) -> None:
    with contextlib.suppress(OSError, CallAborted):
        while data := agent.recv(_CHUNK):
            stream.send(_packed(data))


def _packed(data: bytes) -> bytes:
    return frame(b"\x0a" + varint(len(data)) + data)
