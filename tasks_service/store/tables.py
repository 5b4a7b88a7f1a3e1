"""The tables. Times are seconds since the epoch, UTC; JSON is compact text.

What changes here needs a migration beside it (``migrations/versions``); a
test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _int(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=str(default))


runs = Table(
    "runs",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    _text("run_type"),
    _text("task"),
    _text("pool"),
    _int("lane"),
    Column("created", Float(53), nullable=False),
    Column("queued", Float(53), nullable=False),
    Column("started", Float(53)),
    Column("finished", Float(53)),
    Column("updated", Float(53), nullable=False),
    # A queued run without it is the outbox: no worker was told yet.
    Column("announced", Float(53)),
    _text("owner"),
    _int("fence"),
    _int("attempt"),
    Column("lease_until", Float(53)),
    Column("deadline", Float(53)),
    _text("cancel_reason"),
    _text("cancel_code"),
    Column("published", Boolean, nullable=False, server_default=text("false")),
    Column("held", Boolean, nullable=False, server_default=text("false")),
    _int("task_limit"),
    _text("supersede_key"),
    _text("source_commit"),
    _text("source_branch"),
    _text("error_code"),
    _text("error"),
    _text("hint"),
    _text("cause_kind"),
    _text("cause", "{}"),
    _text("request", "{}"),
    Column("secrets", Text),
    _text("steps", "[]"),
    Column("record", Text),
    _text("log_state", "open"),
    _int("log_chunks"),
    _int("log_bytes"),
    # Where the log went after the run; empty while it is in log_chunks.
    _text("log_blob"),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    sqlite_autoincrement=True,
)
_QUEUED = text("status = 'Queued'")
_ACTIVE = text("status IN ('Started', 'Running')")
Index(
    "ix_runs_queue",
    runs.c.pool,
    runs.c.lane,
    runs.c.sequence,
    sqlite_where=_QUEUED,
    postgresql_where=_QUEUED,
)
Index(
    "ix_runs_active",
    runs.c.lease_until,
    sqlite_where=_ACTIVE,
    postgresql_where=_ACTIVE,
)
Index("ix_runs_status", runs.c.status, runs.c.sequence)
Index("ix_runs_task", runs.c.task, runs.c.sequence)
Index("ix_runs_commit", runs.c.source_commit)
Index("ix_runs_cause", runs.c.cause_kind, runs.c.sequence)
Index("ix_runs_created", runs.c.created)
Index("ix_runs_finished", runs.c.finished)

run_images = Table(
    "run_images",
    metadata,
    Column(
        "run_sequence",
        Integer,
        ForeignKey("runs.sequence", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("reference", Text, primary_key=True),
    _text("digest"),
)
Index("ix_run_images_reference", run_images.c.reference)
Index("ix_run_images_digest", run_images.c.digest)

log_chunks = Table(
    "log_chunks",
    metadata,
    Column(
        "run_sequence",
        Integer,
        ForeignKey("runs.sequence", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True),
    _text("step"),
    _text("stream"),
    Column("time", Float(53), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("secrets", Text),
    _text("secret_names", "{}"),
    _int("version", 1),
    Column("created", Float(53), nullable=False),
    Column("updated", Float(53), nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("role", Integer, nullable=False),
    _text("tasks", "[]"),
    Column("created", Float(53), nullable=False),
    Column("expires", Float(53)),
    Column("last_used", Float(53)),
    Column("revoked", Boolean, nullable=False, server_default=text("false")),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("time", Float(53), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    _text("object"),
    _text("detail", "{}"),
    sqlite_autoincrement=True,
)
Index("ix_audit_object", audit.c.object, audit.c.number)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("pool", Text, nullable=False),
    _text("host"),
    _int("concurrency", 1),
    Column("started", Float(53), nullable=False),
    Column("seen", Float(53), nullable=False),
    _int("active"),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
)

uploads = Table(
    "uploads",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("used", Float(53), nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    _text("run_id"),
    Column("created", Float(53), nullable=False),
)

timers = Table(
    "timers",
    metadata,
    Column("task", Text, ForeignKey("tasks.name", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    # What its author wrote; another text is another timer, planned anew.
    Column("definition", Text, nullable=False),
    # Fire times count from here: nothing before it was missed.
    Column("since", Float(53), nullable=False),
    # The next fire time and the moment to act on it; without a due time it is
    # not planned yet, and looked at at once.
    Column("due", Float(53)),
    Column("at", Float(53), nullable=False),
    Column("planned", Float(53), nullable=False),
    Column("last_due", Float(53)),
    _text("last_run"),
    _text("problem"),
)
Index("ix_timers_at", timers.c.at)
Index("ix_timers_planned", timers.c.planned)

timer_fires = Table(
    "timer_fires",
    metadata,
    # No two runs for one fire time, whoever tries (F19).
    Column("task", Text, primary_key=True),
    Column("timer", Text, primary_key=True),
    Column("due", Float(53), primary_key=True),
    Column("fired", Float(53), nullable=False),
    _text("run_id"),
    _text("problem"),
)
Index("ix_timer_fires_fired", timer_fires.c.fired)

finished_runs = Table(
    "finished_runs",
    metadata,
    # The outbox: written with a run's end, or (``held/`` before the id) when one that waits
    # for approval comes; removed once receivers are planned.
    Column("run_id", Text, primary_key=True),
    Column("time", Float(53), nullable=False),
)

notifications = Table(
    "notifications",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    _text("address"),
    _text("events", "[]"),
    _text("tasks", "[]"),
    Column("secrets", Text, nullable=False),
    Column("created", Float(53), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("notification", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    _text("event"),
    _text("body"),
    Column("status", Text, nullable=False),
    Column("at", Float(53), nullable=False),
    _int("attempts"),
    _int("code"),
    _text("problem"),
    Column("created", Float(53), nullable=False),
    # 0 tells of the end of a run, 1 of what comes before it.
    _int("early"),
)
Index("ix_deliveries_due", deliveries.c.status, deliveries.c.at)
Index(
    "ix_deliveries_once",
    deliveries.c.notification,
    deliveries.c.run_id,
    deliveries.c.early,
    unique=True,
)
