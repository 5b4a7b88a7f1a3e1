"""A service's inside for tests: a store, a queue, workers on scripted runners.

Everything but the runners is real. What must hold after any fault is
``check_invariants``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runners.backends.fake import FakeBackend, Script, Scripted, succeed
from runners.model.status import RunStatus
from tasks_service.blobs import UPLOADS, open_blobs
from tasks_service.config import Settings
from tasks_service.errors import StaleFence
from tasks_service.model.log import END
from tasks_service.model.run import NewRun, Run, RunEnd, RunRequest, RunSecrets
from tasks_service.queue import open_queue
from tasks_service.store import Store
from tasks_service.worker import Worker
from tasks_service.worker.spool import LogCaps
from tests.faults.looking import in_files, postgres_dump

QUICK = {"lease": 2.0, "heartbeat": 0.3, "drain": 5.0, "concurrency": 2, "warm_runners": 0}
PATIENCE_S = 20.0
CANARY = "canary-9f1c4e7b"
SECRETS = RunSecrets(values=(f"canary={CANARY}",))
"""Every run has it; nobody may ever see it."""


class OneBackend:
    """See Backends: one backend for all levels."""

    def __init__(self, backend: FakeBackend) -> None:
        self.backend = backend

    def get(self, isolation: str = "") -> FakeBackend:
        return self.backend


@dataclass
class Inside:
    """A store and the workers that were started on it.

    Attributes:
        settings: What workers are started with.
        accepted: Ids of all runs, in order.
    """

    settings: Settings
    store: Store
    workers: list[Worker] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def worker(
        self,
        script: Script = succeed,
        works: dict[str, Scripted] | None = None,
        *,
        store: Any = None,
        listens: bool = False,
        caps: LogCaps | None = None,
        backend: Any = None,
        start: bool = True,
        **changes: Any,
    ) -> Worker:
        settings = replace(self.settings, **changes)
        worker = Worker(
            settings,
            store or self.store,
            open_queue(settings, embedded=listens),
            open_blobs(settings, UPLOADS),
            listens=listens,
            backends=OneBackend(backend or FakeBackend(script, works)),  # type: ignore[arg-type]
            caps=caps,
        )
        self.workers.append(worker)
        if start:
            worker.start()
        return worker

    def accept(
        self,
        run_id: str,
        *commands: str,
        secrets: RunSecrets | None = None,
        content: str = "",
        **changes: Any,
    ) -> str:
        """Accept a run: one step per command, one after another."""
        request = RunRequest(content=content or task(*commands or ("image",)), **changes)
        self.store.runs.accept(NewRun(request, secrets or SECRETS), run_id=run_id)
        self.accepted.append(run_id)
        return run_id

    def run(self, run_id: str) -> Run:
        found = self.store.runs.get(run_id)
        assert found is not None
        return found

    def ended(self, *run_ids: str, within_s: float = PATIENCE_S) -> list[Run]:
        """Return the runs once all have ended; all that were accepted without names."""
        names = run_ids or tuple(self.accepted)
        wait_for(lambda: all(self.run(name).status.finished for name in names), within_s)
        return [self.run(name) for name in names]

    def log(self, run_id: str, step: str | None = None) -> str:
        """Return the log as text, with the words of its end."""
        return "".join(
            chunk.data.decode(errors="replace") for chunk in self.chunks(run_id, step=step)
        )

    def chunks(self, run_id: str, step: str | None = None) -> list[Any]:
        found: list[Any] = []
        while page := self.store.logs.read(
            run_id, after=found[-1].number if found else 0, step=step
        ):
            found += page
        return found


@contextmanager
def inside(store: Store, folder: Path, **changes: Any) -> Iterator[Inside]:
    """Yield an inside over a store; stop all its workers afterwards."""
    found = Inside(Settings(state_dir=folder, **{**QUICK, **changes}), store)
    try:
        yield found
    finally:
        for worker in found.workers:
            worker.stop()


def task(*commands: str) -> str:
    """Return a task file with one step per command, each after the one before."""
    return "version: v1.1.0\nsteps:\n" + "".join(
        f"  - id: s{number}\n    cmd: {command}\n" for number, command in enumerate(commands, 1)
    )


def wait_for(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Return once it holds; fail if that takes too long."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)


def check_invariants(service: Inside, run_ids: Sequence[str] = ()) -> None:
    """Fail unless every run ended once and for good, with a whole log, and nothing is left.

    What was accepted is there once (I1), has ended (I2) and stays so (I3); only
    the last worker's writes count (I4); logs are whole (I6), secrets are nowhere
    (I7), nothing waits (I10). What runners leave and push (I5, I8, I9) is looked
    at where runners are real.
    """
    for run_id in run_ids or service.accepted:
        run = service.run(run_id)
        assert run.status.finished, f"{run_id} is {run.status}"
        chunks = service.chunks(run_id)
        assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
        ends = [chunk.data.decode() for chunk in chunks if chunk.stream == END]
        assert len(ends) == 1
        assert ends[0] == "EOF" or ends[0].startswith(("LOST", "TRUNCATED"))
        assert chunks[-1].stream == END
        assert run.lease_until is None
        assert not service.store.runs.secrets(run_id)
        assert CANARY.encode() not in b"".join(chunk.data for chunk in chunks)
        _stays(service, run)
    counts = service.store.recovery.counts()
    assert set(counts) <= {"Succeeded", "Failed", "Error", "Canceled", "Timeout"}, counts
    if not run_ids:
        assert sum(counts.values()) == len(set(service.accepted)) == len(service.accepted)
    told = in_files(service.settings.state_dir, lambda data: CANARY.encode() in data)
    assert told == [], f"a secret is in {told}"
    if service.settings.database_url.startswith("postgresql"):
        dump = postgres_dump(service.settings.database_url)
        assert CANARY.encode() not in dump, "a secret is in the database"


def _stays(service: Inside, run: Run) -> None:
    """Fail unless an end is final, whoever tries to change it."""
    service.store.runs.request_cancel(run.id, reason="too late")
    for fence in {run.fence, run.fence - 1}:
        try:
            service.store.leases.finish(run.id, fence, RunEnd(RunStatus.ERROR, {"steps": []}))
        except StaleFence:
            continue
        # Ending it again as the same worker changes nothing.
    after = service.run(run.id)
    assert (after.status, after.fence, after.finished) == (run.status, run.fence, run.finished)
