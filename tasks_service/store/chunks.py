"""Log chunks in the database: numbered without a gap, closed by one end chunk."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Row, func, insert, literal, select, update

from tasks_service.model.log import END, SYSTEM, LogChunk
from tasks_service.store.database import Database, moment
from tasks_service.store.tables import finished_runs, log_chunks, runs

_PAGE_BYTES = 4 << 20


def append(connection: Connection, sequence: int, first: int, chunks: Sequence[LogChunk]) -> None:
    """Store chunks from number ``first`` on; the caller has counted them in ``runs``."""
    connection.execute(
        insert(log_chunks),
        [
            {
                "run_sequence": sequence,
                "number": number,
                "step": chunk.step,
                "stream": chunk.stream,
                "time": chunk.time,
                "data": chunk.data,
            }
            for number, chunk in enumerate(chunks, first)
        ],
    )


def append_counted(connection: Connection, sequence: int, chunks: Sequence[LogChunk]) -> None:
    """Count chunks in ``runs`` and store them."""
    last = connection.execute(
        update(runs)
        .where(runs.c.sequence == sequence)
        .values(
            log_chunks=runs.c.log_chunks + len(chunks),
            log_bytes=runs.c.log_bytes + sum(len(chunk.data) for chunk in chunks),
        )
        .returning(runs.c.log_chunks)
    ).scalar_one()
    append(connection, sequence, last - len(chunks) + 1, chunks)


def append_end(connection: Connection, sequence: int, text: str, note: str = "") -> None:
    """Close an ended run's log with ``text``, after one line of ours where there is one.

    In the same transaction the run is put on the outbox of ends.
    """
    time = moment(connection)
    chunks = [LogChunk("", SYSTEM, time, note.encode() + b"\n")] if note else []
    append_counted(connection, sequence, [*chunks, LogChunk("", END, time, text.encode())])
    ended = select(runs.c.id, literal(time)).where(runs.c.sequence == sequence)
    known = select(finished_runs.c.run_id).where(finished_runs.c.run_id == runs.c.id)
    connection.execute(
        insert(finished_runs).from_select(["run_id", "time"], ended.where(~known.exists()))
    )


class LogStore:
    """Reads logs that are still in the database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def read(
        self,
        run_id: str,
        *,
        after: int = 0,
        step: str | None = None,
        limit: int = 1000,
        max_bytes: int = _PAGE_BYTES,
    ) -> tuple[LogChunk, ...]:
        """Return the chunks that follow number ``after``, in order.

        Args:
            step: Only this step's (``""`` is the run's own); None takes all.
                The end chunk is always among them.
            limit: At most so many.
            max_bytes: Stop after the chunk that goes beyond it.
        """

        def work(connection: Connection) -> tuple[LogChunk, ...]:
            query = (
                select(log_chunks)
                .join(runs, runs.c.sequence == log_chunks.c.run_sequence)
                .where(runs.c.id == run_id, log_chunks.c.number > after)
                .order_by(log_chunks.c.number)
                .limit(limit)
            )
            if step is not None:
                query = query.where((log_chunks.c.step == step) | (log_chunks.c.stream == END))
            found: list[LogChunk] = []
            size = 0
            for row in connection.execute(query):
                found.append(_chunk(row))
                size += len(row.data)
                if size >= max_bytes:
                    break
            return tuple(found)

        return self._db.read(work)

    def blob(self, run_id: str) -> str:
        """Return the key of the blob that holds the whole log; empty while it is here."""
        return (
            self._db.read(
                lambda connection: connection.execute(
                    select(runs.c.log_blob).where(runs.c.id == run_id)
                ).scalar()
            )
            or ""
        )

    def unmoved(self, *, older_than_s: float, limit: int = 50) -> tuple[str, ...]:
        """Return ids of finished runs whose log is still here."""

        def work(connection: Connection) -> tuple[str, ...]:
            until = moment(connection) - older_than_s
            return tuple(
                connection.execute(
                    select(runs.c.id)
                    .where(runs.c.finished < until, runs.c.log_blob == "", runs.c.log_chunks > 0)
                    .order_by(runs.c.finished)
                    .limit(limit)
                ).scalars()
            )

        return self._db.read(work)

    def moved(self, run_id: str, blob: str) -> None:
        """Note that ``blob`` holds the whole log, and forget the chunks here. Idempotent."""

        def work(connection: Connection) -> None:
            sequence = connection.execute(
                update(runs)
                .where(runs.c.id == run_id, runs.c.finished.is_not(None))
                .values(log_blob=blob)
                .returning(runs.c.sequence)
            ).scalar()
            if sequence is not None:
                connection.execute(log_chunks.delete().where(log_chunks.c.run_sequence == sequence))

        self._db.write(work)

    def count(self, run_id: str) -> int:
        """Return the number of the newest chunk."""

        def work(connection: Connection) -> int:
            return (
                connection.execute(
                    select(func.max(runs.c.log_chunks)).where(runs.c.id == run_id)
                ).scalar()
                or 0
            )

        return self._db.read(work)


def _chunk(row: Row[tuple[object, ...]]) -> LogChunk:
    return LogChunk(row.step, row.stream, row.time, bytes(row.data), row.number)
