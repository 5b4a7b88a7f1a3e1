"""Base images in the database: what is watched, what moved, and waves.

Every change is made by one of the schedulers that try: a digest, a wave and a
member's status each move on from what they were, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update

from tasks_service.errors import NotFound
from tasks_service.model.cascade import (
    Change,
    Edge,
    Member,
    MemberStatus,
    Output,
    Past,
    Watch,
    Wave,
    WaveStatus,
)
from tasks_service.store.cascade_tables import (
    image_changes,
    image_edges,
    image_outputs,
    image_watches,
    wave_members,
    waves,
)
from tasks_service.store.database import Database, moment, now
from tasks_service.store.rows import dump
from tasks_service.store.tables import runs

_OPEN = (WaveStatus.RUNNING, WaveStatus.PAUSED)
_PLAN_LOCK = 7_201_954


class CascadeStore:
    """Edges, watches, changes and waves. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def graph(self) -> tuple[tuple[Edge, ...], tuple[Output, ...]]:
        """Return all edges and outputs, as of one moment."""

        def work(connection: Connection) -> tuple[tuple[Edge, ...], tuple[Output, ...]]:
            edges = connection.execute(select(image_edges).order_by(image_edges.c.task))
            outputs = connection.execute(select(image_outputs))
            return (
                tuple(Edge(r.task, r.reference, r.role, r.digest, r.run_id) for r in edges),
                tuple(Output(r.task, r.reference, r.digest, r.run_id) for r in outputs),
            )

        return self._db.read(work)

    def durations(self) -> dict[str, float]:
        """Return how long the last good run of each task took, seconds by task name."""
        query = select(image_outputs.c.task, runs.c.started, runs.c.finished).join_from(
            image_outputs, runs, runs.c.id == image_outputs.c.run_id
        )
        return self._db.read(
            lambda c: {
                row.task: row.finished - row.started
                for row in c.execute(query)
                if row.started is not None and row.finished is not None
            }
        )

    # --- watched references ---

    def watches(self) -> tuple[Watch, ...]:
        """Return all watched references, by name."""
        query = select(image_watches).order_by(image_watches.c.reference)
        return self._db.read(lambda c: tuple(_watch(row) for row in c.execute(query)))

    def due(self, *, limit: int) -> tuple[Watch, ...]:
        """Return references to be asked for now, the longest due first."""
        query = (
            select(image_watches)
            .where(image_watches.c.due <= now())
            .order_by(image_watches.c.due)
            .limit(limit)
        )
        return self._db.read(lambda c: tuple(_watch(row) for row in c.execute(query)))

    def hint(self, names: Mapping[str, str]) -> int:
        """Have references asked for at once, because a notification named them.

        Args:
            names: ``repository:tag`` without the registry's host → the digest
                that was told. Whatever is told, only the registry's own
                answer counts.

        Returns:
            How many are watched.
        """

        def work(connection: Connection) -> int:
            count = 0
            for name, digest in sorted(names.items()):
                done = connection.execute(
                    update(image_watches)
                    .where(image_watches.c.name == name, image_watches.c.digest != digest)
                    .values(due=now(), hinted=digest, hint_tries=0)
                )
                count += done.rowcount
            return count

        return self._db.write(work)

    def sweep(self) -> None:
        """Have every reference asked for at once: something may have been missed."""
        self._db.write(lambda c: c.execute(update(image_watches).values(due=now())))

    def checked(
        self, watch: Watch, digest: str, *, via: str, next_s: float, tries: int = 0
    ) -> bool:
        """Write what a registry answered; return whether the digest is another one now.

        The first digest of a reference is no change, unless some task was
        built with another. Of several that saw the same change one writes it.

        Args:
            watch: The reference as it was read.
            digest: What the registry says.
            via: How it was learned.
            next_s: Seconds until it is asked again.
            tries: Checks since a notification that is not confirmed yet; 0
                ends the waiting for it.
        """

        def work(connection: Connection) -> bool:
            values: dict[str, Any] = {
                "checked": now(),
                "due": now() + next_s,
                "failures": 0,
                "error": "",
                "hint_tries": tries,
            }
            if not tries:
                values["hinted"] = ""
            mine = image_watches.c.reference == watch.reference
            connection.execute(update(image_watches).where(mine).values(**values))
            old = watch.digest or _built_with(connection, watch.reference, digest)
            moved = connection.execute(
                update(image_watches)
                .where(mine, image_watches.c.digest == watch.digest)
                .where(image_watches.c.digest != digest)
                .values(digest=digest, changed=now(), via=via)
            ).rowcount
            if not moved or old in ("", digest):
                return False
            connection.execute(
                insert(image_changes).values(
                    reference=watch.reference, old=old, new=digest, seen=now(), via=via
                )
            )
            return True

        return self._db.write(work)

    def failed_check(self, watch: Watch, error: str, *, next_s: float) -> None:
        """Write that a registry could not be asked. What is known stays."""
        values = {"failures": watch.failures + 1, "error": error[:500], "due": now() + next_s}
        change = update(image_watches).where(image_watches.c.reference == watch.reference)
        self._db.write(lambda c: c.execute(change.values(**values)))

    # --- changes ---

    def unplanned(self) -> tuple[tuple[Change, ...], float]:
        """Return changes no wave was planned for, oldest first, and the database's time."""
        query = (
            select(image_changes).where(image_changes.c.wave == 0).order_by(image_changes.c.number)
        )
        return self._db.read(lambda c: (tuple(_change(row) for row in c.execute(query)), moment(c)))

    def changes_of(self, reference: str, *, limit: int = 20) -> tuple[Change, ...]:
        """Return the changes of a reference, newest first."""
        query = (
            select(image_changes)
            .where(image_changes.c.reference == reference)
            .order_by(image_changes.c.number.desc())
            .limit(limit)
        )
        return self._db.read(lambda c: tuple(_change(row) for row in c.execute(query)))

    def settle(self, numbers: Iterable[int], wave: int) -> None:
        """Note that changes belong to a wave; -1 is to none: nothing follows from them."""
        change = update(image_changes).where(
            image_changes.c.number.in_(list(numbers)), image_changes.c.wave == 0
        )
        self._db.write(lambda c: c.execute(change.values(wave=wave)))

    # --- waves ---

    def open_wave(
        self,
        changes: Sequence[int],
        members: Sequence[Member],
        refused: Mapping[str, tuple[str, ...]],
    ) -> int | None:
        """Write a wave for changes and return its number.

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
                .values(status=WaveStatus.RUNNING, created=now(), refused=dump(dict(refused)))
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

    def last_of(self, task: str) -> Wave | None:
        """Return the newest wave that has a task as a member, or refused it."""
        query = select(func.max(wave_members.c.wave)).where(wave_members.c.task == task)
        number = self._db.read(lambda c: c.execute(query).scalar_one())
        return None if number is None else self.wave(number)

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

    def set_status(self, wave: int, was: Sequence[WaveStatus], status: WaveStatus) -> bool:
        """Move a wave on; False if it stands elsewhere. An end is for ever."""

        def work(connection: Connection) -> bool:
            values: dict[str, Any] = {"status": status}
            if status.finished:
                values["finished"] = now()
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
                changes[row.wave].append(_change(row))
            return tuple(
                Wave(
                    row.number,
                    WaveStatus(row.status),
                    row.created,
                    row.finished,
                    tuple(changes[row.number]),
                    tuple(members[row.number]),
                    {task: tuple(path) for task, path in json.loads(row.refused).items()},
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


def _built_with(connection: Connection, reference: str, digest: str) -> str:
    """Return a digest that a task was built with and that is not ``digest``, or nothing."""
    found = connection.execute(
        select(image_edges.c.digest)
        .where(image_edges.c.reference == reference)
        .where(image_edges.c.digest.not_in(["", digest]))
        .limit(1)
    ).scalar_one_or_none()
    return found or ""


def _watch(row: Row[Any]) -> Watch:
    return Watch(
        row.reference,
        row.digest,
        row.via,
        row.checked,
        row.changed,
        row.due,
        row.failures,
        row.error,
        row.hinted,
        row.hint_tries,
    )


def _change(row: Row[Any]) -> Change:
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
