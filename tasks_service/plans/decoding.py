"""Bytes to text: what can't be a task file is refused before anything reads it.

In: bytes or text. Out: text, or one problem. Called by compile.py.
"""

from __future__ import annotations

import re

from tasks_service.errors import ERROR, Problem
from tasks_service.plans.source import SourceText

MAX_BYTES = 256 * 1024
"""Largest task file, and largest rendered text."""

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def decode(text: str | bytes, file: str) -> tuple[str, Problem | None]:
    """Return the text, or why it can't be a task file."""

    def refuse(code: str, message: str) -> tuple[str, Problem]:
        return "", Problem(file, 1, 1, ERROR, code, message)

    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        return refuse("TF102", f"the file is larger than {MAX_BYTES} bytes")
    if isinstance(text, bytes):
        if text.startswith((b"\xff\xfe", b"\xfe\xff")):
            return refuse("TF101", "the file is UTF-16; save it as UTF-8")
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            return "", Problem(
                file, line, 1, ERROR, "TF101", f"byte {error.start} of the file is not UTF-8"
            )
    if text.startswith("\ufeff"):
        return refuse("TF101", "the file starts with a byte-order mark; save it without")
    found = _FORBIDDEN.search(text)
    if found:
        source = SourceText(file, text)
        line, column = source.position(found.start())
        name = "NUL" if found[0] == "\0" else f"U+{ord(found[0]):04X}"
        return "", Problem(
            file, line, column, ERROR, "TF103", f"the character {name} is not allowed in a file"
        )
    return text, None
