"""Open the store: a database URL and keys in, repositories out."""

from __future__ import annotations

from runners.model.clock import SYSTEM_CLOCK, Clock
from tasks_service.store.access import (
    AuditStore,
    IdempotencyStore,
    TokenStore,
    UploadStore,
    WorkerStore,
)
from tasks_service.store.cascades import CascadeStore
from tasks_service.store.chunks import LogStore
from tasks_service.store.database import Database
from tasks_service.store.envelope import Envelope
from tasks_service.store.hooks import HookStore
from tasks_service.store.leases import LeaseStore
from tasks_service.store.notifications import NotificationStore
from tasks_service.store.polls import PollStore
from tasks_service.store.pushes import PushStore
from tasks_service.store.recovery import RecoveryStore
from tasks_service.store.reports import ReportStore
from tasks_service.store.rewrap import rewrap_all
from tasks_service.store.runs import RunStore
from tasks_service.store.tasks import TaskStore
from tasks_service.store.timers import TimerStore


class Store:
    """All repositories over one database. Thread-safe.

    Attributes:
        runs: People's side of runs.
        leases: Workers' side.
        recovery: The scheduler's side.
        logs: Logs not yet moved to the blob store.
        hooks: Commit triggers, and what was delivered to them.
        reports: Statuses of commits to post.
        polls: Looks at repositories.
        cascades: Base images, what moved, and waves of rebuilds.
    """

    def __init__(self, database: Database, envelope: Envelope) -> None:
        self.database = database
        self._envelope = envelope
        self.runs = RunStore(database, envelope)
        self.leases = LeaseStore(database, envelope)
        self.pushes = PushStore(database)
        self.recovery = RecoveryStore(database)
        self.logs = LogStore(database)
        self.tasks = TaskStore(database, envelope)
        self.notifications = NotificationStore(database, envelope)
        self.timers = TimerStore(database, envelope)
        self.hooks = HookStore(database, envelope)
        self.reports = ReportStore(database, envelope)
        self.polls = PollStore(database, envelope)
        self.tokens = TokenStore(database)
        self.audit = AuditStore(database)
        self.workers = WorkerStore(database)
        self.uploads = UploadStore(database)
        self.idempotency = IdempotencyStore(database)
        self.cascades = CascadeStore(database)

    def rewrap(self) -> int:
        """Put every sealed secret under the newest key; return how many there are.

        One transaction a row: safe to stop and to call again.

        Raises:
            SealBroken: One can't be opened; those before it are done.
        """
        return rewrap_all(self.database, self._envelope)

    def close(self) -> None:
        """Let go of all connections."""
        self.database.close()


def open_store(
    url: str, envelope: Envelope, *, clock: Clock = SYSTEM_CLOCK, pool_size: int = 20
) -> Store:
    """Return the store at ``url``; nothing is connected yet, no schema is made.

    Raises:
        InvalidInput: The URL names no database of ours.
    """
    return Store(Database(url, clock=clock, pool_size=pool_size), envelope)
