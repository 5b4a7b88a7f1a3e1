"""A worker on the real runner backend: a Git source is built, pushed, run, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.blobs import UPLOADS, open_blobs
from tasks_service.model.run import NewRun, RunRequest, RunSecrets
from tasks_service.queue import open_queue
from tasks_service.worker import Worker
from tests.contract.stores import opened
from tests.faults.service import Inside, check_invariants, inside, wait_for
from tests.integration.cli.conftest import (
    Repository,
    Tasks,
    new_repository,
    source_folder,
    tasks,
)

__all__ = ["new_repository", "source_folder", "tasks"]

TASK = """\
version: v1.1.0
steps:
  - id: image
    build: -t {{{{.Run.Registry}}}}/worker/app:{{{{.Run.ID}}}} .
  - id: push
    push: ["{{{{.Run.Registry}}}}/worker/app:{{{{.Run.ID}}}}"]
  - id: look
    cmd: {base} sh -c 'echo "commit {{{{.Run.Commit}}}} secret {{{{.Values.token}}}}"; cat file'
"""
CANARY = "canary-5d2e81"
SECRETS = RunSecrets(values=(f"token={CANARY}",))


@pytest.fixture
def service(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Inside]:
    with (
        opened("sqlite", tmp_path) as store,
        inside(
            store,
            tmp_path,
            backend="dind",
            runner_state_dir=str(state_dir),
            registry=registry,
            allow_hosts=("127.0.0.1",),
            lease=20.0,
            heartbeat=2.0,
        ) as found,
    ):
        yield found


def worker(service: Inside, **changes: object) -> Worker:
    settings = replace(service.settings, **changes)
    made = Worker(
        settings,
        service.store,
        open_queue(settings),
        open_blobs(settings, UPLOADS),
        listens=False,
    )
    service.workers.append(made)
    made.start()
    return made


def accept(service: Inside, run_id: str, source: str, registry: str) -> None:
    request = RunRequest(source=source, registry=registry, timeout_s=120)
    service.store.runs.accept(NewRun(request, SECRETS), run_id=run_id)
    service.accepted.append(run_id)


def test_a_git_source_is_built_pushed_and_run(
    service: Inside,
    new_repository: Callable[[str], Repository],
    base_image: str,
    registry: str,
    tasks: Tasks,
) -> None:
    repository = new_repository("app")
    commit = repository.commit(
        {
            "acb.yaml": TASK.format(base=base_image),
            "Dockerfile": f"FROM {base_image}\nCOPY file /file\n",
            "file": "from the source\n",
        }
    )
    accept(service, "worker1", f"{repository.url}#main", registry)
    worker(service)
    (run,) = service.ended("worker1", within_s=110)
    log = service.log("worker1")
    assert run.status is RunStatus.SUCCEEDED, f"{run.error}\n{log}"
    assert run.commit == commit
    assert run.published
    assert len(run.images) == 1
    assert f"commit {commit} secret ***\nfrom the source\n" in service.log("worker1", step="look")
    assert CANARY not in f"{log}{run}"
    assert tasks.left() == []
    check_invariants(service)


def test_a_cancel_removes_a_real_runner(service: Inside, base_image: str, tasks: Tasks) -> None:
    service.accept("worker2", f"{base_image} sh -c 'echo begun; sleep 60'")
    worker(service)
    wait_for(lambda: "begun" in service.log("worker2"), within_s=60)
    service.store.runs.request_cancel("worker2", reason="canceled by a test")
    (run,) = service.ended("worker2", within_s=30)
    assert run.status is RunStatus.CANCELED
    assert tasks.left() == []
    check_invariants(service)
