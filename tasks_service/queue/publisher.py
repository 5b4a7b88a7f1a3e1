"""Publishing wake-ups: bounded, whatever the broker does.

In: the name of a pool. Out: one message, or Unavailable within two seconds. A
thread of its own talks to the broker: neither a dead nor a hung one can hold
a caller longer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Protocol

from runners.model.errors import Unavailable
from tasks_service.config import Settings

WAKE_S = 2.0
_IDLE_S = 10.0


class Queue(Protocol):
    """Wakes workers. Thread-safe."""

    def wake(self, pool: str) -> None:
        """Wake an idle worker of the pool, if there is one.

        Raises:
            Unavailable: The broker did not take the message within WAKE_S.
                It may still be delivered.
        """
        ...

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        ...


class NoQueue:
    """No broker: workers of other processes look into the database by themselves."""

    def wake(self, pool: str) -> None:
        """See Queue; does nothing."""

    def close(self) -> None:
        """See Queue."""


class BrokerQueue:
    """A queue behind a broker. One thread talks to it, while there is something to say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        # Several callers for one pool share a message: any of it wakes all that is needed.
        self._waiting: OrderedDict[str, Future[None]] = OrderedDict()
        self._busy_since: float | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def wake(self, pool: str) -> None:
        """See Queue."""
        with self._changed:
            if self._closed:
                raise Unavailable("the queue is closed")
            if self._busy_since is not None and time.monotonic() - self._busy_since > WAKE_S:
                raise _silent()
            future = self._waiting.get(pool)
            if future is None:
                future = self._waiting[pool] = Future()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="wakes", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            future.result(WAKE_S)
        except NotYet:
            raise _silent() from None

    def close(self) -> None:
        """See Queue."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(WAKE_S)

    def _serve(self) -> None:
        publisher: _Publisher | None = None
        try:
            while (item := self._next()) is not None:
                pool, future = item
                try:
                    if publisher is None:
                        publisher = _Publisher(self._settings)
                    publisher.publish(pool)
                except Exception as error:  # noqa: BLE001 - the caller gets it, in our words
                    if publisher is not None:
                        publisher.close()
                        publisher = None
                    future.set_exception(
                        Unavailable(
                            f"the queue does not answer: {type(error).__name__}",
                            hint="check that Redis is up; runs wait in the database meanwhile",
                        )
                    )
                else:
                    future.set_result(None)
        finally:
            if publisher is not None:
                publisher.close()

    def _next(self) -> tuple[str, Future[None]] | None:
        with self._changed:
            self._busy_since = None
            while not self._waiting:
                ends = self._closed or not self._changed.wait(_IDLE_S)
                # Looked at again: somebody may have come in at the last moment.
                if ends and not self._waiting:
                    self._thread = None
                    return None
            self._busy_since = time.monotonic()
            return self._waiting.popitem(last=False)


class _Publisher:
    def __init__(self, settings: Settings) -> None:
        from tasks_service.queue.app import make_app

        self._settings = settings
        self._app = make_app(settings, publishes=True)

    def publish(self, pool: str) -> None:
        from tasks_service.queue.app import JOB, VERSION, queue_name

        self._app.send_task(
            JOB,
            args=[{"v": VERSION, "pool": pool}],
            queue=queue_name(self._settings, pool),
            ignore_result=True,
            retry=False,
        )

    def close(self) -> None:
        self._app.close()


def _silent() -> Unavailable:
    return Unavailable(
        f"the queue did not take a message within {WAKE_S:g} s",
        hint="check that Redis answers; runs wait in the database meanwhile",
    )


def open_queue(settings: Settings, *, embedded: bool = False) -> Queue:
    """Return the queue the settings name.

    Args:
        settings: Redis, where it names one.
        embedded: Workers run in this very process (``tasks up``): without
            Redis they are woken through memory. Elsewhere nobody would ever
            fetch such a message.
    """
    if settings.redis_url or embedded:
        return BrokerQueue(settings)
    return NoQueue()
