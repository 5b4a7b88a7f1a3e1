"""Digests that a wave is built with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them; open waves go on as they began."""
    op.add_column("waves", sa.Column("pins", sa.Text(), server_default="{}", nullable=False))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("waves", "pins")
