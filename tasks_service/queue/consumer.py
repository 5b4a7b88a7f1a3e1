"""Consuming wake-ups: a Celery worker in a thread, started and stopped by ours.

In: ``on_wake``, called in one of ``concurrency`` threads for each message.
It survives a broker that goes away and comes back, in any order; what is no
message of ours is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tasks_service.config import Settings
from tasks_service.process_log import get_logger

_STOP_S = 5.0
_CHECK_S = 0.2
_log = get_logger(__name__)


class Bell:
    """Turns a loop that waits for files: one end for it, the other for any thread."""

    def __init__(self) -> None:
        self.reads, self._writes = os.pipe()
        os.set_blocking(self.reads, False)
        os.set_blocking(self._writes, False)
        # Not sooner: whoever rings late must not write into somebody else's file.
        weakref.finalize(self, _close, self.reads, self._writes)

    def ring(self) -> None:
        """Have the loop turn soon."""
        # Full: it will turn anyway.
        with suppress(BlockingIOError):
            os.write(self._writes, b"!")

    def clear(self) -> None:
        """Take all that was rung."""
        with suppress(BlockingIOError):
            os.read(self.reads, 4096)


def _close(*files: int) -> None:
    for file in files:
        os.close(file)


class Consumer:
    """Takes the wake-ups of one pool. Start it once, stop it once.

    Args:
        settings: The broker, and the pool.
        on_wake: Called with no lock held; may block for as long as its
            worker has no use for another message.
        concurrency: How many may block at once.
        wants: False leaves messages where they are, for other workers.

    Attributes:
        bell: Rung by ``ask``: turns Celery's loop.
        dropped: Messages that were none of ours, or of another version.
    """

    def __init__(
        self,
        settings: Settings,
        on_wake: Callable[[], None],
        *,
        concurrency: int,
        wants: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._on_wake = on_wake
        self._concurrency = concurrency
        self.wants = wants
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._heard = 0.0
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self.bell = Bell()
        self.dropped = 0
        self.exit_code: int | None = None
        """What Celery ended with by itself; None while it runs or was stopped."""

    def start(self) -> None:
        """Connect in the background, for as long as it takes."""
        self._thread = threading.Thread(target=self._serve, name="consumer", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have ``wants`` looked at now; else that is done a few times a second."""
        self.bell.ring()

    def await_ready(self, timeout_s: float) -> bool:
        """Wait until messages are taken; False if that did not come to pass."""
        return self._ready.wait(timeout_s)

    @property
    def alive(self) -> bool:
        """False once it ended, by ``stop`` or by itself."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def silent_s(self) -> float:
        """Seconds since its loop last turned; grows while the broker is away."""
        return time.monotonic() - self._heard

    def stop(self) -> None:
        """Take no more messages; return when none is in work, or after a few seconds."""
        self._stopping.set()
        if not self._settings.redis_url:
            self._knock()
        if self._thread is not None:
            self.ask()
            self._thread.join(_STOP_S)

    def _knock(self) -> None:
        # The loop of the embedded broker turns with a message, or every other second.
        from tasks_service.queue.publisher import BrokerQueue

        queue = BrokerQueue(self._settings)
        queue.wake(self._settings.pool)
        queue.close()

    def _serve(self) -> None:
        from tasks_service.queue.controller import consume

        # One line of ours says what is needed; Celery's tell it many times over.
        logging.getLogger("celery").setLevel(logging.ERROR)
        while not self._stopping.is_set():
            try:
                code = consume(self._settings, self, self._concurrency)
            except Exception:  # noqa: BLE001 - whatever broke, it is begun anew
                _log.exception("consumer_broke")
                code = 1
            if self._stopping.is_set():
                return
            self.exit_code = code
            _log.warning("consumer_restarts", code=code)
            self._stopping.wait(1)

    def turned(self) -> bool:
        """Be told that the loop turns; return False if it shall end."""
        self._heard = time.monotonic()
        return not self._stopping.is_set()

    @property
    def ends(self) -> bool:
        """True once it shall end."""
        return self._stopping.is_set()

    def connected(self, *, yes: bool) -> None:
        """Be told that the broker is there, or went away."""
        if yes:
            self._ready.set()
        else:
            self._ready.clear()

    def drop(self, reason: str) -> None:
        """Count a message that is none of ours."""
        with self._lock:
            self.dropped += 1
            count = self.dropped
        _log.warning("message_dropped", reason=reason, dropped=count)

    def take(self, body: Any) -> None:
        """Take the argument of one message."""
        from tasks_service.queue.app import VERSION

        if self._stopping.is_set():
            return
        if not isinstance(body, Mapping) or body.get("v") != VERSION:
            self.drop("another version")
            return
        try:
            self._on_wake()
        except Exception:  # noqa: BLE001 - one wake-up must not end its thread
            _log.exception("wake_broke")
