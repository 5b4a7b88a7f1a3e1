"""Runs that nobody looks after: lost workers, missed wake-ups, deadlines, old age.

Called by the scheduler, by several at once if there are several: each row is
changed by one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from runners.model.status import RunStatus
from tasks_service.store.chunks import append_end
from tasks_service.store.database import Database, moment, now
from tasks_service.store.leases import requeue
from tasks_service.store.rows import ACTIVE
from tasks_service.store.tables import idempotency, runs, workers

GRACE_S = 30.0
"""How long after a request to stop the scheduler waits before it ends a run itself."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """What became of a run whose worker was lost."""

    run_id: str
    status: RunStatus
    owner: str
    pool: str


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool's queue and hands at one moment."""

    pool: str
    queued: int
    oldest_s: float
    active: int
    workers: int
    slots: int


class RecoveryStore:
    """The scheduler's side of runs. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def unannounced(self, *, older_than_s: float) -> tuple[str, ...]:
        """Return the pools with queued runs no worker was told of, or not for so long."""

        def work(connection: Connection) -> tuple[str, ...]:
            until = moment(connection) - older_than_s
            return tuple(
                connection.execute(
                    select(runs.c.pool)
                    .where(
                        runs.c.status == RunStatus.QUEUED,
                        runs.c.held.is_(False),
                        runs.c.announced.is_(None) | (runs.c.announced < until),
                    )
                    .distinct()
                ).scalars()
            )

        return self._db.read(work)

    def announced(self, pool: str) -> None:
        """Note that the workers of a pool were told of all that waits."""
        self._db.write(
            lambda connection: connection.execute(
                update(runs)
                .where(runs.c.status == RunStatus.QUEUED, runs.c.pool == pool)
                .values(announced=now())
            )
        )

    def lost(self, *, limit: int = 100) -> tuple[str, ...]:
        """Return ids of runs whose lease is over, the longest first."""
        return self._db.read(
            lambda connection: tuple(
                connection.execute(
                    select(runs.c.id)
                    .where(runs.c.status.in_(ACTIVE), runs.c.lease_until < now())
                    .order_by(runs.c.lease_until)
                    .limit(limit)
                ).scalars()
            )
        )

    def reap(self, run_id: str, *, retries: int) -> Reaped | None:
        """Decide about a run whose lease is over: queue it again, or end it.

        It is queued again if it was tried at most ``retries`` times before,
        nothing of it was published and nobody asked for its end. Else it
        ends: Canceled or Timeout if that was asked for, Error if not. The
        lost worker's fence is void either way. None if its lease runs (again).
        """

        def work(connection: Connection) -> Reaped | None:
            which = [runs.c.id == run_id, runs.c.status.in_(ACTIVE), runs.c.lease_until < now()]
            query = select(runs).where(*which)
            row = connection.execute(
                query if self._db.is_sqlite else query.with_for_update(skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            if row.attempt <= retries:
                words = f"worker {row.owner} was lost; the run is queued again"
                if requeue(connection, which, words) is not None:
                    return Reaped(run_id, RunStatus.QUEUED, row.owner, row.pool)
            status, code, words = _end_of(row.cancel_code, row.cancel_reason, row.owner)
            if row.published and not row.cancel_reason:
                words += " after a push had begun"
            _end(connection, row.sequence, status, code, words)
            return Reaped(run_id, status, row.owner, row.pool)

        return self._db.write(work)

    def expire(self, owner: str) -> None:
        """End the leases of a worker that is known to be dead, and forget it. Idempotent."""

        def work(connection: Connection) -> None:
            connection.execute(
                update(runs)
                .where(runs.c.owner == owner, runs.c.status.in_(ACTIVE))
                .values(lease_until=now() - 1)
            )
            connection.execute(delete(workers).where(workers.c.id == owner))

        self._db.write(work)

    def overdue(self) -> tuple[str, ...]:
        """Ask runs that are beyond their deadline to stop; return their ids.

        Where that was asked GRACE_S ago and they still run, their lease is
        ended: the next look at ``lost`` finds them.
        """

        def work(connection: Connection) -> tuple[str, ...]:
            late = [runs.c.status.in_(ACTIVE), runs.c.deadline < now()]
            asked = connection.execute(
                update(runs)
                .where(*late, runs.c.cancel_reason == "")
                .values(cancel_reason="the run timed out", cancel_code="run_timed_out")
                .returning(runs.c.id)
            ).scalars()
            ids = tuple(asked)
            connection.execute(
                update(runs)
                .where(*late, runs.c.cancel_reason != "", runs.c.deadline < now() - GRACE_S)
                .values(lease_until=now() - 1)
            )
            return ids

        return self._db.write(work)

    def old(self, *, older_than_s: float, limit: int = 100) -> tuple[tuple[str, str], ...]:
        """Return (id, log blob) of finished runs beyond retention that are not archived."""

        def work(connection: Connection) -> tuple[tuple[str, str], ...]:
            until = moment(connection) - older_than_s
            rows = connection.execute(
                select(runs.c.id, runs.c.log_blob)
                .where(runs.c.finished < until, runs.c.archived.is_(False))
                .order_by(runs.c.finished)
                .limit(limit)
            )
            return tuple((row.id, row.log_blob) for row in rows)

        return self._db.read(work)

    def delete(self, run_id: str) -> None:
        """Forget a finished run, its log and images. Idempotent."""
        self._db.write(
            lambda connection: connection.execute(
                delete(runs).where(runs.c.id == run_id, runs.c.finished.is_not(None))
            )
        )

    def forget_keys(self, *, older_than_s: float) -> None:
        """Forget idempotency keys that old, and workers not seen for as long."""

        def work(connection: Connection) -> None:
            until = moment(connection) - older_than_s
            connection.execute(delete(idempotency).where(idempotency.c.created < until))
            connection.execute(delete(workers).where(workers.c.seen < until))

        self._db.write(work)

    def pools(self) -> tuple[PoolStatus, ...]:
        """Return every pool that has runs under way or waiting, or live workers."""

        def work(connection: Connection) -> tuple[PoolStatus, ...]:
            time = moment(connection)
            queued = {
                row.pool: row
                for row in connection.execute(
                    select(
                        runs.c.pool,
                        func.count().label("amount"),
                        func.min(runs.c.queued).label("oldest"),
                    )
                    .where(runs.c.status == RunStatus.QUEUED, runs.c.held.is_(False))
                    .group_by(runs.c.pool)
                )
            }
            active: dict[str, int] = dict(
                connection.execute(
                    select(runs.c.pool, func.count())
                    .where(runs.c.status.in_(ACTIVE))
                    .group_by(runs.c.pool)
                ).all()
            )
            hands = {
                row.pool: row
                for row in connection.execute(
                    select(
                        workers.c.pool,
                        func.count().label("amount"),
                        func.sum(workers.c.concurrency).label("slots"),
                    )
                    .where(workers.c.seen > time - 60, workers.c.draining.is_(False))
                    .group_by(workers.c.pool)
                )
            }
            return tuple(
                PoolStatus(
                    pool,
                    queued[pool].amount if pool in queued else 0,
                    max(0.0, time - queued[pool].oldest) if pool in queued else 0.0,
                    active.get(pool, 0),
                    hands[pool].amount if pool in hands else 0,
                    hands[pool].slots if pool in hands else 0,
                )
                for pool in sorted({*queued, *active, *hands})
            )

        return self._db.read(work)

    def counts(self) -> dict[str, int]:
        """Return how many runs there are by status."""
        return self._db.read(
            lambda connection: dict(
                connection.execute(
                    select(runs.c.status, func.count()).group_by(runs.c.status)
                ).all()
            )
        )


def _end_of(code: str, reason: str, owner: str) -> tuple[RunStatus, str, str]:
    if code == "run_timed_out":
        return RunStatus.TIMEOUT, code, reason
    if reason:
        return RunStatus.CANCELED, code or "canceled", reason
    return RunStatus.ERROR, "worker_lost", f"worker {owner} was lost"


def _end(connection: Connection, sequence: int, status: RunStatus, code: str, words: str) -> None:
    connection.execute(
        update(runs)
        .where(runs.c.sequence == sequence)
        .values(
            status=status,
            fence=runs.c.fence + 1,
            finished=now(),
            updated=now(),
            lease_until=None,
            error_code=code,
            error=words,
            secrets=None,
            log_state="lost",
        )
    )
    append_end(connection, sequence, "LOST", words)
