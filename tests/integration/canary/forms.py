"""A secret nobody has seen before, and how to find it again whatever it looks like."""

from __future__ import annotations

import base64
import gzip
import io
import secrets
import tarfile
from collections.abc import Iterator
from urllib.parse import quote

WINDOW = 10
"""So many characters of any form in a row are a leak."""


def new_canary() -> str:
    """Return a value with letters that each encoding treats in its own way."""
    return f"{secrets.token_hex(8)}/+é %&={secrets.token_hex(8)}"


def forms(canary: str) -> Iterator[bytes]:
    """Yield every form; of Base64 what depends on the canary alone."""
    raw = canary.encode()
    yield raw
    yield quote(canary, safe="").encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw + b"\0" * (-(before + len(raw)) % 3))
        yield text[4 if before else 0 : -4]


class Finder:
    """Finds any WINDOW of any form in bytes."""

    def __init__(self, canary: str) -> None:
        self._windows = {
            form[start : start + WINDOW]
            for form in forms(canary)
            for start in range(len(form) - WINDOW + 1)
        }
        # Of overlapping windows every tenth byte is one's beginning: look for
        # whole forms' pieces first, which is fast, then for the rest.
        self._pieces = {
            form[start : start + WINDOW]
            for form in forms(canary)
            for start in range(0, len(form) - WINDOW + 1, WINDOW // 2)
        }

    def find(self, data: bytes | str) -> list[bytes]:
        """Return the windows that are in ``data``: each is a leak."""
        if isinstance(data, str):
            data = data.encode(errors="surrogateescape")
        windows = self._windows if len(data) < 1 << 20 else self._pieces
        return [window for window in windows if window in data]

    def find_in_image(self, archive: bytes) -> list[str]:
        """Return the members of a saved image that hold a leak, layers included."""
        found = ["archive"] if self.find(archive) else []
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                data = stream.read() if stream else b""
                if data.startswith(b"\x1f\x8b"):
                    data = gzip.decompress(data)
                if self.find(data):
                    found.append(member.name)
        return found
