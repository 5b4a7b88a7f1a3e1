"""The tables of base images: edges, outputs, watched references, changes, waves.

Part of the same schema as ``tables``; apart from it for its size.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Table, Text

from tasks_service.store.tables import metadata


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _int(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=str(default))


image_edges = Table(
    "image_edges",
    metadata,
    Column("task", Text, primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    _text("digest"),
    _text("run_id"),
)
Index("ix_image_edges_reference", image_edges.c.reference)

image_outputs = Table(
    "image_outputs",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("task", Text, nullable=False),
    _text("digest"),
    _text("run_id"),
)
Index("ix_image_outputs_task", image_outputs.c.task)

image_watches = Table(
    "image_watches",
    metadata,
    Column("reference", Text, primary_key=True),
    # What follows the registry's host: notifications may name the host otherwise.
    Column("name", Text, nullable=False),
    _text("digest"),
    _text("via"),
    Column("checked", Float(53)),
    Column("changed", Float(53)),
    Column("due", Float(53), nullable=False),
    _int("failures"),
    _text("error"),
    _text("hinted"),
    _int("hint_tries"),
)
Index("ix_image_watches_due", image_watches.c.due)
Index("ix_image_watches_name", image_watches.c.name)

image_changes = Table(
    "image_changes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("reference", Text, nullable=False),
    _text("old"),
    Column("new", Text, nullable=False),
    Column("seen", Float(53), nullable=False),
    _text("via"),
    # 0: not planned yet.
    _int("wave"),
    sqlite_autoincrement=True,
)
Index("ix_image_changes_wave", image_changes.c.wave)
Index("ix_image_changes_reference", image_changes.c.reference, image_changes.c.number)

waves = Table(
    "waves",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("status", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("finished", Float(53)),
    _text("refused", "{}"),
    _text("pins", "{}"),
    # Why it is held, and when a person let it go on.
    _text("reason"),
    Column("resumed", Float(53)),
    sqlite_autoincrement=True,
)
Index("ix_waves_status", waves.c.status)

wave_members = Table(
    "wave_members",
    metadata,
    Column("wave", Integer, ForeignKey("waves.number", ondelete="CASCADE"), primary_key=True),
    Column("task", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    _text("parents", "[]"),
    Column("status", Text, nullable=False),
    _text("run_id"),
    _text("reason"),
)
Index("ix_wave_members_task", wave_members.c.task, wave_members.c.wave)
