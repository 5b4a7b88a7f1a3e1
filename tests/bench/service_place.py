"""A service for the benchmark: real processes, runners that do nothing.

The API is a ``tasks server`` and the worker a process of its own; only its
runners are scripted. Both are children of the benchmark and end with it.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks_service.api.tokens import make_token
from tasks_service.config import Settings
from tasks_service.model.access import Role
from tasks_service.store import Store
from tests.bench.place import ROOT, BenchError
from tests.contract.stores import opened
from tests.faults.parts import quiet_port
from tests.faults.process import WorkerProcess
from tests.faults.service import Inside, task

PATIENCE_S = 120.0
NO_OP = {"source": "/dev/null", "content": task("image")}


class Connection:
    """One kept-alive connection to the API. Not thread-safe."""

    def __init__(self, address: str, token: str) -> None:
        self._link = http.client.HTTPConnection(address, timeout=PATIENCE_S)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's JSON.

        Raises:
            BenchError: It was refused.
        """
        data = None if body is None else json.dumps(body)
        self._link.request(method, path, body=data, headers=self._headers)
        answer = self._link.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise BenchError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return json.loads(text)

    def stream(self, path: str) -> http.client.HTTPResponse:
        """Return an answer to be read piece by piece."""
        self._link.request("GET", path, headers=self._headers)
        return self._link.getresponse()

    def close(self) -> None:
        """Let go of it."""
        self._link.close()


@dataclass
class Service:
    """A store with an API before it and, while ``working``, a worker behind it.

    Attributes:
        pids: Its processes.
    """

    store: Store
    settings: Settings
    address: str
    token: str
    pids: tuple[int, ...]

    def connect(self) -> Connection:
        """Return a connection of the caller's own."""
        return Connection(self.address, self.token)

    @contextmanager
    def working(self, concurrency: int) -> Iterator[WorkerProcess]:
        """Have a worker, until the block ends."""
        inside = Inside(self.settings, self.store)
        worker = WorkerProcess(inside, concurrency=concurrency, lease=60.0, heartbeat=10.0)
        try:
            yield worker
        finally:
            worker.end()

    def post(self, count: int, *, clients: int = 2, body: Any = None) -> list[str]:
        """Post so many runs, from several connections at once; return their ids."""
        wanted = body or {**NO_OP, "pool": self.settings.pool}
        found: list[str] = []
        failed: list[BaseException] = []

        def work(number: int) -> None:
            link = self.connect()
            try:
                found.extend(
                    link.call("POST", "/api/v1/runs", wanted)["id"]
                    for _ in range(number, count, clients)
                )
            except (OSError, BenchError) as error:
                failed.append(error)
            finally:
                link.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise BenchError(f"posting runs: {failed[0]}")
        return found

    def await_ended(self, count: int) -> None:
        """Return once so many runs have succeeded."""
        counts: dict[str, int] = {}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            counts = dict(self.store.recovery.counts())
            if counts.get("Succeeded", 0) >= count:
                return
            time.sleep(0.05)
        raise BenchError(f"runs did not end: {counts}")


def kinds() -> tuple[tuple[str, str], ...]:
    """Return the databases, each with the Redis beside it."""
    return (("postgresql", os.environ["TASKS_TEST_REDIS"]), ("sqlite", ""))


@contextmanager
def at_work(kind: str, redis_url: str, slots: int) -> Iterator[Service]:
    """Yield a service with a worker: of two processes with Redis, else ``tasks up``."""
    if not redis_url:
        with service(kind, up=True, concurrency=slots) as found:
            yield found
        return
    with service(kind, redis_url) as found, found.working(slots) as worker:
        yield replace(found, pids=(*found.pids, worker.pid))


@contextmanager
def service(
    kind: str, redis_url: str = "", *, up: bool = False, **changes: Any
) -> Iterator[Service]:
    """Yield a service on an empty database of that kind; with ``up``, its worker too."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasks-bench-")))
        state = folder / "state"
        state.mkdir(mode=0o700)
        store = stack.enter_context(opened(kind, folder))
        settings = replace(
            Settings(
                state_dir=state,
                # Not the password-less form that SQLAlchemy prints.
                database_url=store.database.engine.url.render_as_string(
                    hide_password=False
                ).replace("postgresql+psycopg://", "postgresql://"),
                redis_url=redis_url,
                listen=f"127.0.0.1:{quiet_port()}",
                pool=f"bench-{os.getpid()}-{quiet_port()}",
                max_queued=1_000_000,
                log_level="warning",
            ),
            **changes,
        )
        token = make_token(store, name="bench", role=Role.ADMIN).text
        api = _serve(settings, folder, up=up)
        stack.callback(_end, api)
        yield Service(store, settings, settings.listen, token, (api.pid,))


def _serve(settings: Settings, folder: Path, *, up: bool) -> subprocess.Popen[bytes]:
    names = ["state_dir", "database_url", "redis_url", "listen", "max_queued"]
    if up:
        names += ["pool", "concurrency", "log_level", "registry", "base_debounce", "base_poll"]
    told = {name: getattr(settings, name) for name in names}
    words = ["-m", "tasks_service.cli.main", "server"]
    if up:
        words = [
            "-m",
            "tests.bench.up_process",
            json.dumps(told | {"state_dir": str(told["state_dir"])}),
        ]
    variables = {f"TASKSD_{name.upper()}": str(value) for name, value in told.items() if value}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, **variables, "TASKSD_LOG_LEVEL": "warning"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + PATIENCE_S / 4
    while time.monotonic() < deadline and process.poll() is None:
        link = http.client.HTTPConnection(settings.listen, timeout=2)
        try:
            link.request("GET", "/readyz")
            if link.getresponse().status == 200:
                return process
        except OSError:
            pass
        finally:
            link.close()
        time.sleep(0.05)
    _end(process)
    raise BenchError(f"the API did not start:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def resident_mib(pid: int) -> float:
    """Return what a process has in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of them don't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def timed(work: Callable[[], object], count: int) -> list[float]:
    """Return how long each of ``count`` calls took, in milliseconds."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1000)
    return found
