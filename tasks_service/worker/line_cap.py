"""Lines longer than a chunk: their beginning is kept, a mark tells how much went.

In: blocks of one stream as the engine cuts them: whole lines, or a part of a
line without its newline. Out: blocks of whole lines, unless a stream ends
without a newline.
"""

from __future__ import annotations

from tasks_service.model.log import MAX_CHUNK_BYTES

_MARK_BYTES = 64
_PART = MAX_CHUNK_BYTES - 4
"""A block without a newline that is at least so long is a part of a longer line."""


class LineCap:
    """One stream of one step. Not thread-safe.

    ``dropped`` counts the bytes that were left out.
    """

    def __init__(self) -> None:
        self._cut = 0
        self._inside = False
        self.dropped = 0

    def feed(self, block: bytes) -> bytes:
        """Return what of a block is kept."""
        if self._inside:
            end = block.find(b"\n") + 1
            if not end:
                self._drop(len(block))
                return b""
            self._drop(end - 1)
            return self._mark() + self._start(block[end:])
        return self._start(block)

    def flush(self) -> bytes:
        """End an unfinished line; the next block begins a new one."""
        return self._mark() if self._inside else b""

    def _start(self, block: bytes) -> bytes:
        if len(block) < _PART or block.endswith(b"\n"):
            return block
        start = block.rfind(b"\n") + 1
        if len(block) - start < _PART:
            return block
        kept = MAX_CHUNK_BYTES - _MARK_BYTES
        # Not within a character of UTF-8.
        while kept and block[kept] & 0xC0 == 0x80:
            kept -= 1
        self._inside = True
        self._drop(len(block) - kept)
        return block[:kept]

    def _drop(self, count: int) -> None:
        self._cut += count
        self.dropped += count

    def _mark(self) -> bytes:
        mark = f" TRUNCATED {self._cut} bytes\n".encode()
        self._cut = 0
        self._inside = False
        return mark
