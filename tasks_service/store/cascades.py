"""Base images in the database: what is watched, what moved, and waves.

Every change is made by one of the schedulers that try: a digest, a wave and a
member's status each move on from what they were, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Row,
    cast,
    func,
    insert,
    select,
    update,
)

from tasks_service.model.cascade import (
    Change,
    Edge,
    Output,
    Watch,
)
from tasks_service.model.task import BASES_ALL, BASES_NONE, ENABLED
from tasks_service.store.cascade_tables import (
    image_changes,
    image_edges,
    image_outputs,
    image_watches,
)
from tasks_service.store.database import moment, now
from tasks_service.store.tables import runs, tasks
from tasks_service.store.waves import WaveStore, change_of


class CascadeStore(WaveStore):
    """Edges, watches, changes and waves. Thread-safe."""

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

    def output_times(self) -> dict[str, float]:
        """Return when the runs ended that pushed what is known as outputs, by run id."""
        query = select(image_outputs.c.run_id, runs.c.finished).join_from(
            image_outputs, runs, runs.c.id == image_outputs.c.run_id
        )
        return self._db.read(
            lambda c: {r.run_id: r.finished for r in c.execute(query) if r.finished is not None}
        )

    def wishes(self) -> dict[str, str]:
        """Return which images each task wants to be rebuilt for: ``All``, ``Runtime``, ``None``.

        A disabled task wants nothing.
        """

        def member(name: str) -> ColumnElement[str]:
            if self._db.is_sqlite:
                found: ColumnElement[str] = func.json_extract(tasks.c.definition, f"$.{name}")
            else:
                found = cast(tasks.c.definition, JSON)[name].as_string()
            return found

        # What is as by default is not written.
        query = select(tasks.c.name, member("status"), member("base_image_trigger"))

        def work(connection: Connection) -> dict[str, str]:
            return {
                name: BASES_NONE if status not in (None, ENABLED) else wish or BASES_ALL
                for name, status, wish in connection.execute(query)
            }

        return self._db.read(work)

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
        self,
        watch: Watch,
        digest: str,
        *,
        via: str,
        next_s: float,
        tries: int = 0,
        equal: bool = False,
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
            equal: It is the same image under another digest: whoever was built with the
                one has the other, and nothing follows.
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
            if moved and not watch.digest:
                # Builds whose engine did not tell are taken to have used what was there.
                connection.execute(
                    update(image_edges)
                    .where(image_edges.c.reference == watch.reference, image_edges.c.digest == "")
                    .values(digest=digest)
                )
            if not moved or old in ("", digest):
                return False
            same = equal and old == watch.digest
            if same:
                connection.execute(
                    update(image_edges)
                    .where(image_edges.c.reference == watch.reference)
                    .where(image_edges.c.digest == old)
                    .values(digest=digest)
                )
            connection.execute(
                insert(image_changes).values(
                    reference=watch.reference,
                    old=old,
                    new=digest,
                    seen=now(),
                    via=via,
                    wave=-1 if same else 0,
                )
            )
            return not same

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
        return self._db.read(
            lambda c: (tuple(change_of(row) for row in c.execute(query)), moment(c))
        )

    def changes_of(self, reference: str, *, limit: int = 20) -> tuple[Change, ...]:
        """Return the changes of a reference, newest first."""
        query = (
            select(image_changes)
            .where(image_changes.c.reference == reference)
            .order_by(image_changes.c.number.desc())
            .limit(limit)
        )
        return self._db.read(lambda c: tuple(change_of(row) for row in c.execute(query)))

    def settle(self, numbers: Iterable[int], wave: int) -> None:
        """Note that changes belong to a wave; -1 is to none: nothing follows from them."""
        change = update(image_changes).where(
            image_changes.c.number.in_(list(numbers)), image_changes.c.wave == 0
        )
        self._db.write(lambda c: c.execute(change.values(wave=wave)))


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
