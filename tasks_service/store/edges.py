"""Write down what a good run of a stored task stood on and pushed.

Called in the transaction that ends the run: a run that succeeded has its
edges, and one that failed erases none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from runners.model.errors import InvalidInput
from runners.model.image import ImageRef
from tasks_service.store.cascade_tables import image_edges, image_outputs, image_watches
from tasks_service.store.database import moment


def canonical(reference: str) -> str:
    """Return the full name with tag and without digest; empty where it is no reference."""
    try:
        found = ImageRef.parse(reference.partition("@")[0]).with_default_tag()
    except InvalidInput:
        return ""
    return found.canonical


def record_edges(connection: Connection, task: str, run_id: str, record: Mapping[str, Any]) -> None:
    """Replace what is known of a task by what its run's record says.

    A run that built nothing (a task of commands only) leaves all as it is.
    """
    edges = _edges(record.get("baseImages") or ())
    _complete(connection, edges)
    outputs = _outputs(record.get("outputImages") or ())
    if not edges and not outputs:
        return
    connection.execute(delete(image_edges).where(image_edges.c.task == task))
    if edges:
        connection.execute(
            insert(image_edges),
            [
                {"task": task, "reference": name, "role": role, "digest": digest, "run_id": run_id}
                for (name, role), digest in edges.items()
            ],
        )
    gone = (image_outputs.c.task == task) | image_outputs.c.reference.in_(list(outputs))
    connection.execute(delete(image_outputs).where(gone))
    if outputs:
        connection.execute(
            insert(image_outputs),
            [
                {"reference": name, "task": task, "digest": digest, "run_id": run_id}
                for name, digest in outputs.items()
            ],
        )
    _watch(connection, {name for name, _ in edges})


def _edges(bases: Any) -> dict[tuple[str, str], str]:
    # Steps of one run may use a reference while it moves: the older digest
    # counts, so that the difference is seen.
    found: dict[tuple[str, str], str] = {}
    for base in bases:
        name = canonical(str(base.get("reference", "")))
        digest = str(base.get("digest", ""))
        if name and base.get("pinned") is True and digest:
            # It stands on that digest, whatever becomes of the tag.
            name = f"{name}@{digest}"
        if name:
            found.setdefault((name, str(base.get("role", ""))), digest)
    return found


def _complete(connection: Connection, edges: dict[tuple[str, str], str]) -> None:
    """Fill in digests that the engine did not tell: what is known of the reference now."""
    unknown = {name for (name, _), digest in edges.items() if not digest}
    if not unknown:
        return
    query = select(image_watches.c.reference, image_watches.c.digest)
    known = connection.execute(query.where(image_watches.c.reference.in_(unknown)))
    digests = {row.reference: row.digest for row in known}
    for name, role in list(edges):
        edges[name, role] = edges[name, role] or digests.get(name, "")


def _outputs(images: Any) -> dict[str, str]:
    found = {canonical(str(i.get("reference", ""))): str(i.get("digest", "")) for i in images}
    found.pop("", None)
    return found


def _watch(connection: Connection, references: set[str]) -> None:
    """Have references looked after from now on; those without a task no more."""
    references = {name for name in references if "@" not in name}
    known = set(
        connection.execute(
            select(image_watches.c.reference).where(image_watches.c.reference.in_(references))
        ).scalars()
    )
    for reference in sorted(references - known):
        connection.execute(
            insert(image_watches).values(
                reference=reference, name=reference.partition("/")[2], due=moment(connection)
            )
        )
    used = select(image_edges.c.reference)
    connection.execute(delete(image_watches).where(image_watches.c.reference.not_in(used)))


def forget_task(connection: Connection, task: str) -> None:
    """Forget what a task stood on and pushed: it is deleted."""
    connection.execute(delete(image_edges).where(image_edges.c.task == task))
    connection.execute(delete(image_outputs).where(image_outputs.c.task == task))
    _watch(connection, set())
