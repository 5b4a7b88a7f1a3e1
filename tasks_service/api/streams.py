"""Open event streams: counted, bounded, and ended together when the server stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.to_thread

from tasks_service.errors import Busy

T = TypeVar("T")

MAX_STREAMS = 2000
_THREADS = 16


class Streams:
    """All event streams of one server. ``stop`` may be called from any thread."""

    def __init__(self, *, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: set[Stream] = set()
        self._stopping = False
        self._threads: anyio.CapacityLimiter | None = None

    def check(self) -> None:
        """Raise Busy if no stream may be opened now."""
        with self._lock:
            if self._stopping:
                raise Busy("the server is stopping", retry_after_s=2)
            if len(self._open) >= self._limit:
                raise Busy(f"{self._limit} logs are followed already", retry_after_s=15)

    @contextmanager
    def opened(self) -> Iterator[Stream]:
        """Return a stream that counts until the ``with`` statement ends."""
        if self._threads is None:
            # Its own: readers of logs must not take the threads of requests.
            self._threads = anyio.CapacityLimiter(_THREADS)
        stream = Stream(asyncio.get_running_loop(), self._threads)
        with self._lock:
            self._open.add(stream)
            if self._stopping:
                stream.stop()
        try:
            yield stream
        finally:
            with self._lock:
                self._open.discard(stream)

    def stop(self) -> None:
        """End all streams, and those that are opened from now on. Idempotent."""
        with self._lock:
            self._stopping = True
            found = list(self._open)
        for stream in found:
            stream.stop()

    def __len__(self) -> int:
        return len(self._open)


class Stream:
    """One open event stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: anyio.CapacityLimiter) -> None:
        self._loop = loop
        self._threads = threads
        self._stopped = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """True once it must end."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Make it end soon. Safe in any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def wait(self, seconds: float) -> None:
        """Return after a time, or at once when it must end."""
        with anyio.move_on_after(seconds):
            await self._stopped.wait()

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work``, which may block for a moment, in a thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._threads)
