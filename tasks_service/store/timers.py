"""Timers that are due, and the runs they start: each fire time once, whoever tries.

Called by the scheduler, by several at once if there are several. A run, the
note that its fire time was acted on, and the timer's next time are written in
one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from tasks_service.errors import Busy
from tasks_service.model.run import NewRun, Run, RunSecrets
from tasks_service.model.task import Task
from tasks_service.model.timer import Timer
from tasks_service.store.database import Database, moment
from tasks_service.store.envelope import Envelope
from tasks_service.store.rows import open_secrets, run_of, run_place, seal_secrets, task_place
from tasks_service.store.runs import count_queued, insert_run
from tasks_service.store.tables import tasks, timer_fires, timers
from tasks_service.store.tasks import task_of
from tasks_service.store.timer_rows import load_timer

CLOCK_BACK_S = 60.0
"""A plan made so far in the future was made by a clock that was wrong."""


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer that must be looked at.

    Attributes:
        since: Fire times count from here.
        due, at: As planned; ``due`` is None if nothing is.
        planned: When that was.
    """

    task: Task
    timer: Timer
    since: float
    due: float | None
    at: float
    planned: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided about a timer.

    Attributes:
        seen: The timer as it was looked at.
        due, at: Its next fire time; ``at`` is ignored where there is none.
        fire: The due time acted on, or None.
        run: The run to start for it.
        problem: Why no run can be started.
    """

    seen: DueTimer
    due: float | None
    at: float = 0.0
    fire: float | None = None
    run: NewRun | None = None
    run_id: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TimerState:
    """Where a timer stands."""

    due: float | None
    at: float | None
    last_due: float | None
    last_run: str
    problem: str


class TimerStore:
    """The scheduler's side of timers. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def due(self, *, limit: int = 200) -> tuple[float, tuple[DueTimer, ...]]:
        """Return the database's time and the timers to look at, the longest due first.

        That is: those whose time came, those that are not planned, and those
        planned by a clock that was ahead.
        """

        def work(connection: Connection) -> tuple[float, tuple[DueTimer, ...]]:
            time = moment(connection)
            rows = connection.execute(
                select(timers, tasks.c.name.label("task_name"))
                .join(tasks, tasks.c.name == timers.c.task)
                .where(or_(timers.c.at <= time, timers.c.planned > time + CLOCK_BACK_S))
                .order_by(timers.c.at, timers.c.task, timers.c.name)
                .limit(limit)
            ).all()
            names = sorted({row.task for row in rows})
            found = {
                row.name: task_of(row)
                for row in connection.execute(select(tasks).where(tasks.c.name.in_(names)))
            }
            return time, tuple(_due(row, found[row.task]) for row in rows)

        return self._db.read(work)

    def secrets(self, task: str) -> RunSecrets:
        """Return the secrets of a task.

        Raises:
            SealBroken: No key opens them.
        """
        sealed = self._db.read(
            lambda connection: connection.execute(
                select(tasks.c.secrets).where(tasks.c.name == task)
            ).scalar()
        )
        return open_secrets(self._envelope, sealed, task_place(task))

    def settle(self, outcomes: Sequence[Outcome], *, max_queued: int = 0) -> tuple[Run, ...]:
        """Write what was decided and return the runs that were started.

        A timer that somebody else settled or changed since it was looked at
        is passed over, and so is a fire time that was acted on before, and
        what there is no room for: it stays due.

        Raises:
            Busy: ``max_queued`` runs wait already; nothing was written.
        """
        sealed = [
            seal_secrets(self._envelope, one.run.secrets, run_place(one.run_id))
            if one.run is not None
            else None
            for one in outcomes
        ]

        def work(connection: Connection) -> tuple[Run, ...]:
            room = max_queued - count_queued(connection) if max_queued else len(outcomes)
            if room <= 0 and any(one.run is not None for one in outcomes):
                raise Busy("too many runs wait already: timers wait, too")
            time = moment(connection)
            found: list[Run] = []
            for one, secrets in zip(outcomes, sealed, strict=True):
                if one.run is not None and len(found) >= room:
                    continue
                row = self._settle(connection, one, secrets, time)
                if row is not None:
                    found.append(run_of(row))
            return tuple(found)

        return self._db.write(work)

    def _settle(
        self, connection: Connection, one: Outcome, sealed: str | None, time: float
    ) -> Row[Any] | None:
        seen = one.seen
        mine = (timers.c.task == seen.task.name, timers.c.name == seen.timer.name)
        values: dict[str, Any] = {
            "due": one.due,
            # Never again: far beyond what any clock will say.
            "at": one.at if one.due is not None else 1e12,
            "planned": time,
        }
        same_due = timers.c.due.is_(None) if seen.due is None else timers.c.due == seen.due
        changed = connection.execute(
            update(timers)
            .where(
                *mine,
                same_due,
                timers.c.at == seen.at,
                timers.c.since == seen.since,
                timers.c.planned == seen.planned,
            )
            .values(**values)
            .returning(timers.c.name)
        ).one_or_none()
        if changed is None or one.fire is None:
            return None
        insert = insert_sqlite if self._db.is_sqlite else insert_postgresql
        noted = connection.execute(
            insert(timer_fires)
            .values(
                task=seen.task.name,
                timer=seen.timer.name,
                due=one.fire,
                fired=time,
                run_id=one.run_id,
                problem=one.problem,
            )
            .on_conflict_do_nothing()
            .returning(timer_fires.c.due)
        ).one_or_none()
        if noted is None:
            return None
        last = {"last_due": one.fire, "last_run": one.run_id, "problem": one.problem}
        connection.execute(update(timers).where(*mine).values(**last))
        if one.run is None:
            return None
        return insert_run(connection, one.run, one.run_id, sealed)

    def states(self, task: str) -> dict[str, TimerState]:
        """Return where a task's enabled timers stand, by name."""
        return self._db.read(
            lambda connection: {
                row.name: TimerState(
                    row.due,
                    row.at if row.due is not None else None,
                    row.last_due,
                    row.last_run,
                    row.problem,
                )
                for row in connection.execute(select(timers).where(timers.c.task == task))
            }
        )

    def forget_fires(self, *, older_than_s: float) -> None:
        """Forget fire times acted on so long ago."""

        def work(connection: Connection) -> None:
            until = moment(connection) - older_than_s
            connection.execute(delete(timer_fires).where(timer_fires.c.fired < until))

        self._db.write(work)


def _due(row: Row[Any], task: Task) -> DueTimer:
    return DueTimer(task, load_timer(row.definition), row.since, row.due, row.at, row.planned)
