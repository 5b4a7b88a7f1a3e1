"""The duties of a scheduler: announce, reap, end what is overdue, clean up.

In: stores, a queue, settings. Out: rows changed; see each method. All may be
done twice, late or by several schedulers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time
from typing import Protocol

from runners.model.errors import RunnerError
from tasks_service.blobs import BlobStore
from tasks_service.config import Settings
from tasks_service.process_log import get_logger
from tasks_service.runs.announcer import Wake
from tasks_service.scheduler.loop import Duty
from tasks_service.store import Store

_log = get_logger(__name__)

MOVE_AFTER_S = 60.0
"""Logs stay in the database so long after the end: most readers come at once."""
UPLOADS_KEPT_S = 7 * 86400.0
KEYS_KEPT_S = 7 * 86400.0
HOUSEKEEPING_S = 60.0
_BATCH = 50


class Logs(Protocol):
    """Where finished logs go (``runs.logs.RunLogs``)."""

    def archive(self, run_id: str) -> bool:
        """Move a finished run's log into its blob."""
        ...

    def delete(self, run_id: str) -> None:
        """Remove the blob of a run."""
        ...


class Duties:
    """What a scheduler does. Thread-safe."""

    def __init__(
        self, store: Store, logs: Logs, uploads: BlobStore, queue: Wake, settings: Settings
    ) -> None:
        self._store = store
        self._logs = logs
        self._uploads = uploads
        self._queue = queue
        self._settings = settings
        self.lost = 0
        """Leases that ran out, since the start."""

    def groups(self) -> tuple[tuple[Duty, ...], tuple[Duty, ...]]:
        """Return all duties: what runs wait for, and housekeeping."""
        often = self._settings.sweep
        return (
            (
                Duty("reap", often, self.reap),
                Duty("overdue", often, self.overdue),
                Duty("announce", often, self.announce),
            ),
            (
                Duty("move_logs", HOUSEKEEPING_S, self.move_logs),
                Duty("forget_runs", HOUSEKEEPING_S, self.forget_runs),
                Duty("forget_uploads", HOUSEKEEPING_S, self.forget_uploads),
                Duty("forget_keys", HOUSEKEEPING_S, self.forget_keys),
            ),
        )

    def announce(self) -> bool:
        """Tell workers of runs nobody was told of, or nobody took for a while."""
        found = self._store.recovery.unannounced(older_than_s=self._settings.requeue_after)
        for pool in found:
            self._queue.wake(pool)
            self._store.recovery.announced(pool)
        return False

    def reap(self) -> bool:
        """Queue again, or end, the runs of workers that are lost."""

        def one(run_id: str) -> None:
            reaped = self._store.recovery.reap(run_id, retries=self._settings.infra_retries)
            if reaped is not None:
                self.lost += 1
                _log.warning(
                    "worker_lost",
                    run_id=run_id,
                    worker=reaped.owner,
                    pool=reaped.pool,
                    status=str(reaped.status),
                )

        return self._each("reap", self._store.recovery.lost(limit=_BATCH), one)

    def overdue(self) -> bool:
        """Ask runs beyond their time to stop, whether their workers still think or not."""
        for run_id in self._store.recovery.overdue():
            _log.warning("run_overdue", run_id=run_id)
        return False

    def move_logs(self) -> bool:
        """Move logs of finished runs from the database to the blob store."""
        found = self._store.logs.unmoved(older_than_s=MOVE_AFTER_S, limit=_BATCH)
        return self._each("move_logs", found, self._logs.archive)

    def forget_runs(self) -> bool:
        """Forget finished runs beyond retention, unless they are archived."""
        found = self._store.recovery.old(older_than_s=self._settings.retention, limit=_BATCH)

        def one(run_id: str) -> None:
            # The other way round, a crash in between would leave the blob for ever.
            self._logs.delete(run_id)
            self._store.recovery.delete(run_id)

        return self._each("forget_runs", [run_id for run_id, _ in found], one)

    def forget_uploads(self) -> bool:
        """Remove uploads that no run used for a week."""
        found = self._store.uploads.unused(older_than_s=UPLOADS_KEPT_S, limit=_BATCH)

        def one(digest: str) -> None:
            if not self._store.uploads.forget(digest, older_than_s=UPLOADS_KEPT_S):
                return
            stat = self._uploads.stat(digest)
            # It may be sent again at this moment: fresh bytes stay.
            if stat is not None and stat.modified < time() - UPLOADS_KEPT_S:
                self._uploads.delete(digest)

        return self._each("forget_uploads", found, one)

    def forget_keys(self) -> bool:
        """Forget idempotency keys of last week, and workers that are long gone."""
        self._store.recovery.forget_keys(older_than_s=KEYS_KEPT_S)
        return False

    def _each(self, duty: str, found: Iterable[str], one: Callable[[str], object]) -> bool:
        """Do ``one`` for each; one that fails is told and left for the next time.

        Returns:
            Whether there may be more.

        Raises:
            RunnerError: All of them failed.
        """
        done, failed = 0, None
        for name in found:
            try:
                one(name)
                done += 1
            except RunnerError as error:
                failed = error
                _log.warning("left_for_later", duty=duty, object=name, error=error.message)
        if failed is not None and not done:
            raise failed
        return done >= _BATCH
