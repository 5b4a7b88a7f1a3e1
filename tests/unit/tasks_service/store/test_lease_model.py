"""A model of claim, lease and fence, with a crash between any two statements.

Two workers, a user and two schedulers act on a few runs in any order; any
transaction may be cut off before any of its statements, or its caller die
right after the commit. Whatever happens, what house rules promise must hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import event

from runners.model.clock import ManualClock
from runners.model.status import RunStatus
from tasks_service.errors import StaleFence
from tasks_service.model.log import END, LogChunk
from tasks_service.model.run import NewRun, RunEnd, RunRequest, RunSecrets
from tasks_service.store import Store
from tests.contract.stores import opened

LEASE_S = 60.0
RETRIES = 2
WORKERS = ("w1", "w2")
ENDS = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CANCELED)
NEVER = 99
IDLE = 1 << 40
AFTER_COMMIT = -1
# Hypothesis prefers what stands first.
crashes = st.one_of(st.just(NEVER), st.just(NEVER), st.sampled_from([AFTER_COMMIT, 0, 1, 2, 3, 4]))


class Crash(BaseException):
    """The process is gone; nobody catches it."""


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self._opened = opened("sqlite", Path(self._folder.name), self.clock)
        self.store: Store = self._opened.__enter__()
        self._left = IDLE
        event.listen(self.store.database.engine, "before_cursor_execute", self._count)
        self.accepted: list[str] = []
        # What each worker believes it holds: run → fence.
        self.held: dict[str, dict[str, int]] = {name: {} for name in WORKERS}
        self.ended: dict[str, str] = {}
        self.published: set[str] = set()
        self.claims: list[tuple[str, int]] = []

    def teardown(self) -> None:
        try:
            self._drain()
        finally:
            self._opened.__exit__(None, None, None)
            self._folder.cleanup()

    def _count(self, *_: Any) -> None:
        if self._left == 0:
            raise Crash
        if self._left > 0:
            self._left -= 1

    @contextmanager
    def crashing(self, at: int) -> Iterator[None]:
        # NEVER lets every statement pass: no transaction has so many.
        # A caller that dies right after the commit does not learn what it did:
        # the rules leave their notes unwritten then.
        self._left = NEVER if at == AFTER_COMMIT else at
        try:
            yield
        except Crash:
            pass
        finally:
            self._left = IDLE

    def one(self, data: st.DataObject, names: list[str]) -> str:
        return data.draw(st.sampled_from(sorted(names)))

    def some_claim(self, data: st.DataObject) -> tuple[str, str, dict[str, int]]:
        claims = sorted((name, run) for name, held in self.held.items() for run in held)
        worker, run = data.draw(st.sampled_from(claims))
        return worker, run, self.held[worker]

    # The user.

    @initialize()
    def begin(self) -> None:
        self.accept(NEVER, 0, True)
        self.accept(NEVER, 1, False)
        self.accept(NEVER, 1, False)

    @rule(crash=crashes, limit=st.sampled_from([0, 1]), secret=st.booleans())
    def accept(self, crash: int, limit: int, secret: bool) -> None:
        name = f"r{len(self.accepted) + 1}"
        new = NewRun(
            RunRequest(command="x"),
            RunSecrets(values=("a=canary",)) if secret else RunSecrets(),
            task="t" if limit else "",
            task_limit=limit,
        )
        with self.crashing(crash):
            self.store.runs.accept(new, run_id=name)
        if self.store.runs.get(name) is not None:
            self.accepted.append(name)

    @precondition(lambda self: self.accepted)
    @rule(crash=crashes, data=st.data())
    def cancel(self, crash: int, data: st.DataObject) -> None:
        with self.crashing(crash):
            self.store.runs.request_cancel(self.one(data, self.accepted), reason="canceled")

    # The workers.

    @rule(worker=st.sampled_from(WORKERS), crash=crashes)
    def claim(self, worker: str, crash: int) -> None:
        with self.crashing(crash):
            got = self.store.leases.claim("default", owner=worker, lease_s=LEASE_S)
            if got is not None:
                assert got.run.id not in self.ended
                self.claims.append((got.run.id, got.fence))
                if crash != AFTER_COMMIT:
                    self.held[worker][got.run.id] = got.fence

    @precondition(lambda self: any(self.held.values()))
    @rule(worker=st.sampled_from(WORKERS), crash=crashes)
    def renew(self, worker: str, crash: int) -> None:
        with self.crashing(crash):
            told = self.store.leases.renew(worker, self.held[worker], lease_s=LEASE_S)
            for renewal in told:
                assert renewal.held == self._is_current(renewal.run_id, self.held[worker])

    @precondition(lambda self: any(self.held.values()))
    @rule(crash=crashes, publish=st.booleans(), data=st.data())
    def write(self, crash: int, publish: bool, data: st.DataObject) -> None:
        worker, run, held = self.some_claim(data)
        current = self._is_current(run, held)
        with self.crashing(crash):
            try:
                self.store.leases.progress(
                    run,
                    held[run],
                    status=RunStatus.RUNNING,
                    chunks=[LogChunk("a", "stdout", 0, f"{worker} {held[run]}\n".encode())],
                    published=True if publish else None,
                )
                assert current, "a write under an old fence was taken"
            except StaleFence:
                assert not current, "the holder's own write was refused"
        if self._row(run).published:
            self.published.add(run)

    @precondition(lambda self: any(self.held.values()))
    @rule(crash=crashes, status=st.sampled_from(ENDS), data=st.data())
    def finish(self, crash: int, status: RunStatus, data: st.DataObject) -> None:
        _, run, held = self.some_claim(data)
        current = self._is_current(run, held)
        again = self._row(run).status.finished and self._row(run).fence == held[run]
        with self.crashing(crash):
            try:
                self.store.leases.finish(run, held[run], RunEnd(status, {"steps": []}))
                assert current or again
                if crash != AFTER_COMMIT:
                    held.pop(run)
            except StaleFence:
                assert not current
                held.pop(run)

    @precondition(lambda self: any(self.held.values()))
    @rule(crash=crashes, data=st.data())
    def release(self, crash: int, data: st.DataObject) -> None:
        _, run, held = self.some_claim(data)
        with self.crashing(crash):
            if self.store.leases.release(run, held[run], reason="stopping"):
                assert run not in self.published
                held.pop(run)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """The worker dies, or its thread does."""
        _, run, held = self.some_claim(data)
        held.pop(run)

    # The schedulers, and time.

    @rule(crash=crashes)
    def reap(self, crash: int) -> None:
        for run in self.store.recovery.lost():
            with self.crashing(crash):
                told = self.store.recovery.reap(run, retries=RETRIES)
                assert told is None or run not in self.ended
                if told is not None and run in self.published:
                    assert told.status is not RunStatus.QUEUED

    @rule(seconds=st.sampled_from([20.0, 61.0, 61.0, 4000.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(crash=crashes)
    def freeze(self, crash: int) -> None:
        """Both workers stand still beyond their leases, and know nothing of it."""
        self.clock.advance(LEASE_S + 1)
        self.reap(crash)

    @rule(crash=crashes)
    def overdue(self, crash: int) -> None:
        with self.crashing(crash):
            self.store.recovery.overdue()

    # What must hold at any time.

    @invariant()
    def every_accepted_run_is_there_once(self) -> None:
        found = [run.id for run in self._all()]
        assert sorted(found) == sorted(self.accepted)

    @invariant()
    def an_end_is_final(self) -> None:
        for run in self._all():
            if run.id in self.ended:
                assert run.status == self.ended[run.id]
            if run.status.finished:
                self.ended[run.id] = run.status

    @invariant()
    def one_holder_at_most(self) -> None:
        for run in self._all():
            holders = [name for name in WORKERS if self._is_current(run.id, self.held[name])]
            assert len(holders) <= 1

    @invariant()
    def old_fences_are_refused(self) -> None:
        for run, fence in self.claims:
            if not self._is_current(run, {run: fence}):
                try:
                    self.store.leases.progress(run, fence, steps=[{"id": "old"}])
                except StaleFence:
                    continue
                raise AssertionError(f"a write to {run} under old fence {fence} was taken")

    @invariant()
    def a_limited_task_keeps_its_limit(self) -> None:
        active = [run for run in self._all() if run.task and not run.status.finished]
        assert sum(run.status is not RunStatus.QUEUED for run in active) <= 1

    @invariant()
    def logs_have_no_gap_and_one_end(self) -> None:
        for run in self._all():
            chunks = self.store.logs.read(run.id)
            assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
            ends = [chunk.number for chunk in chunks if chunk.stream == END]
            assert ends == ([len(chunks)] if run.status.finished else [])

    @invariant()
    def secrets_go_with_the_run(self) -> None:
        for run in self._all():
            if run.status.finished:
                assert not self.store.runs.secrets(run.id)

    def _all(self) -> list[Any]:
        return [run for name in self.accepted if (run := self.store.runs.get(name)) is not None]

    def _row(self, run: str) -> Any:
        return self.store.runs.find(run)

    def _is_current(self, run: str, held: dict[str, int]) -> bool:
        row = self._row(run)
        return row.status in (RunStatus.STARTED, RunStatus.RUNNING) and held.get(run) == row.fence

    def _drain(self) -> None:
        """Whatever state things are in, schedulers and one worker bring every run to its end."""
        for _ in range(200):
            if all(run.status.finished for run in self._all()):
                return
            self.clock.advance(LEASE_S + 1)
            for run in self.store.recovery.lost():
                self.store.recovery.reap(run, retries=RETRIES)
            while (
                got := self.store.leases.claim("default", owner="w", lease_s=LEASE_S)
            ) is not None:
                self.store.leases.finish(
                    got.run.id, got.fence, RunEnd(RunStatus.SUCCEEDED, {"steps": []})
                )
        raise AssertionError("a run never ended")


Life.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLife = Life.TestCase
