"""What a worker does with a run it holds: claim, renew, report, finish, give back.

Every write carries the fence of the claim. A worker whose run was given to
another, or ended, gets StaleFence and must stop: nothing of it was written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, text, update

from runners.model.status import RunStatus
from tasks_service.errors import StaleFence
from tasks_service.model.log import SYSTEM, LogChunk
from tasks_service.model.run import Claim, Renewal, RunEnd
from tasks_service.store.chunks import append, append_counted, append_end
from tasks_service.store.database import Database, moment, now
from tasks_service.store.edges import record_edges
from tasks_service.store.envelope import Envelope
from tasks_service.store.rows import ACTIVE, dump, load_request, open_secrets, run_of, run_place
from tasks_service.store.tables import run_images, runs

_LOCKED_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
CLEANUP_S = 120.0
"""What a run gets beyond its own time before the scheduler ends it."""


class LeaseStore:
    """The worker's side of runs. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def claim(self, pool: str, *, owner: str, lease_s: float) -> Claim | None:
        """Take the next queued run of a pool, or return None.

        Lanes are served in their order, runs of a lane in theirs. Runs of a
        task that has as many under way as it may are passed over. Two
        workers never get the same run: the change from Queued is made by
        one of them.

        Raises:
            SealBroken: Its secrets can't be opened; the run is claimed, and
                lost once its lease is over.
        """
        row, passed = None, True
        for pause in (0.0, *_LOCKED_S):
            time.sleep(pause)
            row, passed = self._db.write(
                lambda connection: self._take(connection, pool, owner, lease_s)
            )
            if not passed:
                break
        if row is None:
            return None
        secrets = open_secrets(self._envelope, row.secrets, run_place(row.id))
        return Claim(run_of(row), secrets, row.fence)

    def _take(
        self, connection: Connection, pool: str, owner: str, lease_s: float
    ) -> tuple[Row[Any] | None, bool]:
        """Return what was claimed, and whether runs were passed over that others hold locked."""
        full = _tasks_at_their_limit(connection)
        passed = False
        while True:
            candidate = _next(connection, pool, full, lock=not self._db.is_sqlite)
            if candidate is None:
                # Whoever tells workers of a run, or cancels it, locks its row for a
                # moment: the wake-up must not find nothing because of that.
                locked = not self._db.is_sqlite and bool(_next(connection, pool, full, lock=False))
                return None, passed or locked
            if candidate.task_limit and not self._db.is_sqlite:
                # Two workers may count at once: the count that matters is
                # made by one at a time for each task.
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:task))"), {"task": candidate.task}
                )
                at_limit = _under_way(connection, candidate.task) >= candidate.task_limit
                # Somebody who looked too soon may hold an older run of the task for
                # a moment: runs of a task with a limit begin in their order.
                early = not at_limit and _older(connection, pool, candidate)
                passed = passed or early
                if at_limit or early:
                    full.add(candidate.task)
                    continue
            taken = connection.execute(
                update(runs)
                .where(runs.c.sequence == candidate.sequence, runs.c.status == RunStatus.QUEUED)
                .values(
                    status=RunStatus.STARTED,
                    owner=owner,
                    fence=runs.c.fence + 1,
                    attempt=runs.c.attempt + 1,
                    started=now(),
                    updated=now(),
                    lease_until=now() + lease_s,
                    deadline=now() + _timeout(candidate) + CLEANUP_S,
                )
                .returning(runs)
            ).one_or_none()
            return taken, False

    def renew(self, owner: str, held: Mapping[str, int], *, lease_s: float) -> tuple[Renewal, ...]:
        """Renew the leases of runs (id → fence) and tell what became of each."""

        def work(connection: Connection) -> tuple[Renewal, ...]:
            found = []
            # One order for all workers: no two wait for each other.
            for run_id in sorted(held):
                row = connection.execute(
                    update(runs)
                    .where(*_mine(run_id, held[run_id]), runs.c.owner == owner)
                    .values(lease_until=now() + lease_s)
                    .returning(runs.c.cancel_reason, runs.c.cancel_code)
                ).one_or_none()
                found.append(
                    Renewal(run_id, False)
                    if row is None
                    else Renewal(run_id, True, row.cancel_reason, row.cancel_code)
                )
            return tuple(found)

        return self._db.write(work)

    def look(self, held: Mapping[str, int]) -> tuple[Renewal, ...]:
        """Tell the same as ``renew`` without renewing: cheap enough for every second."""

        def work(connection: Connection) -> tuple[Renewal, ...]:
            rows = {
                row.id: row
                for row in connection.execute(
                    select(
                        runs.c.id,
                        runs.c.fence,
                        runs.c.status,
                        runs.c.cancel_reason,
                        runs.c.cancel_code,
                    ).where(runs.c.id.in_(list(held)))
                )
            }
            return tuple(
                Renewal(run_id, True, rows[run_id].cancel_reason, rows[run_id].cancel_code)
                if run_id in rows and rows[run_id].fence == fence and rows[run_id].status in ACTIVE
                else Renewal(run_id, False)
                for run_id, fence in held.items()
            )

        return self._db.read(work) if held else ()

    def progress(
        self,
        run_id: str,
        fence: int,
        *,
        status: RunStatus | None = None,
        steps: Sequence[Mapping[str, Any]] | None = None,
        chunks: Sequence[LogChunk] = (),
        published: bool | None = None,
        commit: str | None = None,
        branch: str | None = None,
    ) -> None:
        """Write what became of a run since the last time, in one transaction.

        What is None stays as it is. ``published`` must be written, and the
        write have succeeded, before a push begins.

        Raises:
            StaleFence: The run is not the caller's any more.
        """
        values: dict[str, Any] = {"updated": now()}
        if status is not None:
            values["status"] = status
        if steps is not None:
            values["steps"] = dump(list(steps))
        if published is not None:
            values["published"] = published
        if commit is not None:
            values["source_commit"] = commit
        if branch is not None:
            values["source_branch"] = branch

        def work(connection: Connection) -> None:
            _update(connection, run_id, fence, values, chunks)

        self._db.write(work)

    def finish(
        self, run_id: str, fence: int, end: RunEnd, *, chunks: Sequence[LogChunk] = ()
    ) -> None:
        """End a run: its status never changes again, its secrets are erased.

        ``chunks`` are the last of its log, before the closing one. A second
        call with the same fence changes nothing.

        Raises:
            StaleFence: The run is not the caller's any more.
        """
        assert end.status.finished  # noqa: S101 - a contract of RunEnd
        values = {
            "status": end.status,
            "finished": now(),
            "updated": now(),
            "lease_until": None,
            "error_code": end.error_code,
            "error": end.error,
            "hint": end.hint,
            "steps": dump(end.record.get("steps", [])),
            "record": dump(end.record),
            "secrets": None,
            "log_state": "complete" if end.log_end == "EOF" else end.log_end.lower(),
        }
        source = end.record.get("source") or {}
        if source.get("commit"):
            values |= {"source_commit": source["commit"], "source_branch": source["branch"]}

        def work(connection: Connection) -> None:
            try:
                sequence = _update(connection, run_id, fence, values, chunks)
            except StaleFence:
                if _ended_by(connection, run_id, fence):
                    return
                raise
            append_end(connection, sequence, end.log_end)
            if end.images:
                connection.execute(
                    insert(run_images),
                    [
                        {"run_sequence": sequence, "reference": reference, "digest": digest}
                        for reference, digest in dict(end.images).items()
                    ],
                )
            if end.status is RunStatus.SUCCEEDED:
                row = connection.execute(
                    select(runs.c.task, runs.c.request).where(runs.c.sequence == sequence)
                ).one()
                # What a pull request stands on is not what the task stands on.
                if row.task and load_request(row.request).trusted:
                    record_edges(connection, row.task, run_id, end.record)

        self._db.write(work)

    def release(self, run_id: str, fence: int, *, reason: str) -> bool:
        """Give a run back to the queue, unstarted for all the world; False if it was not possible.

        Not possible where a push has begun, or the run is the caller's no
        more: then it must be finished, or is somebody else's to finish.
        """

        def work(connection: Connection) -> bool:
            return requeue(connection, [*_mine(run_id, fence)], reason) is not None

        return self._db.write(work)


def requeue(
    connection: Connection, which: Sequence[ColumnElement[bool]], reason: str
) -> Row[Any] | None:
    """Put a run that published nothing back in the queue; None if ``which`` finds none."""
    row = connection.execute(
        update(runs)
        .where(*which, runs.c.published.is_(False), runs.c.cancel_reason == "")
        .values(
            status=RunStatus.QUEUED,
            owner="",
            # Whoever held it can write no more, even before the next claim.
            fence=runs.c.fence + 1,
            queued=now(),
            updated=now(),
            announced=None,
            lease_until=None,
            deadline=None,
            steps="[]",
        )
        .returning(runs.c.sequence, runs.c.id)
    ).one_or_none()
    if row is not None:
        note(connection, row.sequence, reason)
    return row


def note(connection: Connection, sequence: int, words: str) -> None:
    """Add a line of ours to a run's log."""
    line = LogChunk("", SYSTEM, moment(connection), words.encode() + b"\n")
    append_counted(connection, sequence, [line])


def _mine(run_id: str, fence: int) -> tuple[ColumnElement[bool], ...]:
    return (runs.c.id == run_id, runs.c.fence == fence, runs.c.status.in_(ACTIVE))


def _update(
    connection: Connection,
    run_id: str,
    fence: int,
    values: Mapping[str, Any],
    chunks: Sequence[LogChunk],
) -> int:
    row = connection.execute(
        update(runs)
        .where(*_mine(run_id, fence))
        .values(
            log_chunks=runs.c.log_chunks + len(chunks),
            log_bytes=runs.c.log_bytes + sum(len(chunk.data) for chunk in chunks),
            **values,
        )
        .returning(runs.c.sequence, runs.c.log_chunks)
    ).one_or_none()
    if row is None:
        raise StaleFence(f"run {run_id} is not held under fence {fence} any more")
    if chunks:
        append(connection, row.sequence, row.log_chunks - len(chunks) + 1, chunks)
    return int(row.sequence)


def _ended_by(connection: Connection, run_id: str, fence: int) -> bool:
    row = connection.execute(
        select(runs.c.status, runs.c.fence).where(runs.c.id == run_id)
    ).one_or_none()
    return row is not None and row.fence == fence and RunStatus(row.status).finished


def _tasks_at_their_limit(connection: Connection) -> set[str]:
    query = (
        select(runs.c.task, func.count(), func.max(runs.c.task_limit))
        .where(runs.c.status.in_(ACTIVE), runs.c.task_limit > 0)
        .group_by(runs.c.task)
    )
    return {task for task, count, limit in connection.execute(query) if count >= limit}


def _under_way(connection: Connection, task: str) -> int:
    return connection.execute(
        select(func.count()).select_from(runs).where(runs.c.task == task, runs.c.status.in_(ACTIVE))
    ).scalar_one()


def _next(connection: Connection, pool: str, full: set[str], *, lock: bool) -> Any:
    query = (
        select(runs.c.sequence, runs.c.task, runs.c.task_limit, runs.c.request)
        .where(runs.c.status == text("'Queued'"), runs.c.pool == pool, runs.c.held.is_(False))
        .order_by(runs.c.lane, runs.c.sequence)
        .limit(1)
    )
    if full:
        query = query.where((runs.c.task_limit == 0) | runs.c.task.not_in(sorted(full)))
    if lock:
        query = query.with_for_update(skip_locked=True)
    return connection.execute(query).one_or_none()


def _older(connection: Connection, pool: str, candidate: Any) -> bool:
    """Tell whether another run of the candidate's task comes before it, locked or not."""
    first = connection.execute(
        select(runs.c.sequence)
        .where(runs.c.status == text("'Queued'"), runs.c.pool == pool)
        .where(runs.c.task == candidate.task)
        .order_by(runs.c.lane, runs.c.sequence)
        .limit(1)
    ).scalar_one_or_none()
    return first is not None and first != candidate.sequence


def _timeout(row: Row[Any]) -> float:
    return float(load_request(row.request).timeout_s)
