"""Notifications of runs that wait for approval, beside those of their ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ONCE = "ix_deliveries_once"


def upgrade() -> None:
    """Let a receiver be told of a run twice: before and at its end."""
    op.add_column(
        "deliveries", sa.Column("early", sa.Integer(), server_default="0", nullable=False)
    )
    op.drop_index(op.f(_ONCE), "deliveries")
    op.create_index(op.f(_ONCE), "deliveries", ["notification", "run_id", "early"], unique=True)


def downgrade() -> None:
    """Forget what came before ends."""
    op.execute("DELETE FROM deliveries WHERE early <> 0")
    op.execute("DELETE FROM finished_runs WHERE run_id LIKE 'held/%'")
    op.drop_index(op.f(_ONCE), "deliveries")
    op.create_index(op.f(_ONCE), "deliveries", ["notification", "run_id"], unique=True)
    op.drop_column("deliveries", "early")
