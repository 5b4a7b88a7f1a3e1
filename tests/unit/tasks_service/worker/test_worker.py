"""Workers on scripted runners and a real store: runs end once, rightly, recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from runners.backends.fake import FakeBackend, Scripted
from runners.model.errors import Unavailable
from runners.model.status import RunStatus
from runners.sandbox import ContainerRequest
from tasks_service.model.run import BuildRequest, NewRun, RegistryCredential, RunRequest, RunSecrets
from tasks_service.store import Store
from tests.contract.stores import opened
from tests.faults.service import Inside, check_invariants, inside, wait_for


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Inside]:
    with opened("sqlite", tmp_path) as store, inside(store, tmp_path) as found:
        yield found


def said(*lines: str, **more: Any) -> Any:
    def script(request: ContainerRequest, attempt: int) -> Scripted:
        return Scripted(output=tuple(("stdout", line.encode()) for line in lines), **more)

    return script


def test_a_run_is_claimed_performed_and_recorded(service: Inside) -> None:
    service.accept("r1", "first", "second")
    service.worker(said("hello\n"))
    (run,) = service.ended("r1")
    assert run.status is RunStatus.SUCCEEDED
    assert [(step["id"], step["status"], step["needs"]) for step in run.steps] == [
        ("s1", "Succeeded", []),
        ("s2", "Succeeded", ["s1"]),
    ]
    assert run.record is not None
    assert run.record["runId"] == "r1"
    assert service.log("r1", step="s2") == "hello\nEOF"
    assert run.log_state == "complete"
    check_invariants(service)


def test_a_failing_step_fails_the_run_with_its_words(service: Inside) -> None:
    service.accept("r1", "image")
    service.worker(said(exit_code=3, last_output=(("stderr", b"last words"),)))
    (run,) = service.ended("r1")
    assert run.status is RunStatus.FAILED
    assert "exit" in run.error
    assert service.log("r1", step="s1") == "last wordsEOF"


def test_what_can_not_be_compiled_ends_the_run_as_the_users_fault(service: Inside) -> None:
    service.accept("r1", content="version: v1.1.0\nsteps:\n  - cmmd: x\n")
    service.worker()
    (run,) = service.ended("r1")
    assert run.status is RunStatus.FAILED
    assert run.error_code == "invalid_task_file"
    check_invariants(service)


@pytest.mark.parametrize("source", ["/etc", ".", "../x", "file:///etc"])
def test_a_path_of_the_server_is_no_source(service: Inside, source: str) -> None:
    service.accept("r1", source=source)
    service.worker()
    (run,) = service.ended("r1")
    assert run.status is RunStatus.FAILED
    assert run.error_code == "invalid_input"


def test_secrets_of_providers_are_not_fetched_for_a_task_file(service: Inside) -> None:
    content = (
        "version: v1.1.0\nsecrets:\n  - id: s\n    keyvault: https://x.vault.azure.net/secrets/a\n"
        "steps:\n  - cmd: image\n"
    )
    service.accept("r1", content=content)
    service.worker()
    (run,) = service.ended("r1")
    assert run.status is RunStatus.FAILED
    assert "no secrets from vaults" in run.error


def test_secrets_are_masked_in_log_error_and_record(service: Inside) -> None:
    secret = "canary-7f3a9c"
    content = (
        "version: v1.1.0\nsteps:\n"
        "  - id: s1\n    cmd: image {{.Values.token}}\n    env: ['T={{.Values.token}}']\n"
    )
    service.accept("r1", content=content, secrets=RunSecrets(values=(f"token={secret}",)))
    service.worker(said(f"it is {secret}\n", error=Unavailable(f"no {secret} here")))
    (run,) = service.ended("r1")
    assert "***" in service.log("r1")
    assert secret not in service.log("r1")
    assert secret not in f"{run}"


def test_a_run_gets_its_own_logins_and_the_services(tmp_path: Path, service: Inside) -> None:
    asked: list[Any] = []

    class Backend(FakeBackend):
        def open(self, request: Any, cancel: Any) -> Any:
            asked.append(request)
            return super().open(request, cancel)

    own = RegistryCredential("other.example:5000", "me", "own-password")
    service.accept("r1", "localhost:6379/image", secrets=RunSecrets(credentials=(own,)))
    service.worker(
        backend=Backend(),
        registry="127.0.0.1:5000",
        registry_username="service",
        registry_password="service-password",
    )
    service.ended("r1")
    (request,) = asked
    assert {login.registry for login in request.logins} == {"127.0.0.1:5000", "other.example:5000"}
    # The text names a loopback address; that opens nothing.
    assert request.registries == ("127.0.0.1:5000",)


def test_a_no_op_run_costs_two_transactions(service: Inside) -> None:
    statements: list[str] = []
    service.accept("r1")

    def began(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if threading.current_thread().name.startswith(("slot-", "record-")):
            statements.append(statement)

    event.listen(service.store.database.engine, "before_cursor_execute", began)
    service.worker(concurrency=1, heartbeat=60.0)
    service.ended("r1")
    event.remove(service.store.database.engine, "before_cursor_execute", began)
    writes = [words for words in statements if words.startswith("UPDATE runs")]
    # The claim; the end, with all that was not written before, and its closing chunk.
    assert len([words for words in writes if "status=" in words]) == 2
    assert len(writes) <= 3


def test_many_runs_share_the_slots_and_each_ends_once(service: Inside) -> None:
    for number in range(30):
        service.accept(f"r{number}")
    started: list[str] = []
    lock = threading.Lock()

    def script(request: ContainerRequest, attempt: int) -> Scripted:
        with lock:
            started.append(request.name)
        return Scripted()

    service.worker(script, concurrency=4)
    service.worker(script, concurrency=4)
    service.ended()
    assert len(started) == 30
    check_invariants(service)


def test_a_cancel_stops_a_run_within_seconds(service: Inside) -> None:
    service.accept("r1")
    service.worker(said("begun\n", delay_s=60))
    wait_for(lambda: "begun" in service.log("r1"))
    service.store.runs.request_cancel("r1", reason="canceled by me")
    (run,) = service.ended("r1", within_s=5)
    assert run.status is RunStatus.CANCELED
    assert run.error == "canceled by me"
    check_invariants(service)


def test_a_run_beyond_its_time_ends_as_timeout(service: Inside) -> None:
    service.accept("r1", timeout_s=1)
    service.worker(said(delay_s=60))
    (run,) = service.ended("r1", within_s=8)
    assert run.status is RunStatus.TIMEOUT
    assert run.error_code == "run_timed_out"


def push(service: Inside, run_id: str = "r1") -> None:
    request = RunRequest(
        content=(
            "version: v1.1.0\nsteps:\n"
            "  - id: b\n    build: -t registry.example/app:1 https://github.com/o/r.git\n"
            "  - id: p\n    push: [registry.example/app:1]\n"
        )
    )
    service.store.runs.accept(NewRun(request), run_id=run_id)
    service.accepted.append(run_id)


IMAGE = "registry.example/app:1"


def test_a_pushed_image_is_in_the_record(service: Inside) -> None:
    push(service)
    service.worker()
    (run,) = service.ended("r1")
    assert run.status is RunStatus.SUCCEEDED
    assert run.published
    assert len(run.images) == 1
    assert run.images[0].startswith(IMAGE)


def test_published_is_written_before_the_push_begins(service: Inside) -> None:
    push(service)
    seen: list[bool] = []

    class Backend(FakeBackend):
        def open(self, request: Any, cancel: Any) -> Any:
            sandbox = super().open(request, cancel)
            inner = sandbox.push

            def pushes(*words: Any) -> Any:
                seen.append(service.run("r1").published)
                return inner(*words)

            sandbox.push = pushes  # type: ignore[method-assign]
            return sandbox

    service.worker(backend=Backend())
    service.ended("r1")
    assert seen == [True]


def test_nothing_is_pushed_for_a_run_that_another_holds(service: Inside) -> None:
    push(service)
    backend = FakeBackend(works={IMAGE: Scripted(delay_s=0)})

    class Backend(FakeBackend):
        def open(self, request: Any, cancel: Any) -> Any:
            sandbox = backend.open(request, cancel)
            inner = sandbox.build

            def builds(*words: Any) -> Any:
                done = inner(*words)
                # While it built its lease was given to nobody and the run queued again.
                service.store.leases.release("r1", service.run("r1").fence, reason="taken away")
                service.store.runs.request_cancel("r1", reason="enough")
                return done

            sandbox.build = builds  # type: ignore[method-assign]
            return sandbox

    service.worker(backend=Backend(), heartbeat=60.0)
    (run,) = service.ended("r1")
    wait_for(lambda: service.workers[0].active == 0)
    assert run.status is RunStatus.CANCELED
    assert not run.published
    assert backend.sandboxes[0].asked.pushes == []


def test_a_cancel_does_not_tear_a_push(service: Inside) -> None:
    push(service)
    service.worker(works={IMAGE: Scripted()}, backend=SlowPush(2.5))
    wait_for(lambda: service.run("r1").published)
    service.store.runs.request_cancel("r1", reason="too late")
    (run,) = service.ended("r1")
    assert run.status is RunStatus.SUCCEEDED
    assert len(run.images) == 1


class SlowPush(FakeBackend):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def open(self, request: Any, cancel: Any) -> Any:
        sandbox = super().open(request, cancel)
        inner = sandbox.push

        def pushes(reference: str, output: Any, cancel: Any) -> Any:
            if cancel.wait(self._seconds):
                raise cancel.reason
            return inner(reference, output, cancel)

        sandbox.push = pushes  # type: ignore[method-assign]
        return sandbox


def test_a_worker_that_stops_gives_its_runs_back(service: Inside) -> None:
    service.accept("r1")
    first = service.worker(said("begun\n", delay_s=60))
    wait_for(lambda: "begun" in service.log("r1"))
    first.stop()
    run = service.run("r1")
    assert run.status is RunStatus.QUEUED
    assert not service.store.workers.list()
    service.worker(said("again\n"))
    (run,) = service.ended("r1")
    assert run.status is RunStatus.SUCCEEDED
    assert run.attempt == 2
    log = service.log("r1")
    assert log.index("begun") < log.index("queued again") < log.index("again\nEOF")
    check_invariants(service)


def test_a_draining_worker_ends_what_it_has_and_takes_nothing(service: Inside) -> None:
    service.accept("r1")
    worker = service.worker(said("begun\n", delay_s=1), concurrency=1)
    wait_for(lambda: "begun" in service.log("r1"))
    service.accept("r2")
    worker.drain()
    assert service.run("r1").status is RunStatus.SUCCEEDED
    assert service.run("r2").status is RunStatus.QUEUED
    worker.drain()


def test_a_machine_without_runners_gives_the_run_back_a_few_times(service: Inside) -> None:
    class Backend(FakeBackend):
        opened = 0

        def open(self, request: Any, cancel: Any) -> Any:
            Backend.opened += 1
            raise Unavailable("the engine does not answer")

    service.accept("r1")
    service.worker(backend=Backend(), infra_retries=1)
    (run,) = service.ended("r1")
    assert (run.status, run.attempt, Backend.opened) == (RunStatus.ERROR, 2, 2)
    assert "engine does not answer; the run is queued again" in service.log("r1")
    check_invariants(service)


class Away:
    """Stands before a store; while ``away`` it does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = threading.Event()

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._store, name)
        return _AwayPart(part, self.away) if name in ("leases", "workers") else part


class _AwayPart:
    def __init__(self, part: Any, away: threading.Event) -> None:
        self._part = part
        self._away = away

    def __getattr__(self, name: str) -> Any:
        if self._away.is_set():
            raise Unavailable("the database does not answer")
        return getattr(self._part, name)


def test_a_worker_that_can_not_renew_stops_its_runs_by_itself(service: Inside) -> None:
    service.accept("r1")
    away = Away(service.store)
    backend = FakeBackend(said("begun\n", delay_s=60))
    service.worker(backend=backend, store=away)
    wait_for(lambda: "begun" in service.log("r1"))
    away.away.set()
    wait_for(lambda: backend.sandboxes[0].closed, within_s=6)
    wait_for(lambda: service.workers[0].active == 0)
    assert not service.run("r1").status.finished
    away.away.clear()
    # The worker gives up a moment before others may take the run.
    wait_for(lambda: service.store.recovery.lost() == ("r1",))
    service.store.recovery.reap("r1", retries=0)
    check_invariants(service)


def test_an_end_is_written_once_the_database_is_back(service: Inside) -> None:
    service.accept("r1")
    away = Away(service.store)
    backend = FakeBackend(said("begun\n", delay_s=0.5))
    service.worker(backend=backend, store=away)
    wait_for(lambda: "begun" in service.log("r1"))
    away.away.set()
    wait_for(lambda: backend.sandboxes[0].closed)
    assert not service.run("r1").status.finished
    away.away.clear()
    (run,) = service.ended("r1")
    assert run.status is RunStatus.SUCCEEDED
    check_invariants(service)


def test_an_idle_worker_is_woken_through_the_embedded_queue(service: Inside) -> None:
    from tasks_service.queue import open_queue

    worker = service.worker(listens=True)
    wait_for(lambda: worker.silent_s < 5)
    assert worker._consumer is not None
    assert worker._consumer.await_ready(10)
    queue = open_queue(service.settings, embedded=True)
    for number in range(3):
        service.accept(f"r{number}")
        queue.wake("default")
    service.ended(within_s=5)
    queue.close()


def test_a_quick_build_reads_its_context_from_the_uploads(service: Inside, tmp_path: Path) -> None:
    import hashlib
    import io
    import tarfile

    from tasks_service.blobs import UPLOADS, open_blobs

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(b"FROM scratch\n")
        tar.addfile(member, io.BytesIO(b"FROM scratch\n"))
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    open_blobs(service.settings, UPLOADS).put(digest, [packed.getvalue()], digest=digest)
    request = RunRequest(source=f"upload:{digest}", build=BuildRequest(images=(IMAGE,)))
    missing = RunRequest(source="upload:" + "0" * 64, build=BuildRequest(images=(IMAGE,)))
    for run_id, asked in (("r1", request), ("r2", missing)):
        service.store.runs.accept(NewRun(asked), run_id=run_id)
        service.accepted.append(run_id)
    service.worker()
    first, second = service.ended()
    assert first.status is RunStatus.SUCCEEDED, first.error
    assert second.status is RunStatus.FAILED
    assert "not there any more" in second.error
