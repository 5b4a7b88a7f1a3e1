"""Celery's worker, cut down to what we use of it, and stoppable from outside.

Called by ``consumer`` in its thread. Celery's own stop signals are one per
process; here every consumer has its own.
"""

from __future__ import annotations

import socket
import uuid
from typing import TYPE_CHECKING, Any

from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker.consumer import Consumer as CeleryConsumer

from tasks_service.config import Settings
from tasks_service.queue.app import JOB, make_app, queue_name

if TYPE_CHECKING:
    from kombu import Connection, Message

    from tasks_service.queue.consumer import Consumer

_TURN_S = 0.2
_CONSUMERS: dict[str, Consumer] = {}
"""By Celery's name of the worker: one function serves all consumers of a process."""


def consume(settings: Settings, ours: Consumer, concurrency: int) -> int:
    """Consume until ``ours`` ends; return Celery's exit code."""
    app = make_app(settings, publishes=False)
    app.task(_wake, name=JOB, bind=True, ignore_result=True, shared=False)
    app.finalize()
    # The pool's threads look for the job in the default app.
    app.set_default()
    name = f"{uuid.uuid4().hex[:12]}@{socket.gethostname()}"
    _CONSUMERS[name] = ours
    controller = WorkController(
        app=app,
        hostname=name,
        pool="threads",
        concurrency=concurrency,
        loglevel="ERROR",
        queues=[queue_name(settings, settings.pool)],
        consumer_cls=_consumer_class(ours),
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        task_events=False,
    )
    try:
        controller.start()
    finally:
        _CONSUMERS.pop(name, None)
        app.close()
    return controller.exitcode or 0


def _wake(job: Any, body: Any = None) -> None:
    ours = _CONSUMERS.get(job.request.hostname)
    if ours is not None:
        ours.take(body)


def _consumer_class(ours: Consumer) -> type[CeleryConsumer]:
    class OurConsumer(CeleryConsumer):  # type: ignore[misc] # Celery has no types
        def register_with_event_loop(self, hub: Any) -> None:
            super().register_with_event_loop(hub)
            hub.call_repeatedly(_TURN_S, self._turn)

        def perform_pending_operations(self) -> None:
            # Called with each turn of the loop of brokers without events.
            self._turn()
            super().perform_pending_operations()

        def _turn(self) -> None:
            if not ours.turned():
                raise WorkerShutdown(0)

        def on_ready(self) -> None:
            super().on_ready()
            ours.connected(yes=True)

        def on_close(self) -> None:
            ours.connected(yes=False)
            super().on_close()

        def ensure_connected(self, conn: Connection) -> Connection:
            def check() -> None:
                if ours.ends:
                    raise WorkerShutdown(0)

            # Not for ever silent: a broker that is away is known by `connected`.
            connected = conn.ensure_connection(
                None, None, interval_start=0, interval_step=0.5, interval_max=2, callback=check
            )
            self.first_connection_attempt = False
            return connected

        def on_unknown_message(self, body: Any, message: Message) -> None:
            del body
            self._refuse(message, "not a job")

        def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
            del body, exc
            self._refuse(message, "unknown job")

        def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:
            del body, exc
            self._refuse(message, "invalid job")

        def on_decode_error(self, message: Message, exc: Exception) -> None:
            del exc
            self._refuse(message, "not JSON")

        def _refuse(self, message: Message, reason: str) -> None:
            ours.drop(reason)
            message.ack_log_error(_SILENT, self.connection_errors)

    return OurConsumer


class _Silent:
    def error(self, *_words: Any, **_more: Any) -> None:
        """Say nothing: the connection is known to be gone."""


_SILENT = _Silent()
