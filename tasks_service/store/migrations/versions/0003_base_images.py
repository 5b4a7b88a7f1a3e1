"""Base images: edges, outputs, watched references, changes and waves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "image_changes",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), server_default="", nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("seen", sa.Float(precision=53), nullable=False),
        sa.Column("via", sa.Text(), server_default="", nullable=False),
        sa.Column("wave", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_image_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_image_changes_reference", "image_changes", ["reference", "number"], unique=False
    )
    op.create_index("ix_image_changes_wave", "image_changes", ["wave"], unique=False)
    op.create_table(
        "image_edges",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("task", "reference", "role", name=op.f("pk_image_edges")),
    )
    op.create_index("ix_image_edges_reference", "image_edges", ["reference"], unique=False)
    op.create_table(
        "image_outputs",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_image_outputs")),
    )
    op.create_index("ix_image_outputs_task", "image_outputs", ["task"], unique=False)
    op.create_table(
        "image_watches",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("via", sa.Text(), server_default="", nullable=False),
        sa.Column("checked", sa.Float(precision=53), nullable=True),
        sa.Column("changed", sa.Float(precision=53), nullable=True),
        sa.Column("due", sa.Float(precision=53), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("hinted", sa.Text(), server_default="", nullable=False),
        sa.Column("hint_tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_image_watches")),
    )
    op.create_index("ix_image_watches_due", "image_watches", ["due"], unique=False)
    op.create_index("ix_image_watches_name", "image_watches", ["name"], unique=False)
    op.create_table(
        "waves",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("finished", sa.Float(precision=53), nullable=True),
        sa.Column("refused", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_waves")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_waves_status", "waves", ["status"], unique=False)
    op.create_table(
        "wave_members",
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parents", sa.Text(), server_default="[]", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["wave"], ["waves.number"], name=op.f("fk_wave_members_wave"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("wave", "task", name=op.f("pk_wave_members")),
    )
    op.create_index("ix_wave_members_task", "wave_members", ["task", "wave"], unique=False)
