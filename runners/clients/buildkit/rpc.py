"""gRPC's framing and status codes, as far as the session server needs them.

Bytes of a stream in, messages out, and the errors a handler raises. Called by
h2server.py and by every service of the session.
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
NOT_FOUND: Final = 5
PERMISSION_DENIED: Final = 7
UNIMPLEMENTED: Final = 12

_PREFIX = 5


class RpcFailure(Exception):
    """Ends a call with a status the daemon gets to see."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class CallAborted(Exception):
    """The daemon or the connection ended the call; nobody waits for an answer."""


def frame(message: bytes) -> bytes:
    """Return ``message`` with gRPC's five bytes (uncompressed, length) before it."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def split_messages(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut whole messages off ``data``; return them and the incomplete rest.

    Raises:
        RpcFailure: a message is compressed, which we never offered.
    """
    messages = []
    position = 0
    size = len(data)
    while size - position >= _PREFIX:
        end = position + _PREFIX + int.from_bytes(data[position + 1 : position + _PREFIX], "big")
        if end > size:
            break
        if data[position]:
            raise RpcFailure(UNIMPLEMENTED, "compressed messages are not supported")
        messages.append(data[position + _PREFIX : end])
        position = end
    return messages, data[position:]
