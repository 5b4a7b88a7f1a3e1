"""What every database must do for the store: SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, update

from runners.model.errors import InvalidInput
from runners.model.status import RunStatus
from tasks_service.errors import Busy, Conflict, NotFound, StaleFence, VersionMismatch
from tasks_service.model.access import Role, Token, Worker
from tasks_service.model.log import END, LogChunk
from tasks_service.model.run import (
    Cause,
    NewRun,
    RegistryCredential,
    RunEnd,
    RunFilter,
    RunRequest,
    RunSecrets,
)
from tasks_service.model.task import TaskDefinition
from tasks_service.store import Store
from tasks_service.store.envelope import Envelope, SealBroken
from tasks_service.store.schema import current, head, upgrade
from tasks_service.store.tables import metadata, runs
from tests.contract.stores import ENVELOPE, KINDS, opened

SECRETS = RunSecrets(
    values=("token=canary-value",),
    build_secrets={"npm": "canary-build"},
    credentials=(RegistryCredential("registry:5000", "me", "canary-password"),),
)
DONE = RunEnd(RunStatus.SUCCEEDED, {"steps": [{"id": "a", "status": "Succeeded"}]})


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as found:
        yield found


def new(**changes: object) -> NewRun:
    return replace(NewRun(RunRequest(command="app")), **changes)


def accept(store: Store, *names: str, **changes: object) -> None:
    for name in names:
        store.runs.accept(new(**changes), run_id=name)


def claim(store: Store, owner: str = "w1", lease_s: float = 60, pool: str = "default"):
    return store.leases.claim(pool, owner=owner, lease_s=lease_s)


def chunk(text: str, step: str = "a") -> LogChunk:
    return LogChunk(step, "stdout", 1.0, text.encode())


def test_an_accepted_run_is_what_was_asked_for(store: Store) -> None:
    asked = new(
        request=RunRequest(source="https://host/app.git#main", values=("a=b",), timeout_s=7),
        cause=Cause("manual", "me", {"run": "x"}),
        task="nightly",
        secrets=SECRETS,
    )
    run = store.runs.accept(asked, run_id="r1")
    assert store.runs.get("r1") == run
    assert (run.status, run.request, run.cause) == (RunStatus.QUEUED, asked.request, asked.cause)
    assert store.runs.secrets("r1") == SECRETS


def test_the_same_id_is_accepted_once(store: Store) -> None:
    first = store.runs.accept(new(), run_id="r1")
    assert store.runs.accept(new(task="other"), run_id="r1") == first
    assert len(store.runs.list(RunFilter()).runs) == 1


def test_secrets_are_not_in_the_database_as_text(store: Store) -> None:
    accept(store, "r1", secrets=SECRETS)
    with store.database.engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT * FROM runs").one()
    assert "canary" not in str(row)


def test_a_full_queue_refuses(store: Store) -> None:
    accept(store, "r1", "r2")
    with pytest.raises(Busy):
        store.runs.accept(new(), run_id="r3", max_queued=2)
    assert store.runs.get("r3") is None


def test_runs_are_claimed_in_order_by_lane_and_pool(store: Store) -> None:
    accept(store, "t1", lane="timer")
    accept(store, "i1", "i2", lane="interactive")
    accept(store, "other", request=RunRequest(command="x", pool="gpu"))
    taken = [claim(store).run.id for _ in range(3)]
    assert taken == ["i1", "i2", "t1"]
    assert claim(store) is None
    assert claim(store, pool="gpu").run.id == "other"


def test_a_claim_carries_the_secrets_and_a_growing_fence(store: Store) -> None:
    accept(store, "r1", secrets=SECRETS)
    first = claim(store, lease_s=-1)
    assert (first.fence, first.secrets, first.run.status) == (1, SECRETS, RunStatus.STARTED)
    store.recovery.reap("r1", retries=2)
    assert claim(store, "w2").fence > first.fence


def test_one_run_goes_to_one_of_many_workers(store: Store) -> None:
    accept(store, *(f"r{number}" for number in range(40)))

    def take_all(owner: str) -> list[str]:
        taken = []
        while (got := claim(store, owner)) is not None:
            taken.append(got.run.id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [run for runs in pool.map(take_all, [f"w{n}" for n in range(8)]) for run in runs]
    assert sorted(taken) == sorted(f"r{number}" for number in range(40))


def test_a_run_whose_row_somebody_writes_is_not_passed_over(store: Store) -> None:
    # As it is told to workers: the wake-up comes before the note of it is written.
    accept(store, "r1")
    locked = threading.Event()

    def write(connection: Connection) -> None:
        connection.execute(update(runs).where(runs.c.id == "r1").values(announced=1.0))
        locked.set()
        time.sleep(0.05)

    with ThreadPoolExecutor(1) as others:
        written = others.submit(store.database.write, write)
        locked.wait(10)
        claimed = claim(store)
        written.result()
    assert claimed is not None
    assert claimed.run.id == "r1"


def test_a_tasks_limit_holds_with_many_workers(store: Store) -> None:
    accept(store, *(f"r{number}" for number in range(12)), task="t", task_limit=2)
    accept(store, "free")
    barrier = threading.Barrier(6)

    def take(owner: str) -> str | None:
        barrier.wait()
        got = claim(store, owner)
        return got and got.run.id

    with ThreadPoolExecutor(6) as pool:
        taken = [run for run in pool.map(take, [f"w{n}" for n in range(6)]) if run]
    limited = [run for run in taken if run != "free"]
    assert "free" in taken
    assert len(limited) == 2


def test_a_renewed_lease_is_not_lost(store: Store) -> None:
    accept(store, "r1")
    got = claim(store, lease_s=-1)
    (renewal,) = store.leases.renew("w1", {"r1": got.fence}, lease_s=60)
    assert renewal.held
    assert store.recovery.lost() == ()
    assert store.recovery.reap("r1", retries=2) is None


def test_a_lost_run_is_queued_again_and_its_old_worker_shut_out(store: Store) -> None:
    accept(store, "r1")
    old = claim(store, lease_s=-1)
    assert store.recovery.lost() == ("r1",)
    assert store.recovery.reap("r1", retries=2).status is RunStatus.QUEUED
    for write in (
        lambda: store.leases.progress("r1", old.fence, chunks=[chunk("late\n")]),
        lambda: store.leases.finish("r1", old.fence, DONE),
    ):
        with pytest.raises(StaleFence):
            write()
    (renewal,) = store.leases.renew("w1", {"r1": old.fence}, lease_s=60)
    assert not renewal.held
    assert b"late" not in b"".join(c.data for c in store.logs.read("r1"))


def test_a_run_is_tried_so_often_and_then_ends_as_error(store: Store) -> None:
    accept(store, "r1", secrets=SECRETS)
    for _ in range(2):
        claim(store, lease_s=-1)
        assert store.recovery.reap("r1", retries=2).status is RunStatus.QUEUED
    claim(store, lease_s=-1)
    assert store.recovery.reap("r1", retries=2).status is RunStatus.ERROR
    run = store.runs.find("r1")
    assert (run.error_code, run.log_state) == ("worker_lost", "lost")
    assert store.logs.read("r1")[-1].data == b"LOST"
    assert not store.runs.secrets("r1")


def test_a_run_that_published_is_never_tried_again(store: Store) -> None:
    accept(store, "r1")
    got = claim(store, lease_s=-1)
    store.leases.progress("r1", got.fence, published=True)
    assert not store.leases.release("r1", got.fence, reason="drain")
    assert store.recovery.reap("r1", retries=2).status is RunStatus.ERROR


def test_a_released_run_is_claimed_again(store: Store) -> None:
    accept(store, "r1")
    got = claim(store)
    assert store.leases.release("r1", got.fence, reason="the worker stops")
    again = claim(store, "w2")
    assert (again.run.id, again.run.attempt) == ("r1", 2)
    assert store.logs.read("r1")[0].data == b"the worker stops\n"


def test_progress_and_finish_are_recorded(store: Store) -> None:
    accept(store, "r1", secrets=SECRETS)
    got = claim(store)
    store.leases.progress(
        "r1",
        got.fence,
        status=RunStatus.RUNNING,
        steps=[{"id": "a", "status": "Running"}],
        chunks=[chunk("one\n"), chunk("two\n")],
        commit="abc123",
    )
    running = store.runs.find("r1")
    assert (running.status, running.commit) == (RunStatus.RUNNING, "abc123")
    end = replace(DONE, images=(("registry:5000/app:1", "sha256:aa"),))
    store.leases.finish("r1", got.fence, end, chunks=[chunk("three\n")])
    run = store.runs.find("r1")
    assert (run.status, run.images) == (RunStatus.SUCCEEDED, ("registry:5000/app:1@sha256:aa",))
    assert run.record == end.record
    chunks = store.logs.read("r1")
    assert [c.number for c in chunks] == [1, 2, 3, 4]
    assert b"".join(c.data for c in chunks) == b"one\ntwo\nthree\nEOF"
    assert not store.runs.secrets("r1")


def test_a_second_finish_changes_nothing(store: Store) -> None:
    accept(store, "r1")
    got = claim(store)
    store.leases.finish("r1", got.fence, DONE)
    before = store.runs.find("r1")
    store.leases.finish("r1", got.fence, replace(DONE, status=RunStatus.FAILED))
    assert store.runs.find("r1") == before
    assert [c.stream for c in store.logs.read("r1")] == [END]


def test_a_queued_run_is_canceled_at_once(store: Store) -> None:
    accept(store, "r1", secrets=SECRETS)
    run = store.runs.request_cancel("r1", reason="canceled by me")
    assert (run.status, run.error) == (RunStatus.CANCELED, "canceled by me")
    assert not store.runs.secrets("r1")
    assert claim(store) is None
    assert store.logs.read("r1")[-1].stream == END


def test_a_running_run_learns_of_its_cancel(store: Store) -> None:
    accept(store, "r1")
    got = claim(store)
    assert store.runs.request_cancel("r1", reason="first").status is RunStatus.STARTED
    store.runs.request_cancel("r1", reason="second")
    (look,) = store.leases.look({"r1": got.fence})
    assert (look.held, look.cancel_reason) == (True, "first")


def test_a_finished_run_is_not_canceled(store: Store) -> None:
    accept(store, "r1")
    store.leases.finish("r1", claim(store).fence, DONE)
    assert store.runs.request_cancel("r1", reason="late").status is RunStatus.SUCCEEDED


def test_a_lost_run_that_should_stop_is_canceled_not_tried_again(store: Store) -> None:
    accept(store, "r1")
    claim(store, lease_s=-1)
    store.runs.request_cancel("r1", reason="canceled by me")
    assert store.recovery.reap("r1", retries=2).status is RunStatus.CANCELED


def test_a_new_run_supersedes_queued_ones_of_its_key(store: Store) -> None:
    accept(store, "active", task="t", supersede_key="main")
    claim(store)
    accept(store, "old", "other-task", task="t", supersede_key="main")
    accept(store, "new", task="t", supersede_key="main")
    accept(store, "branch", task="t", supersede_key="dev")
    states = {run.id: run.status for run in store.runs.list(RunFilter()).runs}
    assert states["active"] is RunStatus.STARTED
    assert states["old"] is RunStatus.CANCELED
    assert store.runs.find("old").error_code == "superseded"
    assert states["new"] is RunStatus.QUEUED
    assert states["branch"] is RunStatus.QUEUED


def test_pages_hold_every_run_once(store: Store) -> None:
    accept(store, *(f"r{number}" for number in range(7)))
    seen, cursor = [], ""
    while True:
        page = store.runs.list(RunFilter(), limit=3, cursor=cursor)
        seen += [run.id for run in page.runs]
        if not (cursor := page.cursor):
            break
    assert seen == [f"r{number}" for number in reversed(range(7))]


@pytest.mark.parametrize("cursor", ["x", "r1", "!!", "cjE5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "żółw"])
def test_a_foreign_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        store.runs.list(RunFilter(), cursor=cursor)


def test_filters(store: Store) -> None:
    accept(store, "r1", task="a", cause=Cause("manual"))
    accept(store, "r2", task="b", cause=Cause("timer"))
    got = claim(store)
    store.leases.progress("r1", got.fence, commit="abcdef1234")
    store.leases.finish(
        "r1", got.fence, replace(DONE, images=(("registry:5000/app_1:v1", "sha256:aa"),))
    )

    def found(**fields: object) -> list[str]:
        return [run.id for run in store.runs.list(RunFilter(**fields)).runs]

    assert found(task="a") == ["r1"]
    assert found(statuses=(RunStatus.QUEUED,)) == ["r2"]
    assert found(cause="timer") == ["r2"]
    assert found(commit="ABCD") == ["r1"]
    assert found(commit="abce") == []
    for image in (
        "sha256:aa",
        "app_1",
        "app_1:v1",
        "registry:5000/app_1",
        "registry:5000/app_1:v1",
        "registry:5000/app_1:v1@sha256:aa",
    ):
        assert found(image=image) == ["r1"], image
    for image in ("app", "appx1", "sha256:a", "app_1:v", "%"):
        assert found(image=image) == [], image
    now = store.runs.find("r1").created
    assert found(since=now - 10, until=now + 10) == ["r2", "r1"]
    assert found(until=now - 10) == []


def test_places_in_the_queue(store: Store) -> None:
    accept(store, "timer", lane="timer")
    accept(store, "r1", "r2")
    place = {name: store.runs.place(store.runs.find(name)) for name in ("timer", "r1", "r2")}
    assert {name: found.position for name, found in place.items()} == {
        "r1": 1,
        "r2": 2,
        "timer": 3,
    }
    claim(store)
    assert store.runs.place(store.runs.find("r1")) is None


def test_logs_are_read_by_number_and_step(store: Store) -> None:
    accept(store, "r1")
    got = claim(store)
    lines = [chunk(f"{n}\n", "ab"[n % 2]) for n in range(6)]
    store.leases.progress("r1", got.fence, chunks=lines)
    store.leases.finish("r1", got.fence, DONE)
    assert [c.number for c in store.logs.read("r1", after=4)] == [5, 6, 7]
    assert [c.data for c in store.logs.read("r1", step="b")] == [b"1\n", b"3\n", b"5\n", b"EOF"]
    assert len(store.logs.read("r1", max_bytes=3)) == 2
    assert [c.number for c in store.logs.read("r1", limit=2)] == [1, 2]


def test_moved_logs_leave_the_database(store: Store) -> None:
    accept(store, "r1")
    got = claim(store)
    store.leases.finish("r1", got.fence, DONE, chunks=[chunk("x\n")])
    assert store.logs.unmoved(older_than_s=-5) == ("r1",)
    store.logs.moved("r1", "logs/r1")
    store.logs.moved("r1", "logs/r1")
    assert (store.logs.read("r1"), store.logs.blob("r1")) == ((), "logs/r1")
    assert store.logs.unmoved(older_than_s=-5) == ()


def test_old_runs_are_forgotten_unless_archived(store: Store) -> None:
    accept(store, "r1", "r2")
    for _ in range(2):
        got = claim(store)
        store.leases.finish(got.run.id, got.fence, DONE, chunks=[chunk("x\n")])
    store.runs.set_archived("r2", True)
    assert store.recovery.old(older_than_s=-5) == (("r1", ""),)
    store.recovery.delete("r1")
    assert store.runs.get("r1") is None
    assert store.logs.read("r1") == ()


def test_runs_that_no_worker_was_told_of_are_found(store: Store) -> None:
    accept(store, "r1")
    assert store.recovery.unannounced(older_than_s=30) == ("default",)
    store.runs.announced("r1")
    assert store.recovery.unannounced(older_than_s=30) == ()
    assert store.recovery.unannounced(older_than_s=-1) == ("default",)


def test_a_run_beyond_its_deadline_is_asked_to_stop(store: Store) -> None:
    accept(store, "r1", request=RunRequest(command="x", timeout_s=-1000))
    got = claim(store)
    assert store.recovery.overdue() == ("r1",)
    (look,) = store.leases.look({"r1": got.fence})
    assert look.cancel_code == "run_timed_out"
    store.recovery.overdue()
    assert store.recovery.reap("r1", retries=2).status is RunStatus.TIMEOUT


def test_tasks_have_versions(store: Store) -> None:
    definition = TaskDefinition("app", RunRequest(source="https://host/a.git"))
    task = store.tasks.create(definition, SECRETS)
    assert store.tasks.get("app") == task
    assert task.secret_names.values == ("token",)
    assert store.tasks.secrets("app") == SECRETS
    with pytest.raises(Conflict):
        store.tasks.create(definition, RunSecrets())
    changed = store.tasks.replace(definition, RunSecrets(), version=1)
    assert changed.version == 2
    with pytest.raises(VersionMismatch):
        store.tasks.replace(definition, RunSecrets(), version=1)
    with pytest.raises(VersionMismatch):
        store.tasks.delete("app", version=1)
    store.tasks.delete("app", version=2)
    with pytest.raises(NotFound):
        store.tasks.find("app")


def test_tokens_are_found_by_id_and_revoked(store: Store) -> None:
    token = store.tokens.create(Token("t1", "ci", Role.RUNNER, ("app-*",)), "hash")
    assert store.tokens.find("t1") == (token, "hash")
    store.tokens.used("t1")
    assert store.tokens.find("t1")[0].last_used is not None
    assert store.tokens.revoke("t1")
    assert store.tokens.find("t1")[0].revoked
    assert not store.tokens.revoke("t2")


def test_audit_entries_are_numbered(store: Store) -> None:
    store.audit.add("me", "task.create", "tasks/app", {"a": 1})
    store.audit.add("you", "task.delete", "tasks/app", {})
    newest, oldest = store.audit.list()
    assert (newest.actor, oldest.detail) == ("you", {"a": 1})
    assert store.audit.list(before=newest.number) == (oldest,)
    assert store.audit.list(actor="me") == (oldest,)


def test_workers_are_seen_and_forgotten(store: Store) -> None:
    store.workers.tell(Worker("w1", "default", "host", 2, 0, 0))
    store.workers.tell(Worker("w1", "default", "host", 2, 0, 0, active=1))
    (worker,) = store.workers.list()
    assert worker.active == 1
    (pool,) = store.recovery.pools()
    assert (pool.pool, pool.workers, pool.slots) == ("default", 1, 2)
    store.workers.gone("w1")
    assert store.workers.list() == ()


def test_uploads_that_are_used_are_kept(store: Store) -> None:
    store.uploads.add("aa", 5)
    assert store.uploads.use("aa") == 5
    assert store.uploads.use("bb") is None
    assert not store.uploads.forget("aa", older_than_s=60)
    assert store.uploads.unused(older_than_s=-5) == ("aa",)
    assert store.uploads.forget("aa", older_than_s=-5)


def test_an_idempotency_key_belongs_to_its_first_request(store: Store) -> None:
    assert store.idempotency.reserve("me", "k", "body", "r1") == ("body", "r1")
    assert store.idempotency.reserve("me", "k", "other", "r2") == ("body", "r1")
    assert store.idempotency.reserve("you", "k", "other", "r2") == ("other", "r2")


def test_the_migrations_make_what_the_tables_say(store: Store) -> None:
    assert current(store.database) == head()
    assert upgrade(store.database) == (head(), head())
    with store.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_all_secrets_move_to_a_fresh_key(store: Store) -> None:
    accept(store, "r1", secrets=SECRETS)
    accept(store, "r2")
    store.tasks.create(TaskDefinition("app", RunRequest(command="x")), SECRETS)
    both = Envelope({**ENVELOPE.keys, "k2": bytes(32)})
    assert Store(store.database, both).rewrap() == 2
    newest = Store(store.database, Envelope({"k2": bytes(32)}))
    assert newest.runs.secrets("r1") == SECRETS
    assert newest.tasks.secrets("app") == SECRETS
    with pytest.raises(SealBroken):
        store.runs.secrets("r1")


def test_the_runs_of_a_dead_worker_are_lost_at_once(store: Store) -> None:
    accept(store, "r1", "r2")
    store.workers.tell(Worker("w1", "default", "host", 2, 0, 0))
    claim(store, "w1")
    claim(store, "w2")
    store.recovery.expire("w1")
    assert store.recovery.lost() == ("r1",)
    assert store.workers.list() == ()


def test_runs_of_a_time_are_the_newest_first_whether_few_or_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = {}
    for name in ("r1", "r2", "r3", "r4"):
        moments[name] = store.runs.accept(new(), run_id=name).created
        time.sleep(0.01)
    for many in (0, 2, 5000):
        monkeypatch.setattr("tasks_service.store.run_filter._MANY", many)
        since = RunFilter(since=moments["r2"])
        assert [run.id for run in store.runs.list(since).runs] == ["r4", "r3", "r2"]
        first = store.runs.list(since, limit=2)
        rest = store.runs.list(since, limit=2, cursor=first.cursor)
        assert [run.id for run in (*first.runs, *rest.runs)] == ["r4", "r3", "r2"]
        between = RunFilter(since=moments["r2"], until=moments["r4"])
        assert [run.id for run in store.runs.list(between).runs] == ["r3", "r2"]
