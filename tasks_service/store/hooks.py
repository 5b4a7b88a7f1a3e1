"""Commit triggers, deliveries and the statuses that are to be posted.

A push and the run it starts are written in one transaction under a key of what
the push means: it starts one run, however often and wherever it arrives. The
outbox of statuses is the delivery itself: ``report_at`` says when somebody
compares what the run is with what the provider was told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import IntegrityError

from runners.model.status import RunStatus
from tasks_service.errors import Busy, Conflict, NotFound
from tasks_service.model.commit import BY_HAND, CommitTrigger, Delivery, Hook, HookSecrets
from tasks_service.model.run import NewRun, Run
from tasks_service.store.database import Database, moment, now
from tasks_service.store.envelope import Envelope
from tasks_service.store.hook_tables import commit_hooks, pushes
from tasks_service.store.push_order import MOVED_ON, is_late, newest_of, overtaken
from tasks_service.store.rows import hook_place, run_of, run_place, seal_secrets
from tasks_service.store.runs import count_queued, find_run, insert_run
from tasks_service.store.tables import runs

_TRIGGER = TypeAdapter(CommitTrigger)
_SECRETS = TypeAdapter(HookSecrets)
MAX_HELD = 200
"""Who opens pull requests fills no database."""


class HookStore:
    """Commit triggers. Thread-safe."""

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self._db = database
        self._envelope = envelope

    def add(self, hook_id: str, task: str, trigger: CommitTrigger, secrets: HookSecrets) -> Hook:
        """Store a new trigger.

        Raises:
            Conflict: The task has one of that name, or is gone.
        """
        sealed = self._envelope.seal(_SECRETS.dump_json(secrets), hook_place(hook_id))

        def work(connection: Connection) -> Hook:
            row = connection.execute(
                insert(commit_hooks)
                .values(
                    id=hook_id,
                    task=task,
                    name=trigger.name,
                    place=place_of(trigger),
                    definition=_TRIGGER.dump_json(trigger).decode(),
                    secrets=sealed,
                    created=now(),
                )
                .returning(commit_hooks)
            ).one()
            return self._hook(row)

        try:
            return self._db.write(work)
        except IntegrityError as error:
            raise Conflict(
                f"task '{task}' has a trigger '{trigger.name}' already, or is gone",
                hint="remove it first: `tasks trigger remove`",
            ) from error

    def list(self, task: str) -> tuple[Hook, ...]:
        """Return the triggers of a task by name."""
        query = select(commit_hooks).where(commit_hooks.c.task == task)
        return self._db.read(
            lambda connection: tuple(
                self._hook(row) for row in connection.execute(query.order_by(commit_hooks.c.name))
            )
        )

    def get(self, hook_id: str) -> Hook | None:
        """Return the trigger of a webhook's URL."""
        query = select(commit_hooks).where(commit_hooks.c.id == hook_id)

        def work(connection: Connection) -> Hook | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else self._hook(row)

        return self._db.read(work)

    def find(self, task: str, name: str) -> Hook:
        """Return one trigger of a task.

        Raises:
            NotFound: There is none of that name.
        """
        for hook in self.list(task):
            if hook.trigger.name == name:
                return hook
        raise NotFound(
            f"task '{task}' has no commit trigger '{name[:60]}'", hint="`tasks trigger list`"
        )

    def change(self, hook: Hook, trigger: CommitTrigger, secrets: HookSecrets) -> Hook:
        """Replace what a trigger is, but for its name; its deliveries stay.

        Raises:
            NotFound: It is gone.
        """
        sealed = self._envelope.seal(_SECRETS.dump_json(secrets), hook_place(hook.id))

        def work(connection: Connection) -> Hook:
            row = connection.execute(
                update(commit_hooks)
                .where(commit_hooks.c.id == hook.id)
                .values(
                    place=place_of(trigger),
                    definition=_TRIGGER.dump_json(trigger).decode(),
                    secrets=sealed,
                    poll_at=0,
                )
                .returning(commit_hooks)
            ).one_or_none()
            if row is None:
                raise NotFound(f"the commit trigger '{hook.trigger.name}' is gone")
            return self._hook(row)

        return self._db.write(work)

    def at(self, place: str) -> tuple[Hook, ...]:
        """Return the triggers that listen to a place, of all tasks, oldest first."""
        query = select(commit_hooks).where(commit_hooks.c.place == place)
        query = query.order_by(commit_hooks.c.created, commit_hooks.c.id)
        return self._db.read(
            lambda connection: tuple(self._hook(row) for row in connection.execute(query))
        )

    def remove(self, hook_id: str) -> None:
        """Remove a trigger and its deliveries."""
        self._db.write(
            lambda connection: connection.execute(
                delete(commit_hooks).where(commit_hooks.c.id == hook_id)
            )
        )

    def deliver(
        self,
        delivery: Delivery,
        new: NewRun | None,
        *,
        report: bool,
        max_queued: int = 0,
    ) -> tuple[Delivery, Run | None]:
        """Write a push down, with its run, unless it was delivered before.

        Args:
            delivery: The push; ``received`` is set here.
            new: The run to start under ``delivery.run_id``.
            report: Its statuses are to be posted.
            max_queued: How many runs may wait; 0 is no limit.

        Returns:
            The delivery as it is stored, and the run if it was started just now. For
            one by POLL whose ref was told of meanwhile, what was told.

        Raises:
            Busy: Too many runs wait; nothing was written.
        """
        sealed = None
        if new is not None:
            sealed = seal_secrets(self._envelope, new.secrets, run_place(delivery.run_id))
        put = insert_sqlite if self._db.is_sqlite else insert_postgresql

        def work(connection: Connection) -> tuple[Delivery, Run | None]:
            # Pushes of one trigger are judged one after the other.
            _lock(connection, delivery.hook)
            note = delivery.note
            if delivery.via != BY_HAND:
                newest = newest_of(connection, delivery)
                if newest is not None and newest.run_id and newest.commit_id == delivery.commit:
                    return delivery_of(newest), None
                if newest is not None and overtaken(delivery, newest):
                    return delivery_of(newest), None
                late = newest is not None and is_late(connection, delivery, newest)
                note = MOVED_ON if late else note
            started = new if not note else None
            time = moment(connection)
            row = connection.execute(
                put(pushes)
                .values(
                    hook=delivery.hook,
                    meaning=delivery.meaning,
                    received=time,
                    ref=delivery.ref,
                    before=delivery.before,
                    commit_id=delivery.commit,
                    run_id=delivery.run_id if started is not None else "",
                    note=note,
                    event=delivery.event,
                    via=delivery.via,
                    report_at=time if report and started is not None else None,
                )
                .on_conflict_do_nothing()
                .returning(pushes)
            ).one_or_none()
            if row is None:
                return delivery_of(_stored(connection, delivery)), None
            if started is None:
                return delivery_of(row), None
            if started.held and _held(connection, started.task) >= MAX_HELD:
                raise Busy(
                    f"{MAX_HELD} runs of task '{started.task}' wait for approval already",
                    hint="approve or cancel some: `tasks runs list`",
                )
            if max_queued and count_queued(connection) >= max_queued:
                raise Busy("too many runs wait already", hint="deliver it again later")
            run = insert_run(connection, started, delivery.run_id, sealed)
            return delivery_of(row), run_of(run)

        return self._db.write(work)

    def delivery(self, hook_id: str, delivery_id: str) -> Delivery:
        """Return one delivery of a trigger by its ``id``.

        Raises:
            NotFound: There is none.
        """
        query = select(pushes).where(pushes.c.hook == hook_id)
        # A range, not a pattern: whatever stands in the id is compared as it is.
        query = query.where(pushes.c.meaning >= delivery_id, pushes.c.meaning < delivery_id + "g")
        found = self._db.read(lambda connection: connection.execute(query.limit(1)).one_or_none())
        if found is None or not delivery_id or delivery_of(found).id != delivery_id:
            raise NotFound(
                f"the trigger has no delivery '{delivery_id[:40]}'",
                hint="`tasks trigger deliveries` lists them",
            )
        return delivery_of(found)

    def newest(self, hook_ids: Sequence[str]) -> Mapping[str, Delivery]:
        """Return the newest delivery of each trigger that has one."""
        return {
            hook_id: found[0]
            for hook_id in hook_ids
            if (found := self.deliveries(hook_id, limit=1))
        }

    def approve(self, run_id: str) -> Run:
        """Let a held run be taken; one that is approved already stays as it is.

        Raises:
            NotFound: There is none.
            Conflict: It ended meanwhile, or never waited for that.
        """

        def work(connection: Connection) -> Run:
            changed = connection.execute(
                update(runs)
                .where(
                    runs.c.id == run_id,
                    runs.c.status == RunStatus.QUEUED,
                    runs.c.held.is_(True),
                )
                .values(held=False, queued=now(), updated=now(), announced=None)
                .returning(runs)
            ).one_or_none()
            if changed is not None:
                return run_of(changed)
            run = find_run(connection, run_id)
            if run is None:
                raise NotFound(f"there is no run {run_id[:40]!r}")
            raise Conflict(
                f"run {run_id} does not wait for approval: it is {run.status}"
                + (f" ({run.cancel_reason})" if run.cancel_reason else "")
            )

        return self._db.write(work)

    def deliveries(self, hook_id: str, *, limit: int = 50) -> tuple[Delivery, ...]:
        """Return what arrived last, newest first."""
        query = (
            select(pushes)
            .where(pushes.c.hook == hook_id)
            .order_by(pushes.c.received.desc())
            .limit(limit)
        )
        return self._db.read(
            lambda connection: tuple(delivery_of(row) for row in connection.execute(query))
        )

    def _hook(self, row: Row[Any]) -> Hook:
        return hook_of(row, self._envelope)


def hook_of(row: Row[Any], envelope: Envelope) -> Hook:
    """Return the Hook of a row of ``commit_hooks``."""
    return Hook(
        id=row.id,
        task=row.task,
        trigger=_TRIGGER.validate_json(row.definition),
        secrets=_SECRETS.validate_json(envelope.open(row.secrets, hook_place(row.id))),
        created=row.created,
        polled=row.polled,
        poll_problem=row.poll_problem,
    )


def place_of(trigger: CommitTrigger) -> str:
    """Return what a trigger listens to: its provider and repository, or nothing known."""
    if not trigger.repository:
        return ""
    return f"{trigger.provider} {trigger.repository.lower()}"


def _held(connection: Connection, task: str) -> int:
    return connection.execute(
        select(func.count())
        .select_from(runs)
        .where(runs.c.task == task, runs.c.status == RunStatus.QUEUED, runs.c.held.is_(True))
    ).scalar_one()


def _lock(connection: Connection, hook_id: str) -> None:
    query = select(commit_hooks.c.id).where(commit_hooks.c.id == hook_id)
    connection.execute(query.with_for_update())


def _stored(connection: Connection, delivery: Delivery) -> Row[Any]:
    return connection.execute(
        select(pushes).where(pushes.c.hook == delivery.hook, pushes.c.meaning == delivery.meaning)
    ).one()


def delivery_of(row: Row[Any]) -> Delivery:
    """Return the Delivery of a row of ``pushes``."""
    return Delivery(
        hook=row.hook,
        meaning=row.meaning,
        received=row.received,
        ref=row.ref,
        before=row.before,
        commit=row.commit_id,
        run_id=row.run_id,
        note=row.note,
        reported=row.reported,
        attempts=row.attempts,
        problem=row.problem,
        event=row.event,
        via=row.via,
    )
