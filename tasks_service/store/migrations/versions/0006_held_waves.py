"""Waves that stop by themselves, and that a person lets go on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add why a wave is held, and when a person resumed it."""
    op.add_column("waves", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.add_column("waves", sa.Column("resumed", sa.Float(precision=53), nullable=True))


def downgrade() -> None:
    """Remove both."""
    op.drop_column("waves", "resumed")
    op.drop_column("waves", "reason")
