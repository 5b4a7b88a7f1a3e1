"""Looks at repositories: which are due, what the last one saw, what it left to do.

Called by the scheduler, by several at once if there are several: each look is
taken by one, and by another if that one dies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter
from sqlalchemy import Connection, func, select, update

from tasks_service.model.commit import BY_HAND, Hook
from tasks_service.store.database import Database, moment
from tasks_service.store.envelope import Envelope
from tasks_service.store.hook_tables import commit_hooks, pushes
from tasks_service.store.hooks import hook_of
from tasks_service.store.push_order import NO_NEWS

LOOK_LEASE_S = 180.0
"""Who takes a look has so long before somebody else takes it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look saw.

    Attributes:
        of: What it looked at and for; another one is no news but a new beginning.
        refs: Commit by whole ref.
    """

    of: str = ""
    refs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DueLook:
    """A trigger whose repository is to be looked at.

    Attributes:
        told: Where its refs stood when deliveries told last, by ref; read
            before the look, so that news of during the look is told apart.
        lease: Until when it is ours; whoever changes the trigger ends that.
    """

    hook: Hook
    seen: Seen
    told: Mapping[str, str]
    failures: int
    lease: float


_SEEN = TypeAdapter(Seen)


class PollStore:
    """Looks. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def sweep(self) -> None:
        """Make all looks due: nobody knows what was missed."""
        self._db.write(
            lambda connection: connection.execute(update(commit_hooks).values(poll_at=0))
        )

    def take(self, *, limit: int = 50) -> tuple[DueLook, ...]:
        """Return what is due, longest first, and keep others from it for a while."""

        def work(connection: Connection) -> tuple[DueLook, ...]:
            time = moment(connection)
            due = (
                select(commit_hooks.c.id)
                .where(commit_hooks.c.poll_at <= time)
                .order_by(commit_hooks.c.poll_at, commit_hooks.c.id)
                .limit(limit)
            )
            found = []
            for hook_id in connection.execute(due).scalars().all():
                row = connection.execute(
                    update(commit_hooks)
                    .where(commit_hooks.c.id == hook_id, commit_hooks.c.poll_at <= time)
                    .values(poll_at=time + LOOK_LEASE_S)
                    .returning(commit_hooks)
                ).one_or_none()
                if row is not None:
                    found.append(
                        DueLook(
                            hook_of(row, self._envelope),
                            _SEEN.validate_json(row.seen) if row.seen else Seen(),
                            _told(connection, hook_id),
                            row.poll_failures,
                            row.poll_at,
                        )
                    )
            return tuple(found)

        return self._db.write(work)

    def looked(self, look: DueLook, seen: Seen, *, again_in_s: float) -> None:
        """Write down what a look saw, and when to look again."""
        self._after(look, again_in_s, seen=_SEEN.dump_json(seen).decode(), failures=0, problem="")

    def failed(self, look: DueLook, problem: str, *, again_in_s: float) -> None:
        """Write down why a look saw nothing."""
        self._after(look, again_in_s, failures=look.failures + 1, problem=problem[:500])

    def rests(self, look: DueLook) -> None:
        """Write down that this one is not to be looked at, until it is changed."""
        self._db.write(
            lambda connection: connection.execute(
                update(commit_hooks)
                .where(commit_hooks.c.id == look.hook.id, commit_hooks.c.poll_at == look.lease)
                # What happens until then is no news.
                .values(poll_at=None, poll_failures=0, poll_problem="", seen="")
            )
        )

    def _after(
        self, look: DueLook, again_in_s: float, *, failures: int, problem: str, **more: str
    ) -> None:
        def work(connection: Connection) -> None:
            time = moment(connection)
            connection.execute(
                update(commit_hooks)
                # One that was changed meanwhile stays due.
                .where(commit_hooks.c.id == look.hook.id, commit_hooks.c.poll_at == look.lease)
                .values(
                    polled=time,
                    poll_at=time + again_in_s,
                    poll_failures=failures,
                    poll_problem=problem,
                    **more,
                )
            )

        self._db.write(work)


def _told(connection: Connection, hook_id: str) -> Mapping[str, str]:
    counts = (pushes.c.hook == hook_id, pushes.c.via != BY_HAND, pushes.c.note.not_in(NO_NEWS))
    last = (
        select(pushes.c.ref, func.max(pushes.c.received).label("received"))
        .where(*counts)
        .group_by(pushes.c.ref)
        .subquery()
    )
    query = select(pushes.c.ref, pushes.c.commit_id).where(
        *counts, pushes.c.ref == last.c.ref, pushes.c.received == last.c.received
    )
    return {row.ref: row.commit_id for row in connection.execute(query)}
