"""Waves in the database: planned once, each member moved on by one of those that try.

The other half of what ``store.cascades`` offers; apart from it for its size.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, text, update

from tasks_service.errors import NotFound
from tasks_service.model.cascade import Change, Member, MemberStatus, Past, Wave, WaveStatus
from tasks_service.store.cascade_tables import (
    image_changes,
    image_outputs,
    image_watches,
    wave_members,
    waves,
)
from tasks_service.store.database import Database, now
from tasks_service.store.edges import record_edges
from tasks_service.store.rows import dump
from tasks_service.store.tables import runs

_OPEN = (WaveStatus.RUNNING, WaveStatus.PAUSED)
_PLAN_LOCK = 7_201_954


class WaveStore:
    """Waves and their members. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def open_wave(
        self,
        changes: Sequence[int],
        members: Sequence[Member],
        refused: Mapping[str, tuple[str, ...]],
        *,
        pins: Mapping[str, str] | None = None,
    ) -> int | None:
        """Write a wave for changes, held at digests, and return its number.

        None if another one was faster: changes are planned once, and a task
        is to be done in one open wave at most.
        """

        def work(connection: Connection) -> int | None:
            if not self._db.is_sqlite:
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _PLAN_LOCK}
                )
            left = connection.execute(
                select(func.count())
                .select_from(image_changes)
                .where(image_changes.c.number.in_(list(changes)), image_changes.c.wave == 0)
            ).scalar_one()
            if left != len(changes) or _under_way(connection, members):
                return None
            number = connection.execute(
                insert(waves)
                .values(
                    status=WaveStatus.RUNNING,
                    created=now(),
                    refused=dump(dict(refused)),
                    pins=dump(dict(pins or {})),
                )
                .returning(waves.c.number)
            ).scalar_one()
            connection.execute(
                update(image_changes)
                .where(image_changes.c.number.in_(list(changes)))
                .values(wave=number)
            )
            rows = [
                {
                    "wave": number,
                    "task": member.task,
                    "position": member.position,
                    "parents": dump(list(member.parents)),
                    "status": member.status,
                    "reason": member.reason,
                }
                for member in members
            ]
            if rows:
                connection.execute(insert(wave_members), rows)
            return int(number)

        return self._db.write(work)

    def open_waves(self) -> tuple[Wave, ...]:
        """Return waves of which something is to come, oldest first."""
        return self._waves(waves.c.status.in_(_OPEN), newest_first=False, limit=10_000)

    def waves(self, *, before: int | None = None, limit: int = 50) -> tuple[Wave, ...]:
        """Return waves, newest first; those with a lower number than ``before``."""
        which = waves.c.number < before if before is not None else waves.c.number > 0
        return self._waves(which, newest_first=True, limit=limit)

    def wave(self, number: int) -> Wave:
        """Return one wave.

        Raises:
            NotFound: There is none of that number.
        """
        found = self._waves(waves.c.number == number, newest_first=True, limit=1)
        if not found:
            raise NotFound(f"there is no wave {number}", hint="`tasks waves list` shows them")
        return found[0]

    def pasts(self, *, since_s: float) -> dict[str, Past]:
        """Return what waves did with each task; ``tries`` are of the last ``since_s`` seconds."""
        newest = (
            select(wave_members.c.task, func.max(wave_members.c.wave).label("wave"))
            .group_by(wave_members.c.task)
            .subquery()
        )
        ends = select(newest.c.task, waves.c.status, now() - waves.c.finished).join(
            waves, waves.c.number == newest.c.wave
        )
        counts = (
            select(wave_members.c.task, func.count())
            .join(waves, waves.c.number == wave_members.c.wave)
            .where(waves.c.created >= now() - since_s)
            .group_by(wave_members.c.task)
        )

        def work(connection: Connection) -> dict[str, Past]:
            tries: dict[str, int] = {row[0]: row[1] for row in connection.execute(counts)}
            return {
                task: Past(
                    WaveStatus(status), None if ago is None else max(0.0, ago), tries.get(task, 0)
                )
                for task, status, ago in connection.execute(ends)
            }

        return self._db.read(work)

    def supersede(self, wave: int, tasks: Collection[str], *, reason: str) -> int:
        """Leave waiting members to the next wave; return how many there were."""
        change = update(wave_members).where(
            wave_members.c.wave == wave,
            wave_members.c.status == MemberStatus.WAITING,
            wave_members.c.task.in_(sorted(tasks)),
        )
        values = {"status": MemberStatus.SUPERSEDED, "reason": reason}
        return self._db.write(lambda c: c.execute(change.values(**values)).rowcount)

    def waits(self, wave: int, task: str) -> bool:
        """Return whether a member has not begun, and may."""
        query = (
            select(wave_members.c.status)
            .join(waves, waves.c.number == wave_members.c.wave)
            .where(wave_members.c.wave == wave, wave_members.c.task == task)
            .where(waves.c.status == WaveStatus.RUNNING)
        )
        return self._db.read(lambda c: c.execute(query).scalar()) == MemberStatus.WAITING

    def restored(
        self, wave: int, task: str, run: str, record: Mapping[str, Any], *, reason: str
    ) -> bool:
        """Write that a waiting member's tags mean again what an earlier run pushed.

        What is known of the task is what that run's record says, and what its tags became
        is the wave's own doing. False if the member does not wait any more.
        """

        def work(connection: Connection) -> bool:
            moved = connection.execute(
                update(wave_members)
                .where(wave_members.c.wave == wave, wave_members.c.task == task)
                .where(wave_members.c.status == MemberStatus.WAITING)
                .values(status=MemberStatus.RESTORED, run_id=run, reason=reason)
            )
            if not moved.rowcount:
                return False
            record_edges(connection, task, run, record)
            outputs = select(image_outputs.c.reference, image_outputs.c.digest)
            for name, digest in connection.execute(
                outputs.where(image_outputs.c.task == task)
            ).all():
                mine = image_watches.c.reference == name
                # Who looked in between has seen it already.
                connection.execute(
                    update(image_changes)
                    .where(image_changes.c.reference == name, image_changes.c.new == digest)
                    .where(image_changes.c.wave == 0)
                    .values(wave=wave)
                )
                old = connection.execute(select(image_watches.c.digest).where(mine)).scalar()
                if not old or not digest or old == digest:
                    continue
                connection.execute(
                    update(image_watches)
                    .where(mine)
                    .values(digest=digest, changed=now(), via="restore")
                )
                change = {"reference": name, "old": old, "new": digest, "via": "restore"}
                connection.execute(insert(image_changes).values(**change, seen=now(), wave=wave))
            return True

        return self._db.write(work)

    def overtaken(self) -> frozenset[str]:
        """Return the tasks that the wave before the open one left to it."""
        newest = (
            select(wave_members.c.task, func.max(wave_members.c.wave).label("wave"))
            .join(waves, waves.c.number == wave_members.c.wave)
            .where(waves.c.status.not_in(_OPEN))
            .group_by(wave_members.c.task)
            .subquery()
        )
        query = (
            select(wave_members.c.task)
            .join(
                newest,
                (newest.c.task == wave_members.c.task) & (newest.c.wave == wave_members.c.wave),
            )
            .where(wave_members.c.status == MemberStatus.SUPERSEDED)
        )
        return self._db.read(lambda c: frozenset(c.execute(query).scalars()))

    def last_of(self, task: str) -> Wave | None:
        """Return the newest wave that has a task as a member, or refused it."""
        query = select(func.max(wave_members.c.wave)).where(wave_members.c.task == task)
        number = self._db.read(lambda c: c.execute(query).scalar_one())
        return None if number is None else self.wave(number)

    def ended(self, wave: int) -> tuple[str, ...]:
        """Return the ids of runs of running members that are over, or gone."""
        query = (
            select(wave_members.c.run_id)
            .outerjoin(runs, runs.c.id == wave_members.c.run_id)
            .where(wave_members.c.wave == wave, wave_members.c.status == MemberStatus.RUNNING)
            .where(wave_members.c.run_id != "")
            .where(or_(runs.c.id.is_(None), runs.c.finished.is_not(None)))
        )
        return self._db.read(lambda c: tuple(c.execute(query).scalars()))

    def move(
        self,
        wave: int,
        task: str,
        was: MemberStatus,
        status: MemberStatus,
        *,
        reason: str = "",
        run_id: str | None = None,
    ) -> bool:
        """Move a member on from ``was``; False if it is not there any more."""
        values = {"status": status, "reason": reason}
        if run_id is not None:
            values["run_id"] = run_id
        change = update(wave_members).where(
            wave_members.c.wave == wave, wave_members.c.task == task, wave_members.c.status == was
        )
        return self._db.write(lambda c: bool(c.execute(change.values(**values)).rowcount))

    def set_status(
        self, wave: int, was: Sequence[WaveStatus], status: WaveStatus, *, reason: str = ""
    ) -> bool:
        """Move a wave on; False if it stands elsewhere. An end is for ever."""

        def work(connection: Connection) -> bool:
            values: dict[str, Any] = {"status": status}
            if reason:
                values["reason"] = reason
            if status.finished:
                values["finished"] = now()
            if status is WaveStatus.RUNNING:
                values["resumed"] = now()
            done = connection.execute(
                update(waves)
                .where(waves.c.number == wave, waves.c.status.in_(was))
                .values(**values)
            )
            if status is WaveStatus.CANCELED and done.rowcount:
                connection.execute(
                    update(wave_members)
                    .where(
                        wave_members.c.wave == wave,
                        wave_members.c.status == MemberStatus.WAITING,
                    )
                    .values(status=MemberStatus.CANCELED, reason="the wave was canceled")
                )
            return bool(done.rowcount)

        return self._db.write(work)

    def _waves(self, which: Any, *, newest_first: bool, limit: int) -> tuple[Wave, ...]:
        order = waves.c.number.desc() if newest_first else waves.c.number

        def work(connection: Connection) -> tuple[Wave, ...]:
            rows = list(connection.execute(select(waves).where(which).order_by(order).limit(limit)))
            numbers = [row.number for row in rows]
            members: dict[int, list[Member]] = {number: [] for number in numbers}
            changes: dict[int, list[Change]] = {number: [] for number in numbers}
            for row in connection.execute(
                select(wave_members)
                .where(wave_members.c.wave.in_(numbers))
                .order_by(wave_members.c.position)
            ):
                members[row.wave].append(_member(row))
            for row in connection.execute(
                select(image_changes)
                .where(image_changes.c.wave.in_(numbers))
                .order_by(image_changes.c.number)
            ):
                changes[row.wave].append(change_of(row))
            return tuple(
                Wave(
                    row.number,
                    WaveStatus(row.status),
                    row.created,
                    row.finished,
                    tuple(changes[row.number]),
                    tuple(members[row.number]),
                    {task: tuple(path) for task, path in json.loads(row.refused).items()},
                    row.reason,
                    row.resumed is not None,
                    json.loads(row.pins),
                )
                for row in rows
            )

        return self._db.read(work)


def _under_way(connection: Connection, members: Sequence[Member]) -> bool:
    """Return whether an open wave has something to do for one of the members' tasks."""
    query = (
        select(wave_members.c.task)
        .join(waves, waves.c.number == wave_members.c.wave)
        .where(waves.c.status.in_(_OPEN))
        .where(wave_members.c.status.in_([MemberStatus.WAITING, MemberStatus.RUNNING]))
    )
    return not {member.task for member in members}.isdisjoint(connection.execute(query).scalars())


def change_of(row: Row[Any]) -> Change:
    """Return the change that a row of ``image_changes`` is."""
    return Change(row.number, row.reference, row.old, row.new, row.seen, row.via, row.wave)


def _member(row: Row[Any]) -> Member:
    return Member(
        row.task,
        row.position,
        tuple(json.loads(row.parents)),
        MemberStatus(row.status),
        row.run_id,
        row.reason,
    )
