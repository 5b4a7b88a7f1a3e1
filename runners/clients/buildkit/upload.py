"""Upload: a tar stream as the build context, pulled by the daemon.

A TarContext in, its bytes out; called by the handler attach.py registers.
"""

from __future__ import annotations

from runners.clients.buildkit.filesync import varint
from runners.clients.buildkit.h2server import Handler
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.options import TarContext
from runners.clients.buildkit.rpc import NOT_FOUND, UNKNOWN, RpcFailure, frame

_CHUNK = 1 << 18


class UploadService:
    """Serves ``Upload/Pull`` for one stream, known by its id."""

    def __init__(self, upload_id: str, context: TarContext) -> None:
        self._id = upload_id
        self._context = context

    def handlers(self) -> dict[str, Handler]:
        """See ``session.Service``."""
        return {"/moby.upload.v1.Upload/Pull": self._pull}

    def _pull(self, stream: ServerStream) -> None:
        if stream.values("urlpath") != [f"/{self._id}"]:
            raise RpcFailure(NOT_FOUND, "no such upload")
        try:
            with self._context.open() as source:
                while data := source.read(_CHUNK):
                    stream.send(frame(b"\x0a" + varint(len(data)) + data))
        except OSError as error:
            raise RpcFailure(UNKNOWN, f"cannot read the context: {error}") from error
