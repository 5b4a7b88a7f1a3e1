"""The duty of notifications: plan who is told of ended runs, and tell them.

At least once, by any number of schedulers; a receiver knows a repetition by
its ``webhook-id``. What can't be delivered is kept as dead, and shown.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from runners.model.errors import RunnerError
from tasks_service.config import Settings
from tasks_service.model.notification import HELD, Delivery, Notification
from tasks_service.model.run import Run
from tasks_service.notifiers import KINDS
from tasks_service.notifiers.message import event_of
from tasks_service.process_log import get_logger
from tasks_service.runs.checks import Rules
from tasks_service.scheduler.loop import Duty
from tasks_service.store import Store
from tasks_service.store.notifications import Message

EVERY_S = 1.0
HOLD_S = 60.0
BACK_OFF_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits between attempts, as Standard Webhooks proposes: three days in all."""
KEPT_S = 30 * 86_400.0
_BATCH = 100
_AT_ONCE = 16
_EACH = 4
"""Messages under way to one receiver: one that hangs holds up no other."""
_MOMENT_S = 0.25
_log = get_logger(__name__)


class NoticeDuty:
    """Tells receivers of ended runs. Thread-safe. Close it at the end."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._public_url = settings.public_url
        self._policy = Rules.of(settings).policy
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="notice")
        self._lock = threading.Lock()
        self._under_way: dict[Future[None], str] = {}

    def close(self) -> None:
        """Let messages under way end; what did not begin is taken up by others later."""
        self._pool.shutdown(cancel_futures=True)

    def group(self) -> tuple[Duty, ...]:
        """Return its duties; they must wait for no others."""
        return (
            Duty("plan_notices", EVERY_S, self.plan),
            Duty("deliver_notices", EVERY_S, self.deliver),
            Duty("forget_notices", 3600.0, self.forget),
        )

    def plan(self) -> bool:
        """Store a delivery for each receiver of each run that ended, or waits for approval."""
        found = self._store.notifications.ended(limit=_BATCH)
        known = self._store.notifications.list() if found else ()
        planned = {}
        for key in found:
            run = self._store.runs.get(key.removeprefix(HELD)) if known else None
            held = key.startswith(HELD)
            planned[key] = [] if run is None else self._messages(run, known, held=held)
        if planned:
            self._store.notifications.plan_all(planned)
        return len(found) == _BATCH

    def _messages(self, run: Run, known: tuple[Notification, ...], *, held: bool) -> list[Message]:
        task, found = run.task, []
        before = self._store.notifications.status_before(task, run.sequence) if task else None
        for one in known:
            if event := event_of(one, run, before, held=held):
                message = f"msg_{secrets.token_hex(12)}"
                body = KINDS[one.kind].body(
                    event, run, message=message, public_url=self._public_url
                )
                found.append((message, one.name, event, body))
        return found

    def deliver(self) -> bool:
        """Begin to send what is due, as much as there is room for.

        Returns:
            Whether something was begun: there may be more.
        """
        with self._lock:
            busy = Counter(self._under_way.values())
        room = _AT_ONCE - busy.total()
        if room <= 0:
            return False
        full = [name for name, count in busy.items() if count >= _EACH]
        found = self._store.notifications.take(hold_s=HOLD_S, limit=room, each=_EACH, without=full)
        kinds = {one.name: one.kind for one in self._store.notifications.list()} if found else {}
        for one in found:
            # Inside the lock: it may be done before it is noted here.
            with self._lock:
                future = self._pool.submit(self._deliver, one, kinds.get(one.notification, ""))
                self._under_way[future] = one.notification
            future.add_done_callback(self._landed)
        if found:
            self.rest(_MOMENT_S, FIRST_COMPLETED)
        return bool(found)

    def rest(self, timeout_s: float, until: str = "ALL_COMPLETED") -> bool:
        """Wait for messages under way; return whether there were any."""
        with self._lock:
            futures = list(self._under_way)
        wait(futures, timeout_s, until)
        return bool(futures)

    def _landed(self, future: Future[None]) -> None:
        with self._lock:
            self._under_way.pop(future, None)
        if not future.cancelled() and (error := future.exception()) is not None:
            # It is tried again when the hold is over.
            _log.warning("notice_lost", error=str(error) or type(error).__name__)

    def forget(self) -> bool:
        """Forget deliveries of last month."""
        self._store.notifications.forget(older_than_s=KEPT_S)
        return False

    def _deliver(self, one: Delivery, kind: str) -> None:
        try:
            receiver = self._store.notifications.receiver(one.notification)
        except RunnerError as error:
            self._store.notifications.failed(one, 0, error.message, retry_s=None)
            return
        if receiver is None or kind not in KINDS:
            return
        sent = KINDS[kind].send(receiver, one.id, one.body, self._policy)
        if sent.taken:
            self._store.notifications.delivered(one, sent.code, sent.problem)
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
