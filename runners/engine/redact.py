"""Mask secrets in a stream of bytes, wherever the stream is cut.

Secrets in, a ``Redactor`` for the run out; one ``Mask`` a stream. Used by
engine/output.py. Masking is a seat belt, not a wall: a step that wants to
leak a secret can (reversed, encrypted, split by other text).
"""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MIN_LENGTH = 6
"""Shorter secrets are not masked: they would hit everyday text."""
MASKED = b"***"


class Redactor:
    """The forms of all secrets of a run. Immutable; shared by all streams.

    ``too_short`` holds how many of the given texts were too short to mask.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = {secret.strip("\r\n") for secret in secrets} - {""}
        self.too_short = sum(len(text) < MIN_LENGTH for text in texts)
        forms = {form for text in texts if len(text) >= MIN_LENGTH for form in _forms(text)}
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile(b"|".join(re.escape(f) for f in ordered)) if ordered else None
        self._longest = len(ordered[0]) if ordered else 0
        self._by_first: dict[int, list[bytes]] = defaultdict(list)
        for form in ordered:
            self._by_first[form[0]].append(form)
        self._first = (
            re.compile(b"[" + b"".join(re.escape(bytes([c])) for c in self._by_first) + b"]")
            if ordered
            else None
        )

    def mask(self) -> Mask:
        """Return a fresh mask for one stream."""
        return Mask(self)

    def text(self, text: str) -> str:
        """Mask a complete text, e.g. an error message."""
        if self._pattern is None:
            return text
        return self._pattern.sub(MASKED, text.encode(errors="surrogateescape")).decode(
            errors="replace"
        )

    def scan(self, data: bytes, *, final: bool) -> tuple[bytes, bytes]:
        """Return what can be shown of ``data``, masked, and what must wait for more.

        Leftmost, then longest form wins, so that the result does not depend
        on where the stream was cut.
        """
        if self._pattern is None:
            return data, b""
        shown: list[bytes] = []
        at = 0
        hold = -1
        while True:
            if hold < at:
                hold = len(data) if final else self._unfinished(data, at)
            match = self._pattern.search(data, at)
            if match is None or match.start() >= hold:
                shown.append(data[at:hold])
                return b"".join(shown), data[hold:]
            shown += (data[at : match.start()], MASKED)
            at = match.end()

    def _unfinished(self, data: bytes, at: int) -> int:
        """Return the first position whose rest may be the beginning of a form."""
        assert self._first is not None  # noqa: S101 - scan() left already
        start = max(at, len(data) - self._longest + 1)
        for match in self._first.finditer(data, start):
            rest = data[match.start() :]
            if any(
                len(form) > len(rest) and form.startswith(rest) for form in self._by_first[rest[0]]
            ):
                return match.start()
        return len(data)


class Mask:
    """Masks one stream; holds back only what may be the beginning of a secret."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return what can be shown now."""
        shown, self._rest = self._redactor.scan(self._rest + data, final=False)
        return shown

    def flush(self) -> bytes:
        """Return the rest at the end of the stream."""
        shown, self._rest = self._redactor.scan(self._rest, final=True)
        return shown


def _forms(text: str) -> Iterator[bytes]:
    """Yield the texts a secret is likely to show up as, each at least MIN_LENGTH long."""
    raw = text.encode()
    candidates = [raw, quote(text, safe="").encode(), quote_plus(text).encode()]
    candidates.append(json.dumps(text)[1:-1].encode())
    candidates.append(json.dumps(text, ensure_ascii=False)[1:-1].encode())
    candidates += (raw.hex().encode(), raw.hex().upper().encode())
    for offset in range(3):
        candidates += _base64_forms(raw, offset)
    if "\n" in text:
        # Logs show one line at a time, and tools may prefix each.
        candidates += (line.strip().encode() for line in text.splitlines())
    yield from (form for form in candidates if len(form) >= MIN_LENGTH)


def _base64_forms(raw: bytes, offset: int) -> tuple[bytes, bytes]:
    """Return base64 characters that depend on ``raw`` alone at that byte offset."""
    padded = b"\0" * offset + raw
    first = (0, 2, 3)[offset]
    beyond = (0, 3, 2)[len(padded) % 3]
    standard = base64.b64encode(padded)
    safe = base64.urlsafe_b64encode(padded)
    end = len(standard) - beyond
    return standard[first:end], safe[first:end]
