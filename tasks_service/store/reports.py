"""The outbox of commit statuses: deliveries whose run has to be compared with what was told.

Called by the scheduler, by several at once if there are several: each report is
taken by one, and by another if that one dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from tasks_service.model.commit import Delivery, Hook
from tasks_service.model.run import Run
from tasks_service.store.database import Database, moment
from tasks_service.store.envelope import Envelope
from tasks_service.store.hook_tables import commit_hooks, pushes
from tasks_service.store.hooks import delivery_of, hook_of
from tasks_service.store.rows import run_of
from tasks_service.store.tables import runs

REPORT_LEASE_S = 30.0
"""Who takes a status to post has so long before somebody else tries."""


@dataclass(frozen=True, slots=True)
class Report:
    """A status that may have to be posted."""

    hook: Hook
    delivery: Delivery
    run: Run


class ReportStore:
    """Statuses to post. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def take(self, *, limit: int = 50) -> tuple[Report, ...]:
        """Return deliveries whose status is due, and keep others from them for a while."""

        def work(connection: Connection) -> tuple[Report, ...]:
            time = moment(connection)
            due = (
                select(pushes.c.hook, pushes.c.meaning)
                .where(pushes.c.report_at <= time)
                .order_by(pushes.c.report_at)
                .limit(limit)
            )
            found = []
            for hook_id, meaning in connection.execute(due).all():
                mine = (pushes.c.hook == hook_id, pushes.c.meaning == meaning)
                row = connection.execute(
                    update(pushes)
                    .where(*mine, pushes.c.report_at <= time)
                    .values(report_at=time + REPORT_LEASE_S)
                    .returning(pushes)
                ).one_or_none()
                if row is not None:
                    found.append((row, hook_id))
            return tuple(
                report
                for row, hook_id in found
                if (report := self._report(connection, row, hook_id)) is not None
            )

        return self._db.write(work)

    def told(
        self,
        delivery: Delivery,
        *,
        state: str,
        attempts: int,
        problem: str,
        again_in_s: float | None,
    ) -> None:
        """Write down what the provider was told, and when to look again (None is never)."""

        def work(connection: Connection) -> None:
            time = moment(connection)
            connection.execute(
                update(pushes)
                .where(
                    pushes.c.hook == delivery.hook,
                    pushes.c.meaning == delivery.meaning,
                )
                .values(
                    reported=state,
                    attempts=attempts,
                    problem=problem,
                    report_at=None if again_in_s is None else time + again_in_s,
                )
            )

        self._db.write(work)

    def _report(self, connection: Connection, row: Row[Any], hook_id: str) -> Report | None:
        hook = connection.execute(select(commit_hooks).where(commit_hooks.c.id == hook_id)).one()
        run = connection.execute(select(runs).where(runs.c.id == row.run_id)).one_or_none()
        if run is None:
            # Forgotten by retention: there is nothing left to tell.
            connection.execute(
                update(pushes)
                .where(pushes.c.hook == hook_id, pushes.c.meaning == row.meaning)
                .values(report_at=None)
            )
            return None
        return Report(hook_of(hook, self._envelope), delivery_of(row), run_of(run))
