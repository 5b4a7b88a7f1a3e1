"""The duty of notifications: plan who is told of ended runs, and tell them.

At least once, by any number of schedulers; a receiver knows a repetition by
its ``webhook-id``. What can't be delivered is kept as dead, and shown.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

from runners.model.errors import RunnerError
from tasks_service.config import Settings
from tasks_service.model.notification import Delivery, Notification
from tasks_service.model.run import Run
from tasks_service.notifiers.message import body_of, event_of
from tasks_service.notifiers.send import send
from tasks_service.process_log import get_logger
from tasks_service.runs.checks import Rules
from tasks_service.scheduler.loop import Duty
from tasks_service.store import Store

EVERY_S = 1.0
HOLD_S = 60.0
BACK_OFF_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits between attempts, as Standard Webhooks proposes: three days in all."""
KEPT_S = 30 * 86_400.0
_BATCH = 100
_AT_ONCE = 8
_log = get_logger(__name__)


class NoticeDuty:
    """Tells receivers of ended runs. Thread-safe."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._public_url = settings.public_url
        self._policy = Rules.of(settings).policy

    def group(self) -> tuple[Duty, ...]:
        """Return its duties; slow receivers hold up no others."""
        return (
            Duty("plan_notices", EVERY_S, self.plan),
            Duty("deliver_notices", EVERY_S, self.deliver),
            Duty("forget_notices", 3600.0, self.forget),
        )

    def plan(self) -> bool:
        """Store a delivery for each receiver of each ended run."""
        found = self._store.notifications.ended(limit=_BATCH)
        known = self._store.notifications.list() if found else ()
        for run_id in found:
            run = self._store.runs.get(run_id) if known else None
            messages = self._messages(run, known) if run is not None else []
            self._store.notifications.plan(run_id, messages)
        return len(found) == _BATCH

    def _messages(
        self, run: Run, known: tuple[Notification, ...]
    ) -> list[tuple[str, str, str, str]]:
        task, found = run.task, []
        before = self._store.notifications.status_before(task, run.sequence) if task else None
        for one in known:
            if event := event_of(one, run, before):
                message = f"msg_{secrets.token_hex(12)}"
                body = body_of(one.kind, event, run, delivery=message, public_url=self._public_url)
                found.append((message, one.name, event, body))
        return found

    def deliver(self) -> bool:
        """Send what is due, several at once; slow ones end by their limit."""
        found = self._store.notifications.take(hold_s=HOLD_S, limit=_AT_ONCE)
        if not found:
            return False
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._deliver, found))
        return True

    def forget(self) -> bool:
        """Forget deliveries of last month."""
        self._store.notifications.forget(older_than_s=KEPT_S)
        return False

    def _deliver(self, one: Delivery) -> None:
        try:
            receiver = self._store.notifications.receiver(one.notification)
        except RunnerError as error:
            self._store.notifications.failed(one, 0, error.message, retry_s=None)
            return
        if receiver is None:
            return
        sent = send(receiver, one.id, one.body, self._policy)
        if sent.taken:
            self._store.notifications.delivered(one, sent.code)
            return
        last = sent.final or one.attempts > len(BACK_OFF_S)
        retry = None if last else float(BACK_OFF_S[one.attempts - 1])
        self._store.notifications.failed(one, sent.code, sent.problem, retry_s=retry)
        _log.warning(
            "notice_not_delivered",
            notification=one.notification,
            delivery=one.id,
            attempts=one.attempts,
            dead=last,
            error=sent.problem,
        )
