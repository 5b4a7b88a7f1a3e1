"""Attachments: everything one build's session serves, wired together.

A build's options in, the handlers of its session out; called by client.py.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runners.clients.buildkit.auth import AuthService
from runners.clients.buildkit.filesync import FileSync
from runners.clients.buildkit.h2server import Handler
from runners.clients.buildkit.options import Output, SolveOptions, TarContext, Transferred
from runners.clients.buildkit.request import local_directories
from runners.clients.buildkit.secrets import SecretService

if TYPE_CHECKING:
    from runners.clients.buildkit.receive import Receiver

# What a build asks for rarely is imported when it does: a small build's time is imports.


class Attachments:
    """The services of one build.

    Raises:
        InvalidInput: an output's destination cannot be written.
    """

    def __init__(self, options: SolveOptions) -> None:
        self.upload_id = os.urandom(13).hex()
        self._sync = FileSync(local_directories(options))
        self._receiver = _receiver(options.output)
        self._options = options

    def handlers(self) -> dict[str, Handler]:
        """Return method path → handler; only what this build needs."""
        options = self._options
        handlers: dict[str, Handler] = {
            "/moby.filesync.v1.FileSync/DiffCopy": self._sync.diff_copy,
            **AuthService(options.logins).handlers(),
            **SecretService(options.secrets).handlers(),
        }
        if options.ssh:
            from runners.clients.buildkit.ssh import SSHService

            handlers |= SSHService(options.ssh).handlers()
        if isinstance(options.context, TarContext):
            from runners.clients.buildkit.upload import UploadService

            handlers |= UploadService(self.upload_id, options.context).handlers()
        if self._receiver is not None:
            handlers["/moby.filesync.v1.FileSend/DiffCopy"] = self._receiver.diff_copy
        return handlers

    def transferred(self) -> Transferred:
        """Return what was sent from local trees."""
        count = self._sync.count
        return Transferred(count.listed, count.files, count.content_bytes)

    def check(self) -> None:
        """Raise what went wrong on our side while a result was received."""
        if self._receiver is not None:
            self._receiver.check()

    def close(self) -> None:
        """Let go of an unfinished result. Idempotent."""
        if self._receiver is not None:
            self._receiver.close()


def _receiver(output: Output) -> Receiver | None:
    if output.type in ("image", "cache"):
        return None
    from runners.clients.buildkit.receive import receiver_for

    return receiver_for(output)
