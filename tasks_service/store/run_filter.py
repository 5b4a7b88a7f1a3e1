"""What is asked of the list of runs: filters, globs, images, cursors of its pages."""

from __future__ import annotations

import base64
import binascii

from sqlalchemy import ColumnElement, Connection, Select, func, literal, or_, select

from runners.model.errors import InvalidInput
from tasks_service.model.run import RunFilter
from tasks_service.store.tables import run_images, runs

_MANY = 5000
"""So many runs are sorted in a few milliseconds."""


def conditions(which: RunFilter) -> list[ColumnElement[bool]]:
    """Return what a filter asks of rows of ``runs``, all of which must hold."""
    wanted: list[ColumnElement[bool]] = []
    if which.task:
        wanted.append(runs.c.task == which.task)
    if which.task_globs:
        wanted.append(or_(*(runs.c.task.like(_like(g), escape="\\") for g in which.task_globs)))
        wanted.append(runs.c.task != "")
    if which.statuses:
        wanted.append(runs.c.status.in_(which.statuses))
    if which.cause:
        wanted.append(runs.c.cause_kind == which.cause)
    if which.pool:
        wanted.append(runs.c.pool == which.pool)
    if which.commit:
        # Commits are hexadecimal: nothing that begins so sorts behind a "g".
        start = which.commit.lower()
        wanted += [runs.c.source_commit >= start, runs.c.source_commit < start + "g"]
    if which.image:
        wanted.append(runs.c.sequence.in_(_with_image(which.image)))
    if which.since is not None:
        wanted.append(runs.c.created >= which.since)
    if which.until is not None:
        wanted.append(runs.c.created < which.until)
    return wanted


def page_order(connection: Connection, which: RunFilter) -> ColumnElement[int]:
    """Return the order of a page, newest first, in a form that fits what is asked for.

    Runs of a few hours are found by their time and then sorted; where there are many, the
    page is full soon when runs are read from the newest on. A database that guesses reads
    the whole table for the first.
    """
    if which.since is None:
        return runs.c.sequence.desc()
    within = [runs.c.created >= which.since]
    if which.until is not None:
        within.append(runs.c.created < which.until)
    some = select(literal(1)).select_from(runs).where(*within).limit(_MANY + 1).subquery()
    found = connection.scalar(select(func.count()).select_from(some)) or 0
    # No index has this sum, so none is read for the order's sake.
    return runs.c.sequence.desc() if found > _MANY else (runs.c.sequence + 0).desc()


def _with_image(text: str) -> Select[tuple[int]]:
    name, at, digest = text.rpartition("@")
    query = select(run_images.c.run_sequence)
    if text.startswith("sha256:"):
        return query.where(run_images.c.digest == text)
    if at:
        return query.where(run_images.c.reference.like(like_prefix(name), escape="\\")).where(
            run_images.c.digest == digest
        )
    found = [run_images.c.reference == text]
    host, slash, path = text.partition("/")
    whole = bool(slash) and ("." in host or ":" in host or host == "localhost")
    tagged = ":" in (path if whole else text)
    if not tagged:
        found.append(run_images.c.reference.like(like_prefix(text) + ":%", escape="\\"))
    if not whole:
        # What leaves the registry out can't use the index.
        found += [
            run_images.c.reference.like(f"%/{like_prefix(text)}{end}", escape="\\")
            for end in ("", ":%")
        ]
    return query.where(or_(*found))


def like_prefix(text: str) -> str:
    """Return a text as the beginning of a pattern of LIKE, ``\\`` its escape."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _like(glob: str) -> str:
    return like_prefix(glob).replace("*", "%").replace("?", "_")


def cursor_of(sequence: int) -> str:
    """Return the cursor of the page that begins behind a run."""
    return base64.urlsafe_b64encode(f"r{sequence}".encode()).decode().rstrip("=")


def position(cursor: str) -> int:
    """Return the sequence of the run a cursor stands behind.

    Raises:
        InvalidInput: ``cursor`` is none of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if text[:1] == b"r" and text[1:].isdigit() and len(text) < 20:
            return int(text[1:])
    except (binascii.Error, ValueError):
        pass
    raise InvalidInput("the cursor is none of this list", hint="take it from the page before")
