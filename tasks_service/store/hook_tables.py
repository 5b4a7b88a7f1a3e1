"""The tables of commit triggers: triggers with their secrets, and what arrived.

Part of the same schema as ``tables``; apart from it for its size.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from tasks_service.store.tables import metadata


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


commit_hooks = Table(
    "commit_hooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("task", Text, ForeignKey("tasks.name", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    # What it listens to; see ``hooks.place``.
    Column("place", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    # When the repository is looked at next; null is never.
    Column("poll_at", Float(53), server_default="0"),
    Column("polled", Float(53)),
    _text("poll_problem"),
    Column("poll_failures", Integer, nullable=False, server_default="0"),
    # What the last look saw; see ``polls.Seen``.
    _text("seen"),
    UniqueConstraint("task", "name"),
)

pushes = Table(
    "pushes",
    metadata,
    Column("hook", Text, ForeignKey("commit_hooks.id", ondelete="CASCADE"), primary_key=True),
    Column("meaning", Text, primary_key=True),
    Column("received", Float(53), nullable=False),
    Column("ref", Text, nullable=False),
    _text("before"),
    Column("commit_id", Text, nullable=False),
    _text("run_id"),
    _text("note"),
    _text("reported"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # When its status is looked at next; null is never again.
    Column("report_at", Float(53)),
    _text("problem"),
    _text("event"),
    _text("via"),
)
Index("ix_commit_hooks_place", commit_hooks.c.place)
Index("ix_commit_hooks_poll_at", commit_hooks.c.poll_at)
Index("ix_pushes_report_at", pushes.c.report_at)
Index("ix_pushes_hook", pushes.c.hook, pushes.c.received)
