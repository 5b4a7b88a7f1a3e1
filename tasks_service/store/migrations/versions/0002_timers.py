"""Timers of stored tasks, and which of their fire times were acted on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "timers",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(precision=53), nullable=False),
        sa.Column("due", sa.Float(precision=53), nullable=True),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("planned", sa.Float(precision=53), nullable=False),
        sa.Column("last_due", sa.Float(precision=53), nullable=True),
        sa.Column("last_run", sa.Text(), server_default="", nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["task"], ["tasks.name"], name=op.f("fk_timers_task"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task", "name", name=op.f("pk_timers")),
    )
    op.create_index(op.f("ix_timers_at"), "timers", ["at"])
    op.create_index(op.f("ix_timers_planned"), "timers", ["planned"])
    op.create_table(
        "timer_fires",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("timer", sa.Text(), nullable=False),
        sa.Column("due", sa.Float(precision=53), nullable=False),
        sa.Column("fired", sa.Float(precision=53), nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("problem", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("task", "timer", "due", name=op.f("pk_timer_fires")),
    )
    op.create_index(op.f("ix_timer_fires_fired"), "timer_fires", ["fired"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("timer_fires")
    op.drop_table("timers")
