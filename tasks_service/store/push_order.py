"""In which order the pushes of one ref were made: they are told in any order, or by looks.

Called by ``hooks`` within the transaction that writes a delivery.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from tasks_service.model.commit import BY_HAND, ELSEWHERE, POLL, WEBHOOK, Delivery
from tasks_service.store.hook_tables import pushes

MOVED_ON = "the ref has moved on from this commit"
NO_NEWS = (MOVED_ON, ELSEWHERE)
"""Notes of deliveries that do not tell where a ref stands."""


def newest_of(connection: Connection, delivery: Delivery) -> Row[Any] | None:
    """Return what was last told of where the ref stands."""
    query = (
        select(pushes)
        .where(
            pushes.c.hook == delivery.hook,
            pushes.c.ref == delivery.ref,
            pushes.c.via != BY_HAND,
            pushes.c.note.not_in(NO_NEWS),
        )
        .order_by(pushes.c.received.desc())
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def overtaken(delivery: Delivery, newest: Row[Any]) -> bool:
    """Return whether a look saw what was true before somebody told news of the ref."""
    return delivery.via == POLL and bool(newest.commit_id != delivery.before)


def is_late(connection: Connection, delivery: Delivery, newest: Row[Any]) -> bool:
    """Return whether the ref had left this commit already: pushes arrive in any order."""
    if newest.commit_id == delivery.before:
        return False
    if newest.before == delivery.commit:
        return True
    if newest.via != POLL or delivery.via != WEBHOOK or not delivery.before:
        return False
    # A look skips what came and went between two of them: those steps are told late.
    if newest.before == delivery.before:
        return True
    step = select(pushes.c.meaning).where(
        pushes.c.hook == delivery.hook,
        pushes.c.ref == delivery.ref,
        pushes.c.commit_id == delivery.before,
        pushes.c.note == MOVED_ON,
        pushes.c.received >= newest.received,
    )
    return connection.execute(step.limit(1)).one_or_none() is not None
