"""What runs pushed, by reference: the record that a rollback goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from runners.model.status import RunStatus
from tasks_service.store.database import Database
from tasks_service.store.run_filter import like_prefix
from tasks_service.store.tables import run_images, runs


@dataclass(frozen=True, slots=True)
class Push:
    """One image that a run pushed.

    Attributes:
        good: The run succeeded.
        time: When it ended, seconds since the epoch.
    """

    reference: str
    digest: str
    run_id: str
    task: str
    good: bool
    time: float


class PushStore:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(
        self, references: Sequence[str], *, all_tags: bool = False, limit: int = 1000
    ) -> tuple[Push, ...]:
        """Return what was pushed under any of the names, newest run first.

        Args:
            references: Full names with a tag; repositories with ``all_tags``.
            all_tags: Whatever the tag.
            limit: How many at most.
        """
        names = (
            [run_images.c.reference.like(like_prefix(r) + ":%", escape="\\") for r in references]
            if all_tags
            else [run_images.c.reference.in_(list(references))]
        )
        query = (
            select(run_images, runs.c.id, runs.c.task, runs.c.status, runs.c.finished)
            .join(runs, runs.c.sequence == run_images.c.run_sequence)
            .where(or_(*names), runs.c.finished.is_not(None))
            .order_by(runs.c.sequence.desc(), run_images.c.reference)
            .limit(limit)
        )

        def work(connection: Connection) -> tuple[Push, ...]:
            return tuple(
                Push(
                    row.reference,
                    row.digest,
                    row.id,
                    row.task,
                    row.status == RunStatus.SUCCEEDED,
                    row.finished,
                )
                for row in connection.execute(query)
            )

        return self._db.read(work)
