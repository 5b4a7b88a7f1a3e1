"""Celery's worker, cut down to what we use of it, and stoppable from outside.

Called by ``consumer`` in its thread. Celery's own stop signals are one per
process; here every consumer has its own.
"""

from __future__ import annotations

import socket
import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from celery.concurrency.thread import TaskPool
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker import worker as celery_worker
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.serialization import loads

from tasks_service.config import Settings
from tasks_service.queue.app import JOB, make_app, queue_name

if TYPE_CHECKING:
    from tasks_service.queue.consumer import Consumer

JSON = "application/json"
_TURN_S = 0.2
_CONSUMERS: dict[str, Consumer] = {}
"""By Celery's name of the worker: one function serves all consumers of a process."""


# Celery would set a default timeout for every new socket of this process while a
# worker shuts down, and two at once may leave it set: runs and answers break.
# Our connections to the broker have timeouts of their own.
celery_worker.default_socket_timeout = lambda timeout: nullcontext()  # noqa: ARG005


def consume(settings: Settings, ours: Consumer, concurrency: int) -> int:
    """Consume until ``ours`` ends; return Celery's exit code."""
    app = make_app(settings, publishes=False)
    # Its name tells the consumer which messages are ours; what is done is _WakePool's.
    app.task(_wake, name=JOB, ignore_result=True, shared=False)
    app.finalize()
    name = f"{uuid.uuid4().hex[:12]}@{socket.gethostname()}"
    _CONSUMERS[name] = ours
    controller = WorkController(
        app=app,
        hostname=name,
        pool_cls=_pool_of(ours),
        concurrency=concurrency,
        loglevel="ERROR",
        queues=[queue_name(settings, settings.pool)],
        consumer_cls=_OurConsumer,
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        task_events=False,
    )
    try:
        controller.start()
    except WorkerShutdown:
        # It was asked to end while it ended already, or had no connection to end.
        controller.pool.stop()
    finally:
        _CONSUMERS.pop(name, None)
        app.close()
    return controller.exitcode or 0


def _wake(body: Any = None) -> None:
    del body


def _pool_of(ours: Consumer) -> type[_WakePool]:
    return type("WakePool", (_WakePool,), {"ours": ours})


class _WakePool(TaskPool):  # type: ignore[misc] # Celery has no types
    """Hands the argument of a message to our Consumer, in a thread.

    Celery's own way looks the job up in one application per process.
    """

    ours: Consumer

    def on_apply(
        self, target: Any, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any
    ) -> Any:
        del target
        return super().on_apply(self._take, args, kwargs, *rest, **options)

    def _take(self, *message: Any) -> tuple[int, None, float]:
        _, _, _, body, content_type, encoding = message
        try:
            arguments, _, _ = loads(  # type: ignore[no-untyped-call] # kombu has few types
                body, content_type, encoding, accept={JSON}
            )
            argument = arguments[0]
        except Exception:  # noqa: BLE001 - anybody may write into the queue
            self.ours.drop("not JSON")
        else:
            self.ours.take(argument)
        # Not failed, no result, no time: what Celery's callbacks take.
        return 0, None, 0.0


class _OurConsumer(CeleryConsumer):  # type: ignore[misc] # Celery has no types
    """Celery's consumer, told of by and obeying the Consumer of its worker's name."""

    _told = False

    @property
    def _ours(self) -> Consumer:
        return _CONSUMERS[self.hostname]

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_TURN_S, self._turn)
        bell = self._ours.bell
        hub.add_reader(bell.reads, bell.clear)

    def perform_pending_operations(self) -> None:
        # Called with each turn of the loop of brokers without events.
        self._turn()
        super().perform_pending_operations()

    def _turn(self) -> None:
        # Once is enough: Celery turns the loop again while it shuts down.
        if not self._ours.turned() and not self._told:
            self._told = True
            raise WorkerShutdown(0)

    def on_ready(self) -> None:
        super().on_ready()
        qos = self.task_consumer.channel.qos
        can_consume, ours = qos.can_consume, self._ours
        qos.can_consume = lambda: ours.wants() and can_consume()
        ours.connected(yes=True)

    def on_close(self) -> None:
        self._ours.connected(yes=False)
        super().on_close()

    def ensure_connected(self, conn: Any) -> Any:
        def check() -> None:
            if self._ours.ends:
                raise WorkerShutdown(0)

        # Not for ever silent: a broker that is away is known by `connected`.
        connected = conn.ensure_connection(
            None, None, interval_start=0, interval_step=0.5, interval_max=2, callback=check
        )
        self.first_connection_attempt = False
        return connected

    def on_unknown_message(self, body: Any, message: Any) -> None:
        del body
        self._refuse(message, "not a job")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        del body, exc
        self._refuse(message, "unknown job")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        del body, exc
        self._refuse(message, "invalid job")

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        del exc
        self._refuse(message, "not JSON")

    def _refuse(self, message: Any, reason: str) -> None:
        self._ours.drop(reason)
        message.ack_log_error(_SILENT, self.connection_errors)


class _Silent:
    def error(self, *_words: Any, **_more: Any) -> None:
        """Say nothing: the connection is known to be gone."""


_SILENT = _Silent()
