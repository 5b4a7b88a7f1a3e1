"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("time", sa.Float(precision=53), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_object", "audit", ["object", "number"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "runs",
        sa.Column("sequence", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("run_type", sa.Text(), server_default="", nullable=False),
        sa.Column("task", sa.Text(), server_default="", nullable=False),
        sa.Column("pool", sa.Text(), server_default="", nullable=False),
        sa.Column("lane", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("queued", sa.Float(precision=53), nullable=False),
        sa.Column("started", sa.Float(precision=53), nullable=True),
        sa.Column("finished", sa.Float(precision=53), nullable=True),
        sa.Column("updated", sa.Float(precision=53), nullable=False),
        sa.Column("announced", sa.Float(precision=53), nullable=True),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.Column("deadline", sa.Float(precision=53), nullable=True),
        sa.Column("cancel_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("cancel_code", sa.Text(), server_default="", nullable=False),
        sa.Column("published", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("task_limit", sa.Integer(), server_default="0", nullable=False),
        sa.Column("supersede_key", sa.Text(), server_default="", nullable=False),
        sa.Column("source_commit", sa.Text(), server_default="", nullable=False),
        sa.Column("source_branch", sa.Text(), server_default="", nullable=False),
        sa.Column("error_code", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("hint", sa.Text(), server_default="", nullable=False),
        sa.Column("cause_kind", sa.Text(), server_default="", nullable=False),
        sa.Column("cause", sa.Text(), server_default="{}", nullable=False),
        sa.Column("request", sa.Text(), server_default="{}", nullable=False),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.Column("steps", sa.Text(), server_default="[]", nullable=False),
        sa.Column("record", sa.Text(), nullable=True),
        sa.Column("log_state", sa.Text(), server_default="open", nullable=False),
        sa.Column("log_chunks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_bytes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_blob", sa.Text(), server_default="", nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_runs_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_runs_active",
        "runs",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("status IN ('Started', 'Running')"),
        postgresql_where=sa.text("status IN ('Started', 'Running')"),
    )
    op.create_index("ix_runs_cause", "runs", ["cause_kind", "sequence"], unique=False)
    op.create_index("ix_runs_commit", "runs", ["source_commit"], unique=False)
    op.create_index("ix_runs_created", "runs", ["created"], unique=False)
    op.create_index("ix_runs_finished", "runs", ["finished"], unique=False)
    op.create_index(
        "ix_runs_queue",
        "runs",
        ["pool", "lane", "sequence"],
        unique=False,
        sqlite_where=sa.text("status = 'Queued'"),
        postgresql_where=sa.text("status = 'Queued'"),
    )
    op.create_index("ix_runs_status", "runs", ["status", "sequence"], unique=False)
    op.create_index("ix_runs_task", "runs", ["task", "sequence"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.Column("secret_names", sa.Text(), server_default="{}", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("updated", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tasks")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("tasks", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("expires", sa.Float(precision=53), nullable=True),
        sa.Column("last_used", sa.Float(precision=53), nullable=True),
        sa.Column("revoked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
    op.create_table(
        "uploads",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Float(precision=53), nullable=False),
        sa.Column("used", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_uploads")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), server_default="", nullable=False),
        sa.Column("concurrency", sa.Integer(), server_default="1", nullable=False),
        sa.Column("started", sa.Float(precision=53), nullable=False),
        sa.Column("seen", sa.Float(precision=53), nullable=False),
        sa.Column("active", sa.Integer(), server_default="0", nullable=False),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "log_chunks",
        sa.Column("run_sequence", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text(), server_default="", nullable=False),
        sa.Column("stream", sa.Text(), server_default="", nullable=False),
        sa.Column("time", sa.Float(precision=53), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_sequence"],
            ["runs.sequence"],
            name=op.f("fk_log_chunks_run_sequence"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_sequence", "number", name=op.f("pk_log_chunks")),
    )
    op.create_table(
        "run_images",
        sa.Column("run_sequence", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["run_sequence"],
            ["runs.sequence"],
            name=op.f("fk_run_images_run_sequence"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_sequence", "reference", name=op.f("pk_run_images")),
    )
    op.create_index("ix_run_images_digest", "run_images", ["digest"], unique=False)
    op.create_index("ix_run_images_reference", "run_images", ["reference"], unique=False)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_run_images_reference", table_name="run_images")
    op.drop_index("ix_run_images_digest", table_name="run_images")
    op.drop_table("run_images")
    op.drop_table("log_chunks")
    op.drop_table("workers")
    op.drop_table("uploads")
    op.drop_table("tokens")
    op.drop_table("tasks")
    op.drop_index("ix_runs_task", table_name="runs")
    op.drop_index("ix_runs_status", table_name="runs")
    op.drop_index(
        "ix_runs_queue",
        table_name="runs",
        sqlite_where=sa.text("status = 'Queued'"),
        postgresql_where=sa.text("status = 'Queued'"),
    )
    op.drop_index("ix_runs_finished", table_name="runs")
    op.drop_index("ix_runs_created", table_name="runs")
    op.drop_index("ix_runs_commit", table_name="runs")
    op.drop_index("ix_runs_cause", table_name="runs")
    op.drop_index(
        "ix_runs_active",
        table_name="runs",
        sqlite_where=sa.text("status IN ('Started', 'Running')"),
        postgresql_where=sa.text("status IN ('Started', 'Running')"),
    )
    op.drop_table("runs")
    op.drop_table("idempotency")
    op.drop_index("ix_audit_object", table_name="audit")
    op.drop_table("audit")
