"""Faults of workers: killed, frozen, told to stop, flooded, raced by cancels.

Each function does one fault to an Inside that has no runs yet, and fails
unless what must hold holds. A number makes it larger. Numbers such as F1 are
those of the project's list of faults.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from typing import Any

from runners.backends.fake import FakeBackend
from runners.model.status import RunStatus
from tasks_service.model.run import NewRun, RunRequest
from tests.faults.process import Recovering, WorkerProcess, pushed, script, wait_until_said
from tests.faults.service import Inside, check_invariants, wait_for

IMAGE = "registry.example/app:1"
CAP = 64 << 20


class Counting(FakeBackend):
    """Builds and pushes take a moment; the runs that push are counted."""

    def __init__(self) -> None:
        super().__init__(script)
        self.pushes: list[str] = []

    def open(self, request: Any, cancel: Any) -> Any:
        sandbox = super().open(request, cancel)
        build, push = sandbox.build, sandbox.push

        def builds(asked: Any, output: Any, cancel: Any) -> Any:
            if cancel.wait(0.1):
                raise cancel.reason
            return build(asked, output, cancel)

        def pushes(reference: str, output: Any, cancel: Any) -> Any:
            self.pushes.append(request.run_id)
            if cancel.wait(0.2):
                raise cancel.reason
            return push(reference, output, cancel)

        sandbox.build, sandbox.push = builds, pushes  # type: ignore[method-assign]
        return sandbox


def accept_build(service: Inside, run_id: str) -> None:
    """Accept a run that builds an image and pushes it."""
    content = (
        "version: v1.1.0\nsteps:\n"
        f"  - id: b\n    build: -t {IMAGE} https://github.com/o/r.git\n"
        f"  - id: p\n    push: [{IMAGE}]\n"
    )
    service.store.runs.accept(NewRun(RunRequest(content=content)), run_id=run_id)
    service.accepted.append(run_id)


def killed_mid_step(service: Inside) -> None:
    """F1: a worker dies under a step; the run is tried again by another and ends once."""
    recovering = Recovering(service)
    first = WorkerProcess(service)
    second = None
    try:
        service.accept("r1", "sleep-3000")
        wait_until_said(service, "r1", "begun")
        first.signal(signal.SIGKILL)
        second = WorkerProcess(service)
        (run,) = service.ended("r1")
        assert run.status is RunStatus.SUCCEEDED
        assert run.attempt == 2
        assert "was lost; the run is queued again" in service.log("r1")
        check_invariants(service)
    finally:
        for part in (first, second, recovering):
            if part is not None:
                part.end()


def frozen_past_its_lease(service: Inside) -> None:
    """F10: a worker is frozen, loses its run, and comes back: it pushes and writes nothing."""
    recovering = Recovering(service)
    first = WorkerProcess(service, build_s=1)
    second = None
    try:
        accept_build(service, "r1")
        wait_until_said(service, "r1", "building")
        first.signal(signal.SIGSTOP)
        wait_for(lambda: service.run("r1").fence > 1)
        second = WorkerProcess(service, build_s=0.2)
        (run,) = service.ended("r1")
        log = service.log("r1")
        first.signal(signal.SIGCONT)
        # It is alive again once it has taken another run.
        second.signal(signal.SIGTERM)
        assert second.wait(10) == 0
        service.accept("r2", "say")
        service.ended("r2")
        first.signal(signal.SIGTERM)
        assert first.wait(20) == 0
        assert run.status is RunStatus.SUCCEEDED
        assert service.run("r1") == run
        assert service.log("r1") == log
        assert [words[0] for words in pushed(service)] == [str(second.pid)]
        check_invariants(service)
    finally:
        for part in (first, second, recovering):
            if part is not None:
                part.end()


def told_to_stop_under_load(service: Inside, runs: int = 5) -> None:
    """F17: short runs end, long ones go back to the queue; exit code 0, nothing is lost."""
    worker = WorkerProcess(service, concurrency=runs, drain=1.5)
    other = None
    try:
        for number in range(runs):
            service.accept(f"r{number}", "sleep-500" if number % 2 else "sleep-4000")
        for run_id in service.accepted:
            wait_until_said(service, run_id, "begun")
        service.accept("late", "say")
        worker.signal(signal.SIGTERM)
        assert worker.wait(20) == 0
        statuses = [service.run(run_id).status for run_id in service.accepted]
        assert statuses.count(RunStatus.SUCCEEDED) == runs // 2
        assert statuses.count(RunStatus.QUEUED) == runs + 1 - runs // 2
        other = WorkerProcess(service, concurrency=runs)
        assert {run.status for run in service.ended()} == {RunStatus.SUCCEEDED}
        check_invariants(service)
    finally:
        for part in (worker, other):
            if part is not None:
                part.end()


def told_twice_to_stop(service: Inside) -> None:
    """F17: the second request stops at once; the run goes back to the queue."""
    worker = WorkerProcess(service, drain=60.0)
    try:
        service.accept("r1", "sleep-60000")
        wait_until_said(service, "r1", "begun")
        worker.signal(signal.SIGTERM)
        wait_for(lambda: any(row.draining for row in service.store.workers.list()))
        worker.signal(signal.SIGTERM)
        assert worker.wait(10) == 0
        assert service.run("r1").status is RunStatus.QUEUED
        service.store.runs.request_cancel("r1", reason="enough")
        check_invariants(service)
    finally:
        worker.end()


def log_flood(service: Inside, mebibytes: int = 80) -> None:
    """F25: far too much output; its head and its end are kept, memory stays flat."""
    service.worker(script)
    service.accept("r1", f"flood-{mebibytes}", timeout_s=120)
    (run,) = service.ended("r1", within_s=120)
    assert run.status is RunStatus.SUCCEEDED
    kept = sum(len(chunk.data) for chunk in service.chunks("r1"))
    log = service.log("r1", step="s1")
    assert kept <= CAP + (1 << 20)
    assert log.startswith("000000 f")
    assert "end\nTRUNCATED " in log
    assert run.log_state.startswith("truncated ")
    check_invariants(service)


def last_lines(service: Inside, runs: int = 50) -> None:
    """F26: what a step says right before it fails is always there."""
    service.worker(script, concurrency=8)
    for number in range(runs):
        service.accept(f"r{number}", "fail-1")
    for run in service.ended(within_s=60):
        assert run.status is RunStatus.FAILED
        assert service.log(run.id, step="s1") == "last wordsEOF"
    check_invariants(service)


def cancel_races(service: Inside, runs: int = 40, seed: int = 1) -> None:
    """F37: cancels at any moment, some twice; each run ends once, pushed or not at all."""
    chance = random.Random(seed)
    backend = Counting()
    pushes = backend.pushes
    service.worker(backend=backend, concurrency=8)

    def cancel(run_id: str, delay_s: float) -> None:
        time.sleep(delay_s)
        for _ in range(chance.choice((1, 2))):
            service.store.runs.request_cancel(run_id, reason="canceled by chance")

    cancels = []
    for number in range(runs):
        accept_build(service, f"r{number}")
        thread = threading.Thread(target=cancel, args=(f"r{number}", chance.random() * 1.5))
        thread.start()
        cancels.append(thread)
    for thread in cancels:
        thread.join(30)
    ended = service.ended(within_s=60)
    seen = {run.id: run.status for run in ended}
    for run in ended:
        assert run.status in (RunStatus.SUCCEEDED, RunStatus.CANCELED)
        # A push that began has ended, and is in the record.
        assert (run.id in pushes) == bool(run.images) == (run.status is RunStatus.SUCCEEDED)
        service.store.runs.request_cancel(run.id, reason="too late")
    assert len(pushes) == len(set(pushes))
    assert {run.id: run.status for run in service.ended()} == seen
    check_invariants(service)
