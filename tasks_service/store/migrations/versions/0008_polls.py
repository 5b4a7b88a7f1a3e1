"""Repositories that are looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COLUMNS = ("poll_at", "polled", "poll_problem", "poll_failures", "seen")


def upgrade() -> None:
    """Add what a look needs to know and leaves behind."""
    for column in (
        sa.Column("poll_at", sa.Float(precision=53), server_default="0", nullable=True),
        sa.Column("polled", sa.Float(precision=53), nullable=True),
        sa.Column("poll_problem", sa.Text(), server_default="", nullable=False),
        sa.Column("poll_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seen", sa.Text(), server_default="", nullable=False),
    ):
        op.add_column("commit_hooks", column)
    op.create_index(op.f("ix_commit_hooks_poll_at"), "commit_hooks", ["poll_at"])


def downgrade() -> None:
    """Remove it."""
    op.drop_index(op.f("ix_commit_hooks_poll_at"), "commit_hooks")
    for name in reversed(_COLUMNS):
        op.drop_column("commit_hooks", name)
