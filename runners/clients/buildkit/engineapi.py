"""One question to the Docker Engine itself: the digest of an image in its store.

A dialer and a name in, a digest out; called by client.py for engines whose
BuildKit knows the images at hand by their layers only.
"""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import quote

from runners.clients.buildkit.transport import Dialer
from runners.model.image import ImageRef

_TIMEOUT_S = 10.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, dial: Dialer) -> None:
        super().__init__("docker", timeout=_TIMEOUT_S)
        self._dial = dial

    def connect(self) -> None:
        self.sock: socket.socket = self._dial()
        self.sock.settimeout(_TIMEOUT_S)


def image_digest(dial: Dialer, reference: str) -> str:
    """Return the digest under which the image was pulled, or its id if it never was.

    Empty where the engine has no such image or does not answer.
    """
    connection = _Connection(dial)
    try:
        connection.request("GET", f"/images/{quote(reference, safe='/:@')}/json")
        answer = connection.getresponse()
        found = json.loads(answer.read()) if answer.status == http.client.OK else {}
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    wanted = _repository(reference)
    for pinned in found.get("RepoDigests") or []:
        name, _, digest = str(pinned).partition("@")
        if _repository(name) == wanted:
            return digest
    return str(found.get("Id", ""))


def _repository(name: str) -> str:
    reference = ImageRef.parse(name)
    return ImageRef(reference.registry, reference.path).canonical
