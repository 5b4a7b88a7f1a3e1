"""Notifications, their deliveries, and the outbox of ended runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _float(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(precision=53), nullable=False)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "finished_runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        _float("time"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_finished_runs")),
    )
    op.create_table(
        "notifications",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        _text("address"),
        _text("events", "[]"),
        _text("tasks", "[]"),
        sa.Column("secrets", sa.Text(), nullable=False),
        _float("created"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notifications")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("notification", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        _text("event"),
        _text("body"),
        sa.Column("status", sa.Text(), nullable=False),
        _float("at"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("code", sa.Integer(), server_default="0", nullable=False),
        _text("problem"),
        _float("created"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["status", "at"])
    op.create_index("ix_deliveries_once", "deliveries", ["notification", "run_id"], unique=True)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("deliveries")
    op.drop_table("notifications")
    op.drop_table("finished_runs")
