"""Runs as people and the API see them: accept, look at, list, cancel, keep.

What a worker does with a run it holds is in ``leases``; what is done for
runs whose worker is gone, in ``recovery``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from runners.model.status import RunStatus
from tasks_service.errors import Busy, NotFound
from tasks_service.model.notification import HELD
from tasks_service.model.run import (
    LANES,
    NewRun,
    QueuePlace,
    Run,
    RunFilter,
    RunPage,
    RunSecrets,
)
from tasks_service.store.chunks import append_end
from tasks_service.store.database import Database, moment, now
from tasks_service.store.envelope import Envelope
from tasks_service.store.rows import (
    ACTIVE,
    dump_cause,
    dump_request,
    open_secrets,
    run_of,
    run_place,
    seal_secrets,
)
from tasks_service.store.run_filter import conditions, cursor_of, page_order, position
from tasks_service.store.tables import finished_runs, run_images, runs, workers

MAX_PAGE = 500
_RECENT = 20


class RunStore:
    """The runs of the service. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def accept(self, new: NewRun, *, run_id: str, max_queued: int = 0) -> Run:
        """Store a run as Queued and return it.

        In the same transaction, queued runs of the same task and
        ``supersede_key`` end as Canceled. Announcing it to workers is the
        caller's, after this returned; the scheduler repeats it if need be.
        The same ``run_id`` twice stores one run and returns it again.

        Raises:
            Busy: ``max_queued`` runs wait already (0 is no limit).
        """
        sealed = seal_secrets(self._envelope, new.secrets, run_place(run_id))

        def work(connection: Connection) -> Run:
            if (known := find_run(connection, run_id)) is not None:
                return known
            if max_queued and (waiting := count_queued(connection)) >= max_queued:
                raise Busy(f"{waiting} runs wait already, no more are taken for now")
            return run_of(insert_run(connection, new, run_id, sealed))

        try:
            return self._db.write(work)
        except IntegrityError:
            # Another one stored the same run at the same moment.
            if (known := self.get(run_id)) is None:
                raise
            return known

    def announced(self, *run_ids: str) -> None:
        """Note that workers were told of the runs; those that don't wait stay as they are."""
        self._db.write(
            lambda connection: connection.execute(
                update(runs)
                .where(runs.c.id.in_(run_ids), runs.c.status == RunStatus.QUEUED)
                .values(announced=now())
            )
        )

    def get(self, run_id: str) -> Run | None:
        """Return a run, or None."""
        return self._db.read(lambda connection: find_run(connection, run_id))

    def find(self, run_id: str) -> Run:
        """Return a run that must be there.

        Raises:
            NotFound: It is not.
        """
        run = self.get(run_id)
        if run is None:
            raise NotFound(f"there is no run {run_id[:40]!r}", hint="`tasks runs list` shows them")
        return run

    def secrets(self, run_id: str) -> RunSecrets:
        """Return a run's secrets; empty once it is finished."""
        sealed = self._db.read(
            lambda connection: connection.execute(
                select(runs.c.secrets).where(runs.c.id == run_id)
            ).scalar()
        )
        return open_secrets(self._envelope, sealed, run_place(run_id))

    def list(self, which: RunFilter, *, limit: int = 50, cursor: str = "") -> RunPage:
        """Return a page of runs, newest first.

        Raises:
            InvalidInput: ``cursor`` is none of ours.
        """
        limit = max(1, min(limit, MAX_PAGE))
        wanted = conditions(which)
        if cursor:
            wanted.append(runs.c.sequence < position(cursor))

        def work(connection: Connection) -> RunPage:
            order = page_order(connection, which)
            # Numbers first: what has to be sorted for a page are not whole rows.
            page = select(runs.c.sequence).where(*wanted).order_by(order).limit(limit + 1)
            query = select(runs).where(runs.c.sequence.in_(page)).order_by(runs.c.sequence.desc())
            rows = connection.execute(query).all()
            more, rows = len(rows) > limit, rows[:limit]
            images = _images(connection, [row.sequence for row in rows])
            return RunPage(
                tuple(run_of(row, images[row.sequence]) for row in rows),
                cursor_of(rows[-1].sequence) if more else "",
            )

        return self._db.read(work)

    def request_cancel(self, run_id: str, *, reason: str, code: str = "canceled") -> Run:
        """Ask for a run's end and return it as it is now.

        A queued run is Canceled at once; the worker of one under way is told
        at its next look; a finished one stays as it is. The first request
        wins. Safe to call any number of times.

        Raises:
            NotFound: There is no such run.
        """

        def work(connection: Connection) -> Run | None:
            ended = cancel_queued(connection, [runs.c.id == run_id], reason, code)
            if not ended:
                connection.execute(
                    update(runs)
                    .where(
                        runs.c.id == run_id,
                        runs.c.status.in_(ACTIVE),
                        runs.c.cancel_reason == "",
                    )
                    .values(cancel_reason=reason, cancel_code=code, updated=now())
                )
            return find_run(connection, run_id)

        run = self._db.write(work)
        if run is None:
            raise NotFound(f"there is no run {run_id[:40]!r}", hint="`tasks runs list` shows them")
        return run

    def set_archived(self, run_id: str, archived: bool) -> Run:
        """Keep a run beyond retention, or no longer (C-137).

        Raises:
            NotFound: There is no such run.
        """
        self._db.write(
            lambda connection: connection.execute(
                update(runs).where(runs.c.id == run_id).values(archived=archived, updated=now())
            )
        )
        return self.find(run_id)

    def place(self, run: Run) -> QueuePlace | None:
        """Return where a queued run stands in its pool; None once it does not wait."""

        def work(connection: Connection) -> QueuePlace | None:
            row = connection.execute(
                select(runs.c.status, runs.c.pool, runs.c.lane, runs.c.held).where(
                    runs.c.id == run.id
                )
            ).one_or_none()
            if row is None or row.status != RunStatus.QUEUED or row.held:
                return None
            before = connection.execute(
                select(func.count())
                .select_from(runs)
                .where(
                    runs.c.status == RunStatus.QUEUED,
                    runs.c.held.is_(False),
                    runs.c.pool == row.pool,
                    or_(
                        runs.c.lane < row.lane,
                        (runs.c.lane == row.lane) & (runs.c.sequence < run.sequence),
                    ),
                )
            ).scalar_one()
            return QueuePlace(before + 1, _expected_wait(connection, row.pool, before))

        return self._db.read(work)


def count_queued(connection: Connection) -> int:
    """Return how many runs wait for a worker."""
    return connection.execute(
        select(func.count())
        .select_from(runs)
        .where(runs.c.status == RunStatus.QUEUED, runs.c.held.is_(False))
    ).scalar_one()


def insert_run(connection: Connection, new: NewRun, run_id: str, sealed: str | None) -> Row[Any]:
    """Store a run as Queued, cancel those it supersedes, and return its row.

    ``sealed`` are its secrets as ``seal_secrets`` wrote them.
    """
    if new.supersede_key:
        _supersede(connection, new, run_id)
    time = moment(connection)
    if new.held:
        connection.execute(insert(finished_runs).values(run_id=HELD + run_id, time=time))
    return connection.execute(
        insert(runs)
        .values(
            id=run_id,
            status=RunStatus.QUEUED,
            run_type=new.run_type,
            task=new.task,
            pool=new.request.pool,
            lane=LANES.index(new.lane),
            created=time,
            queued=time,
            updated=time,
            task_limit=new.task_limit,
            supersede_key=new.supersede_key,
            held=new.held,
            cause_kind=new.cause.kind,
            cause=dump_cause(new.cause),
            request=dump_request(new.request),
            secrets=sealed,
        )
        .returning(runs)
    ).one()


def cancel_queued(
    connection: Connection, which: Sequence[ColumnElement[bool]], reason: str, code: str
) -> tuple[str, ...]:
    """End queued runs as Canceled, their logs too; return their ids."""
    ended = connection.execute(
        update(runs)
        .where(runs.c.status == RunStatus.QUEUED, *which)
        .values(
            status=RunStatus.CANCELED,
            finished=now(),
            updated=now(),
            cancel_reason=reason,
            cancel_code=code,
            error=reason,
            error_code=code,
            secrets=None,
            log_state="complete",
        )
        .returning(runs.c.sequence, runs.c.id)
    ).all()
    for row in ended:
        append_end(connection, row.sequence, "EOF")
    return tuple(row.id for row in ended)


def _supersede(connection: Connection, new: NewRun, run_id: str) -> None:
    which = [runs.c.task == new.task, runs.c.supersede_key == new.supersede_key]
    cancel_queued(connection, which, f"superseded by run {run_id}", "superseded")


def find_run(connection: Connection, run_id: str) -> Run | None:
    """Return a run, or None."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        return None
    return run_of(row, _images(connection, [row.sequence])[row.sequence])


def _images(connection: Connection, sequences: Iterable[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    wanted = list(sequences)
    if not wanted:
        return found
    query = (
        select(run_images)
        .where(run_images.c.run_sequence.in_(wanted))
        .order_by(run_images.c.reference)
    )
    for row in connection.execute(query):
        found[row.run_sequence].append(f"{row.reference}@{row.digest}")
    return found


def _expected_wait(connection: Connection, pool: str, before: int) -> float | None:
    recent = (
        select((runs.c.finished - runs.c.started).label("took"))
        .where(runs.c.pool == pool, runs.c.started.is_not(None), runs.c.finished.is_not(None))
        .order_by(runs.c.finished.desc())
        .limit(_RECENT)
        .subquery()
    )
    average: float | None = connection.execute(select(func.avg(recent.c.took))).scalar()
    slots: int = connection.execute(
        select(
            func.coalesce(func.sum(case((workers.c.draining, 0), else_=workers.c.concurrency)), 0)
        ).where(workers.c.pool == pool, workers.c.seen > now() - 60)
    ).scalar_one()
    if average is None or not slots:
        return None
    return float(round(average * (before / slots + 0.5), 1))
