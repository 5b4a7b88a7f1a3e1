"""A worker as a process of its own, to be killed, frozen and told to stop.

Started by ``WorkerProcess`` with a JSON object on its command line. Its
runners are scripted: what a container does is told by the image's name, what
was pushed is a line in a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runners.backends.fake import FakeBackend, Scripted
from runners.sandbox import ContainerRequest
from tasks_service.blobs import UPLOADS, open_blobs
from tasks_service.config import Settings
from tasks_service.process_log import set_up_logging
from tasks_service.queue import open_queue
from tasks_service.store import open_store
from tasks_service.worker import Worker
from tests.contract.stores import ENVELOPE
from tests.faults.service import Inside, OneBackend, wait_for

_LINES = 1000


def script(request: ContainerRequest, attempt: int) -> Scripted:
    """Do what the image's name says.

    ``sleep-<ms>``, ``fail-<code>``, ``flood-<MiB>``, ``lines-<count>`` of 80 bytes
    with numbers, and anything else says its arguments.
    """
    del attempt
    word, _, number = request.image.partition("-")
    words = " ".join(request.args).encode() + b"\n"
    if word == "sleep":
        out = (("stdout", b"begun\n"),)
        return Scripted(output=out, delay_s=int(number) / 1000, last_output=(("stdout", b"done"),))
    if word == "fail":
        return Scripted(exit_code=int(number), last_output=(("stderr", b"last words"),))
    if word == "flood":
        block = b"".join(b"%06d %s\n" % (line, b"f" * 1016) for line in range(_LINES))
        blocks = int(number) * (1 << 20) // len(block)
        return Scripted(output=(("stdout", block),) * blocks, last_output=(("stdout", b"end\n"),))
    if word == "lines":
        blocks = (
            b"".join(b"%08d %s\n" % (line, b"." * 70) for line in range(start, start + _LINES))
            for start in range(0, int(number), _LINES)
        )
        return Scripted(output=tuple(("stdout", block) for block in blocks))
    return Scripted(output=(("stdout", words),))


class Pushing(FakeBackend):
    """Builds take a while; what is pushed is written down."""

    def __init__(self, file: Path, build_s: float) -> None:
        super().__init__(script)
        self._file = file
        self._build_s = build_s

    def open(self, request: Any, cancel: Any) -> Any:
        sandbox = super().open(request, cancel)
        build, push = sandbox.build, sandbox.push

        def builds(asked: Any, output: Any, cancel: Any) -> Any:
            output.write("stdout", b"building\n")
            if cancel.wait(self._build_s):
                raise cancel.reason
            return build(asked, output, cancel)

        def pushes(reference: str, output: Any, cancel: Any) -> Any:
            with self._file.open("a") as file:
                file.write(f"{os.getpid()} {request.run_id} {reference}\n")
            return push(reference, output, cancel)

        sandbox.build, sandbox.push = builds, pushes  # type: ignore[method-assign]
        return sandbox


class WorkerProcess:
    """A worker process on the store of an Inside. ``end`` it, whatever became of it."""

    def __init__(self, service: Inside, *, build_s: float = 0, **changes: Any) -> None:
        settings = replace(service.settings, **changes)
        names = ("lease", "heartbeat", "drain", "concurrency", "pool", "redis_url", "warm_runners")
        self.pushes = settings.state_dir / "pushes"
        told = {name: getattr(settings, name) for name in names} | {
            "state_dir": str(settings.state_dir),
            "database_url": settings.database_url,
            "build_s": build_s,
        }
        with (settings.state_dir / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.process", json.dumps(told)],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.end()
            raise AssertionError((settings.state_dir / "worker.log").read_text()[-2000:])

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Return its exit code."""
        return self._process.wait(timeout_s)

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Recovering:
    """Does what the scheduler does for lost runs, often."""

    def __init__(self, service: Inside, *, retries: int = 2) -> None:
        self._service = service
        self._retries = retries
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        recovery = self._service.store.recovery
        while not self._stopping.wait(0.1):
            for run_id in recovery.lost():
                recovery.reap(run_id, retries=self._retries)
            recovery.overdue()

    def end(self) -> None:
        self._stopping.set()
        self._thread.join(10)


def pushed(service: Inside) -> list[list[str]]:
    """Return (pid, run, reference) of all pushes."""
    file = service.settings.state_dir / "pushes"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def main(words: Sequence[str]) -> int:
    """Run a worker until told to stop: once in order, twice at once."""
    told = json.loads(words[0])
    build_s = told.pop("build_s")
    settings = Settings(**told | {"state_dir": Path(told["state_dir"])})
    # Standard output is for the one word that it is ready.
    set_up_logging(form="json", out=sys.stderr)
    store = open_store(settings.database, ENVELOPE)
    worker = Worker(
        settings,
        store,
        open_queue(settings),
        open_blobs(settings, UPLOADS),
        listens=bool(settings.redis_url),
        backends=OneBackend(Pushing(settings.state_dir / "pushes", build_s)),  # type: ignore[arg-type]
    )
    terminated = threading.Semaphore(0)
    signal.signal(signal.SIGTERM, lambda *_: terminated.release())
    worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    terminated.acquire()
    draining = threading.Thread(target=worker.drain, daemon=True)
    draining.start()
    while draining.is_alive():
        if terminated.acquire(timeout=0.1):
            worker.stop()
    store.close()
    return 0


def wait_until_said(service: Inside, run_id: str, words: str) -> None:
    """Return once the run's log holds ``words``."""
    wait_for(lambda: words in service.log(run_id))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
