"""A run's log on its way to the database, bounded whatever comes in.

In: pieces of output. Out: chunks in their order. What does not fit is cut
out in the middle, with a mark where it stood: beyond the run's cap the
beginning and the end are kept; while the database is away, what fits.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from tasks_service.model.log import MAX_CHUNK_BYTES, SYSTEM, LogChunk


@dataclass(frozen=True, slots=True)
class LogCaps:
    """Bounds in bytes.

    Attributes:
        head: Of a run's log, kept from its beginning.
        tail: Kept from its end, once there is more than ``head``.
        room: Most that waits for the database.
        spare: Kept from the end of what comes while ``room`` is full.
    """

    head: int = 56 << 20
    tail: int = 8 << 20
    room: int = 4 << 20
    spare: int = 256 << 10


@dataclass(slots=True)
class _Piece:
    step: str
    stream: str
    time: float
    data: bytearray

    def chunk(self) -> LogChunk:
        return LogChunk(self.step, self.stream, self.time, bytes(self.data))


@dataclass(slots=True)
class _Line:
    """Pieces in order; those of one step and stream that follow each other are one."""

    pieces: deque[_Piece] = field(default_factory=deque)
    bytes: int = 0
    newest: dict[str, _Piece] = field(default_factory=dict)

    def add(self, piece: _Piece) -> None:
        self.bytes += len(piece.data)
        last = self.newest.get(piece.step)
        if (
            last is not None
            and last.stream == piece.stream
            and len(last.data) + len(piece.data) <= MAX_CHUNK_BYTES
        ):
            last.data += piece.data
            last.time = piece.time
            return
        self.pieces.append(piece)
        self.newest[piece.step] = piece

    def pop(self) -> _Piece:
        piece = self.pieces.popleft()
        self.bytes -= len(piece.data)
        if self.newest.get(piece.step) is piece:
            del self.newest[piece.step]
        return piece


class _Ring:
    """The end of what was added, and how much of it there is no more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.line = _Line()
        self.dropped = 0

    def add(self, piece: _Piece) -> None:
        self.line.add(piece)
        while self.line.bytes > self._size and len(self.line.pieces) > 1:
            self.dropped += len(self.line.pop().data)

    def empty_into(self, line: _Line, word: str) -> None:
        if self.dropped:
            mark = f"{word} {self.dropped} bytes\n".encode()
            line.add(_Piece("", SYSTEM, time.time(), bytearray(mark)))
        for piece in self.line.pieces:
            line.add(piece)
        self.line = _Line()
        self.dropped = 0


class LogSpool:
    """Not thread-safe.

    Attributes:
        truncated: Bytes that were cut out because of a cap.
        lost: Bytes that were cut out because the database was away.
    """

    def __init__(self, caps: LogCaps) -> None:
        self._caps = caps
        self._queue = _Line()
        self._spare = _Ring(caps.spare)
        self._tail = _Ring(caps.tail)
        self._admitted = 0
        self.truncated = 0
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Bytes that ``take`` would return."""
        return self._queue.bytes or self._spare.line.bytes

    @property
    def full(self) -> bool:
        """True if what is added now may be lost."""
        beyond = self._admitted >= self._caps.head
        return not beyond and (
            self._queue.bytes >= self._caps.room or bool(self._spare.line.pieces)
        )

    def add(self, step: str, stream: str, moment: float, data: bytes) -> None:
        """Take at most MAX_CHUNK_BYTES of one step and stream."""
        piece = _Piece(step, stream, moment, bytearray(data))
        if self._admitted + len(data) > self._caps.head:
            # From here on only the end of the log counts.
            self._admitted = self._caps.head
            before = self._tail.dropped
            self._tail.add(piece)
            self.truncated += self._tail.dropped - before
            return
        self._admitted += len(data)
        if self._spare.line.pieces or self._queue.bytes + len(data) > self._caps.room:
            before = self._spare.dropped
            self._spare.add(piece)
            self.lost += self._spare.dropped - before
        else:
            self._queue.add(piece)

    def take(self, at_most: int) -> list[LogChunk]:
        """Remove and return the oldest chunks, about so many bytes, at least one if any wait."""
        if not self._queue.pieces:
            self._spare.empty_into(self._queue, "LOST")
        chunks: list[LogChunk] = []
        size = 0
        while self._queue.pieces and size < at_most:
            chunk = self._queue.pop().chunk()
            chunks.append(chunk)
            size += len(chunk.data)
        return chunks

    def end(self) -> None:
        """Let ``take`` return the end of the log too; nothing is added any more."""
        self._spare.empty_into(self._queue, "LOST")
        self._tail.empty_into(self._queue, "TRUNCATED")
