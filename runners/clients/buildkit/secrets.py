"""Build secrets: bytes, files or environment variables, handed out by id.

The secrets of a build in, their bytes out when a step mounts one; called by
session.py. Nothing is read before the daemon asks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runners.clients.buildkit._pb import session_pb2
from runners.clients.buildkit.h2server import Handler
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.rpc import NOT_FOUND, PERMISSION_DENIED, RpcFailure
from runners.clients.buildkit.session import unary

MAX_SECRET = 500 * 1024


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret: exactly one of its value, a file, or a variable of our environment."""

    value: bytes | None = field(default=None, repr=False)
    path: Path | None = None
    variable: str | None = None

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            OSError: the file cannot be read.
            KeyError: the variable is not set.
        """
        if self.value is not None:
            return self.value
        if self.path is not None:
            return self.path.read_bytes()
        return os.environb[os.fsencode(self.variable or "")]


class SecretService:
    """Serves ``Secrets/GetSecret``. An unknown id is NOT_FOUND: an optional mount stays absent."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._secrets = secrets

    def handlers(self) -> dict[str, Handler]:
        """See ``session.Service``."""
        return {"/moby.buildkit.secrets.v1.Secrets/GetSecret": unary(self._get)}

    def _get(self, request: bytes, _: ServerStream) -> bytes:
        name = session_pb2.GetSecretRequest.FromString(request).ID
        secret = self._secrets.get(name)
        if secret is None:
            raise RpcFailure(NOT_FOUND, f"secret {name} is not given to this build")
        try:
            data = secret.read()
        except OSError as error:
            raise RpcFailure(PERMISSION_DENIED, f"secret {name}: {error.strerror}") from error
        except KeyError as error:
            raise RpcFailure(
                PERMISSION_DENIED, f"secret {name}: variable {secret.variable} is not set"
            ) from error
        if len(data) > MAX_SECRET:
            raise RpcFailure(
                PERMISSION_DENIED, f"secret {name} has {len(data)} bytes; the limit is {MAX_SECRET}"
            )
        return session_pb2.GetSecretResponse(data=data).SerializeToString()
