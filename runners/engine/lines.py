"""Cut a stream of bytes into whole lines.

Bytes cut anywhere in, blocks of whole lines out. Used by engine/output.py,
one splitter a stream.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_LINE = 64 * 1024


class LineSplitter:
    """Holds back the unfinished line, at most ``max_line`` bytes of it.

    Each block handed out ends with a newline, apart from the parts of a line
    longer than ``max_line`` and the last block of a stream. No UTF-8 sequence
    is cut apart: a part may be up to three bytes shorter than the cap. Memory
    stays bounded whatever comes in. Not thread-safe.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max = max_line
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes and yield what is complete."""
        if not data:
            return
        end = data.rfind(b"\n") + 1
        if end:
            yield from self._capped(self._rest + data[:end])
            self._rest = data[end:]
        else:
            self._rest += data
        while len(self._rest) >= self._max:
            cut = _character_boundary(self._rest, self._max)
            yield self._rest[:cut]
            self._rest = self._rest[cut:]

    def flush(self) -> Iterator[bytes]:
        """Yield the unfinished last line, if there is one."""
        rest, self._rest = self._rest, b""
        if rest:
            yield rest

    def _capped(self, block: bytes) -> Iterator[bytes]:
        """Yield ``block`` in pieces of at most ``max_line`` bytes, at line ends where it can."""
        while len(block) > self._max:
            cut = block.rfind(b"\n", 0, self._max) + 1 or _character_boundary(block, self._max)
            yield block[:cut]
            block = block[cut:]
        if block:
            yield block


def _character_boundary(data: bytes, cut: int) -> int:
    """Return the last position <= ``cut`` that is not inside a UTF-8 sequence."""
    if cut >= len(data):
        # The sequence at the end may be unfinished: look at its first byte.
        for back in range(1, min(4, len(data))):
            byte = data[-back]
            if byte >= 0xC0:
                length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                return len(data) - back if length > back else len(data)
            if byte < 0x80:
                break
        return len(data)
    for back in range(4):
        if data[cut - back] & 0xC0 != 0x80:
            return cut - back
    return cut
