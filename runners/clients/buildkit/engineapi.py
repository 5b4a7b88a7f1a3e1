"""One question to the Docker Engine itself: the digest of an image in its store.

A dialer and a name in, a digest out; called by client.py for engines whose
BuildKit knows the images at hand by their layers only.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from runners.clients.buildkit.transport import Dialer
from runners.model.image import ImageRef

_TIMEOUT_S = 10.0


def image_digest(dial: Dialer, reference: str) -> str:
    """Return the digest under which the image was pulled, or its id if it never was.

    Empty where the engine has no such image or does not answer.
    """
    try:
        found = json.loads(_get(dial, f"/images/{quote(reference, safe='/:@')}/json"))
    except (OSError, ValueError):
        return ""
    wanted = _repository(reference)
    for pinned in found.get("RepoDigests") or []:
        name, _, digest = str(pinned).partition("@")
        if _repository(name) == wanted:
            return digest
    return str(found.get("Id", ""))


def _get(dial: Dialer, path: str) -> bytes:
    """Return the body of a 200; HTTP/1.0, so that it ends with the connection."""
    with dial() as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = bytearray()
        while chunk := connection.recv(1 << 16):
            answer += chunk
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    return body if head.split(b" ", 2)[1:2] == [b"200"] else b"{}"


def _repository(name: str) -> str:
    reference = ImageRef.parse(name)
    return ImageRef(reference.registry, reference.path).canonical
