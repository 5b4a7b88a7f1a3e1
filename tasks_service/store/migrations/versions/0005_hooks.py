"""Commit triggers, and what was delivered to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "commit_hooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["task"], ["tasks.name"], name=op.f("fk_commit_hooks_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commit_hooks")),
        sa.UniqueConstraint("task", "name", name=op.f("uq_commit_hooks_task")),
    )
    op.create_table(
        "pushes",
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.Column("received", sa.Float(precision=53), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), server_default="", nullable=False),
        sa.Column("commit_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("reported", sa.Text(), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("report_at", sa.Float(precision=53), nullable=True),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.Column("event", sa.Text(), server_default="", nullable=False),
        sa.Column("via", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["hook"], ["commit_hooks.id"], name=op.f("fk_pushes_hook"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hook", "meaning", name=op.f("pk_pushes")),
    )
    op.create_index(op.f("ix_commit_hooks_place"), "commit_hooks", ["place"])
    op.create_index(op.f("ix_pushes_report_at"), "pushes", ["report_at"])
    op.create_index(op.f("ix_pushes_hook"), "pushes", ["hook", "received"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("pushes")
    op.drop_table("commit_hooks")
