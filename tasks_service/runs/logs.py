"""Read a run's log wherever it is: in the database, or in a blob once it is finished.

In: a run's id and where to begin. Out: chunks by number, each once and in
order. Every read is short and holds nothing afterwards, so that any number of
readers may follow at their own pace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tasks_service.blobs import BlobStore
from tasks_service.model.log import END, LogChunk
from tasks_service.runs.log_blob import blob_key, read_chunks, write_chunks
from tasks_service.store import Store

PAGE_CHUNKS = 500
PAGE_BYTES = 1 << 20
MAX_TAIL = 100_000
_FIRST_LOOK = 64


class RunLogs:
    """Logs of runs. Thread-safe."""

    def __init__(self, store: Store, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs

    def page(self, run_id: str, *, after: int = 0, step: str | None = None) -> tuple[LogChunk, ...]:
        """Return what follows chunk ``after`` in the database, about PAGE_BYTES of it.

        Empty if nothing follows yet, and if the log was moved: see ``moved``.
        """
        return self._store.logs.read(
            run_id, after=after, step=step, limit=PAGE_CHUNKS, max_bytes=PAGE_BYTES
        )

    def moved(self, run_id: str) -> bool:
        """Return whether the log is in a blob."""
        return bool(self._store.logs.blob(run_id))

    def read(self, run_id: str, *, after: int = 0, step: str | None = None) -> Iterator[LogChunk]:
        """Yield all that is stored now after chunk ``after``; with ``step``, of it and the end.

        Raises:
            NotFound, SystemFault: The blob is gone or damaged.
        """
        while chunks := self.page(run_id, after=after, step=step):
            yield from chunks
            after = chunks[-1].number
            if chunks[-1].stream == END:
                return
        # It may have been moved between two pages: the rest is in the blob.
        key = self._store.logs.blob(run_id)
        if not key:
            return
        for chunk in read_chunks(self._blobs, key):
            if chunk.number > after and (step is None or chunk.step == step or chunk.stream == END):
                yield chunk

    def tail(self, run_id: str, lines: int, *, step: str | None = None) -> tuple[int, int]:
        """Return where the last ``lines`` lines begin.

        Returns:
            The number of the chunk before, and how many lines to leave out
            of what follows it.
        """
        lines = min(lines, MAX_TAIL)
        last = self._store.logs.count(run_id)
        look = _FIRST_LOOK
        while not self.moved(run_id):
            begin = max(0, last - look)
            found = self._counts(run_id, begin, step)
            if begin == 0 or sum(count for _, count in found) >= lines:
                return _place(found, begin, lines)
            look *= 4
        return _place(self._counts(run_id, 0, step), 0, lines)

    def archive(self, run_id: str) -> bool:
        """Move a finished run's log into its blob; False if there is nothing to move.

        Safe to call again after a crash anywhere in between.
        """
        if self.moved(run_id):
            return False
        chunks = self.read(run_id)
        first = next(chunks, None)
        if first is None:
            return False
        key = blob_key(run_id)
        self._blobs.put(key, write_chunks(_chain(first, chunks)))
        self._store.logs.moved(run_id, key)
        return True

    def delete(self, run_id: str) -> None:
        """Remove the blob of a run that is about to be forgotten. Idempotent."""
        self._blobs.delete(blob_key(run_id))

    def _counts(self, run_id: str, after: int, step: str | None) -> deque[tuple[int, int]]:
        return deque(
            (chunk.number, lines_of(chunk.data))
            for chunk in self.read(run_id, after=after, step=step)
            if chunk.stream != END
        )


def lines_of(data: bytes) -> int:
    """Return how many lines a chunk has; one without its newline counts."""
    return data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))


def _place(counts: deque[tuple[int, int]], begin: int, lines: int) -> tuple[int, int]:
    left, before = lines, begin
    while counts:
        number, count = counts.pop()
        if count >= left:
            return number - 1, count - left
        left -= count
        before = number - 1
    return (before if left < lines else begin), 0


def _chain(first: LogChunk, rest: Iterator[LogChunk]) -> Iterator[LogChunk]:
    yield first
    yield from rest
