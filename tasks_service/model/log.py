"""Log chunks: a run's output and our own words about it, numbered and masked.

Chunks of one run are contiguous from 1; the last has the stream ``end``.
"""

from __future__ import annotations

from dataclasses import dataclass

END = "end"
"""Stream of the closing chunk; its text is ``EOF``, ``LOST`` or ``TRUNCATED n bytes``."""

SYSTEM = "system"
"""Stream of our own words."""

MAX_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Whole lines of one step and stream.

    Attributes:
        number: From 1, without a gap; 0 before the store numbered it.
        step: Id of the step; empty for the run itself.
        stream: ``stdout``, ``stderr``, ``system`` or ``end``.
        time: When its last line came, seconds since the epoch.
        data: At most MAX_CHUNK_BYTES, masked.
    """

    step: str
    stream: str
    time: float
    data: bytes
    number: int = 0
