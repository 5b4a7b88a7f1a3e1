"""Real parts that a fault may be done to: each has a port and a folder of its own."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks_service.devstack.databases import RedisServer

PATIENCE_S = 30.0


def quiet_port() -> int:
    """Return a free port that no client gets for its own end.

    A client that tries again and again to reach a dead server at such a port
    could reach itself, and the server would find its port taken.
    """
    for _ in range(100):
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Yield a Redis of its own, running; its user must be able to reach the folder."""
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    server = RedisServer(folder / "redis", quiet_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def await_that(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Wait until it holds; fail if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.02)
