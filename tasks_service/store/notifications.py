"""Receivers, the outbox of ended runs, and deliveries. Receivers' URLs and secrets are sealed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import IntegrityError

from runners.model.status import RunStatus
from tasks_service.errors import Conflict, NotFound
from tasks_service.model.notification import (
    DEAD,
    DELIVERED,
    HELD,
    WAITING,
    Delivery,
    Notification,
    Receiver,
)
from tasks_service.store.database import Database, moment, now
from tasks_service.store.envelope import Envelope
from tasks_service.store.rows import dump, notification_place
from tasks_service.store.tables import deliveries, finished_runs, notifications, runs

_RECEIVER = TypeAdapter(Receiver)

Message = tuple[str, str, str, str]
"""What is to be told: an id of its own, the notification, the event, the body."""


class NotificationStore:
    """Who is told, and what became of it. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def create(self, notification: Notification, receiver: Receiver) -> None:
        """Store a receiver.

        Raises:
            Conflict: There is one of that name.
        """
        sealed = self._envelope.seal(
            _RECEIVER.dump_json(receiver), notification_place(notification.name)
        )
        try:
            self._db.write(
                lambda connection: connection.execute(
                    insert(notifications).values(
                        name=notification.name,
                        kind=notification.kind,
                        address=notification.address,
                        events=dump(list(notification.events)),
                        tasks=dump(list(notification.tasks)),
                        secrets=sealed,
                        created=now(),
                    )
                )
            )
        except IntegrityError as error:
            raise Conflict(f"there is a notification '{notification.name}' already") from error

    def list(self) -> tuple[Notification, ...]:
        """Return all receivers by name."""
        query = select(notifications).order_by(notifications.c.name)
        return self._db.read(
            lambda connection: tuple(_notification(row) for row in connection.execute(query))
        )

    def receiver(self, name: str) -> Receiver | None:
        """Return where a notification goes, or None if it is gone."""
        sealed = self._db.read(
            lambda connection: connection.execute(
                select(notifications.c.secrets).where(notifications.c.name == name)
            ).scalar()
        )
        if sealed is None:
            return None
        return _RECEIVER.validate_json(self._envelope.open(sealed, notification_place(name)))

    def delete(self, name: str) -> None:
        """Forget a receiver and its deliveries.

        Raises:
            NotFound: There is none.
        """

        def work(connection: Connection) -> bool:
            gone = delete(notifications).where(notifications.c.name == name)
            connection.execute(delete(deliveries).where(deliveries.c.notification == name))
            return connection.execute(gone.returning(notifications.c.name)).scalar() is not None

        if not self._db.write(work):
            raise NotFound(f"there is no notification {name[:60]!r}")

    def ended(self, *, limit: int = 100) -> tuple[str, ...]:
        """Return ids of ended runs nobody was told of yet, the oldest first.

        An id behind HELD is of a run that came and waits for approval.
        """
        query = select(finished_runs.c.run_id).order_by(finished_runs.c.time).limit(limit)
        return self._db.read(lambda connection: tuple(connection.execute(query).scalars()))

    def status_before(self, task: str, sequence: int) -> RunStatus | None:
        """Return how the task's last finished, not canceled run before this one ended."""
        query = (
            select(runs.c.status)
            .where(
                runs.c.task == task,
                runs.c.sequence < sequence,
                runs.c.finished.is_not(None),
                runs.c.status != RunStatus.CANCELED,
            )
            .order_by(runs.c.sequence.desc())
            .limit(1)
        )
        found = self._db.read(lambda connection: connection.execute(query).scalar())
        return RunStatus(found) if found else None

    def plan(self, run_id: str, messages: Sequence[Message]) -> None:
        """Store deliveries of a run, and take it off the outbox; see ``plan_all``."""
        self.plan_all({run_id: messages})

    def plan_all(self, planned: Mapping[str, Sequence[Message]]) -> None:
        """Store deliveries of runs by id, and take those off the outbox: all or none.

        The same run twice plans each receiver once.
        """
        insert_ = insert_sqlite if self._db.is_sqlite else insert_postgresql

        def work(connection: Connection) -> None:
            time = moment(connection)
            rows = [
                {
                    "id": message,
                    "notification": name,
                    "run_id": run_id.removeprefix(HELD),
                    "early": int(run_id.startswith(HELD)),
                    "event": event,
                    "body": body,
                    "status": WAITING,
                    "at": time,
                    "created": time,
                }
                for run_id, messages in planned.items()
                for message, name, event, body in messages
            ]
            if rows:
                connection.execute(insert_(deliveries).on_conflict_do_nothing(), rows)
            connection.execute(
                delete(finished_runs).where(finished_runs.c.run_id.in_(list(planned)))
            )

        self._db.write(work)

    def take(
        self, *, hold_s: float, limit: int = 32, each: int = 0, without: Collection[str] = ()
    ) -> tuple[Delivery, ...]:
        """Return deliveries whose time came, each to one caller for ``hold_s`` seconds.

        Args:
            hold_s: Whoever has not said by then what became of one lost it.
            limit: How many at most.
            each: How many of one receiver at most; 0 is no limit.
            without: Receivers to be left alone.
        """

        def work(connection: Connection) -> tuple[Delivery, ...]:
            time = moment(connection)
            which = [deliveries.c.status == WAITING, deliveries.c.at <= time]
            if without:
                which.append(deliveries.c.notification.not_in(without))
            place = func.row_number().over(
                partition_by=deliveries.c.notification, order_by=deliveries.c.at
            )
            due = select(deliveries.c.id, deliveries.c.at, place.label("place")).where(*which)
            ranked = due.subquery()
            query = select(ranked.c.id).order_by(ranked.c.at).limit(limit)
            if each:
                query = query.where(ranked.c.place <= each)
            ids = list(connection.execute(query).scalars())
            # Of two that chose the same at once, one finds it held by the other.
            rows = connection.execute(
                update(deliveries)
                .where(deliveries.c.id.in_(ids), *which)
                .values(at=time + hold_s, attempts=deliveries.c.attempts + 1)
                .returning(deliveries)
            )
            return tuple(_delivery(row) for row in rows)

        return self._db.write(work)

    def delivered(self, one: Delivery, code: int, problem: str = "") -> None:
        """Note that a receiver took it; ``problem`` is what it did not take of it."""
        self._note(one, {"status": DELIVERED, "code": code, "problem": problem[:500]})

    def failed(self, one: Delivery, code: int, problem: str, *, retry_s: float | None) -> None:
        """Note why it was not taken; tried again in ``retry_s``, or dead where that is None."""
        values: dict[str, Any] = {"code": code, "problem": problem[:500]}
        values |= {"status": DEAD} if retry_s is None else {"at": now() + retry_s}
        self._note(one, values)

    def _note(self, one: Delivery, values: dict[str, Any]) -> None:
        # Only the attempt that is the newest says what became of it.
        which = (deliveries.c.id == one.id, deliveries.c.attempts == one.attempts)
        self._db.write(
            lambda connection: connection.execute(update(deliveries).where(*which).values(**values))
        )

    def deliveries(self, name: str, *, status: str = "", limit: int = 50) -> tuple[Delivery, ...]:
        """Return the newest deliveries of a receiver."""
        query = select(deliveries).where(deliveries.c.notification == name)
        if status:
            query = query.where(deliveries.c.status == status)
        query = query.order_by(deliveries.c.created.desc(), deliveries.c.id).limit(limit)
        return self._db.read(
            lambda connection: tuple(_delivery(row) for row in connection.execute(query))
        )

    def redeliver(self, name: str, message: str) -> Delivery:
        """Try one again from the start, dead, delivered or waiting.

        Raises:
            NotFound: There is none.
        """
        again = (
            update(deliveries)
            .where(deliveries.c.id == message, deliveries.c.notification == name)
            .values(status=WAITING, at=now(), attempts=0, problem="", code=0)
            .returning(deliveries)
        )
        row = self._db.write(lambda connection: connection.execute(again).one_or_none())
        if row is None:
            raise NotFound(f"there is no delivery {message[:60]!r} of '{name[:60]}'")
        return _delivery(row)

    def forget(self, *, older_than_s: float) -> None:
        """Forget deliveries planned so long ago."""

        def work(connection: Connection) -> None:
            until = moment(connection) - older_than_s
            connection.execute(delete(deliveries).where(deliveries.c.created < until))

        self._db.write(work)


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        row.name,
        row.kind,
        row.address,
        tuple(json.loads(row.events)),
        tuple(json.loads(row.tasks)),
        row.created,
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.id,
        row.notification,
        row.run_id,
        row.event,
        row.body,
        row.status,
        row.at,
        row.attempts,
        row.code,
        row.problem,
        row.created,
    )
