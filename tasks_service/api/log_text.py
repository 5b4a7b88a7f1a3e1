"""A log as text for people and as lines of JSON for programs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tasks_service.api.models.base import rfc3339
from tasks_service.model.log import END, LogChunk

WHOLE = "EOF"


def chunk_json(chunk: LogChunk) -> dict[str, Any]:
    """Return a chunk as the API shows it; bytes that are no UTF-8 are replaced."""
    return {
        "number": chunk.number,
        "step": chunk.step,
        "stream": chunk.stream,
        "time": rfc3339(chunk.time),
        "text": chunk.data.decode(errors="replace"),
    }


def as_ndjson(chunks: Iterable[LogChunk]) -> Iterator[bytes]:
    """Yield one line of JSON for each chunk."""
    for chunk in chunks:
        yield json.dumps(chunk_json(chunk), ensure_ascii=False).encode() + b"\n"


def as_text(chunks: Iterable[LogChunk], *, named: bool, timestamps: bool) -> Iterator[bytes]:
    """Yield lines for people.

    Args:
        chunks: The log.
        named: Put the step's id before each of its lines.
        timestamps: Put the time before each line.
    """
    for chunk in chunks:
        if chunk.stream == END:
            text = chunk.data.decode(errors="replace")
            if text != WHOLE:
                yield f"[the log is not whole: {text}]\n".encode()
            continue
        prefix = f"{rfc3339(chunk.time)} " if timestamps else ""
        prefix += f"{chunk.step} | " if named and chunk.step else ""
        data = chunk.data if chunk.data.endswith(b"\n") else chunk.data + b"\n"
        if not prefix:
            yield data
            continue
        start = prefix.encode()
        yield b"".join(start + line for line in data.splitlines(keepends=True))
