"""What a scheduler does to a real store: SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from runners.model.status import RunStatus
from tasks_service.blobs import UPLOADS, open_blobs
from tasks_service.blobs.open import LOGS
from tasks_service.config import Settings
from tasks_service.model.log import LogChunk
from tasks_service.model.run import NewRun, RunEnd, RunRequest
from tasks_service.runs.logs import RunLogs
from tasks_service.scheduler import duties as module
from tasks_service.scheduler.duties import Duties
from tasks_service.store import Store
from tests.contract.stores import KINDS, opened

DONE = RunEnd(RunStatus.SUCCEEDED, {"steps": []})


class Queue:
    """Remembers who was woken; refuses while ``away``."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.away = False

    def wake(self, pool: str) -> None:
        if self.away:
            raise Unavailable("the broker is away")
        self.woken.append(pool)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


@pytest.fixture
def logs(store: Store, settings: Settings) -> RunLogs:
    return RunLogs(store, open_blobs(settings, LOGS))


@pytest.fixture
def duties(store: Store, logs: RunLogs, queue: Queue, settings: Settings) -> Duties:
    return Duties(store, logs, open_blobs(settings, UPLOADS), queue, settings)


def accept(store: Store, *names: str, pool: str = "default") -> None:
    for name in names:
        store.runs.accept(NewRun(RunRequest(command="x", pool=pool)), run_id=name)


def finished(store: Store, name: str) -> None:
    accept(store, name)
    got = store.leases.claim("default", owner="w", lease_s=60)
    assert got is not None
    line = LogChunk("a", "stdout", 1.0, b"hello\n")
    store.leases.finish(name, got.fence, DONE, chunks=[line])


def test_every_pool_with_untold_runs_is_woken_once(
    store: Store, duties: Duties, queue: Queue
) -> None:
    accept(store, "r1", "r2")
    accept(store, "r3", pool="gpu")
    duties.announce()
    duties.announce()
    assert sorted(queue.woken) == ["default", "gpu"]


def test_what_a_broker_that_is_away_did_not_take_is_told_later(
    store: Store, duties: Duties, queue: Queue
) -> None:
    accept(store, "r1")
    queue.away = True
    with pytest.raises(Unavailable):
        duties.announce()
    queue.away = False
    duties.announce()
    assert queue.woken == ["default"]


def test_a_lost_run_is_queued_again_and_announced(
    store: Store, duties: Duties, queue: Queue
) -> None:
    accept(store, "r1")
    store.leases.claim("default", owner="w", lease_s=-1)
    duties.reap()
    assert duties.lost == 1
    assert store.runs.find("r1").status is RunStatus.QUEUED
    duties.announce()
    assert queue.woken == ["default"]
    duties.reap()
    assert duties.lost == 1


def test_logs_move_to_blobs_and_read_the_same(
    store: Store, duties: Duties, logs: RunLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOVE_AFTER_S", -5.0)
    finished(store, "r1")
    before = list(logs.read("r1"))
    duties.move_logs()
    assert store.logs.read("r1") == ()
    assert list(logs.read("r1")) == before
    duties.move_logs()


def test_old_runs_and_their_blobs_are_forgotten(
    store: Store, logs: RunLogs, queue: Queue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOVE_AFTER_S", -5.0)
    uploads = open_blobs(settings, UPLOADS)
    duties = Duties(store, logs, uploads, queue, replace(settings, retention=-5.0))
    finished(store, "r1")
    finished(store, "kept")
    store.runs.set_archived("kept", True)
    duties.move_logs()
    duties.forget_runs()
    assert store.runs.get("r1") is None
    assert store.runs.get("kept") is not None
    assert [blob.key for blob in open_blobs(settings, LOGS).list()] == ["kept.ndjson.gz"]


def test_unused_uploads_go_and_fresh_bytes_stay(
    store: Store, duties: Duties, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = open_blobs(settings, UPLOADS)
    for digest in ("a" * 64, "b" * 64):
        uploads.put(digest, [b"x"])
        store.uploads.add(digest, 1)
    duties.forget_uploads()
    assert len(list(uploads.list())) == 2
    monkeypatch.setattr(module, "UPLOADS_KEPT_S", -5.0)
    duties.forget_uploads()
    assert list(uploads.list()) == []
    assert store.uploads.use("a" * 64) is None


def test_one_bad_row_does_not_keep_the_others(
    store: Store, queue: Queue, settings: Settings, logs: RunLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOVE_AFTER_S", -5.0)
    finished(store, "bad")
    finished(store, "good")

    class Broken:
        def archive(self, run_id: str) -> bool:
            if run_id == "bad":
                raise Unavailable("this one can't be read")
            return logs.archive(run_id)

        def delete(self, run_id: str) -> None:
            logs.delete(run_id)

    duties = Duties(store, Broken(), open_blobs(settings, UPLOADS), queue, settings)
    duties.move_logs()
    assert logs.moved("good")
    assert not logs.moved("bad")
