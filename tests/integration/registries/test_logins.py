"""Registries that want a login: digests are asked for, tags are moved, by either kind of login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.model.errors import Denied, RunnerError, Unavailable
from runners.model.status import RunStatus
from tasks_service.config import Settings
from tasks_service.egress.policy import EgressPolicy
from tasks_service.errors import NotFound
from tasks_service.model.run import (
    NewRun,
    RegistryCredential,
    RunEnd,
    RunRequest,
    RunSecrets,
)
from tasks_service.model.task import TaskDefinition
from tasks_service.registries import RegistryClient
from tasks_service.runs.rollback import Rollbacks
from tests.contract.stores import opened
from tests.fakes.own_registry import PASSWORD, USER, OwnRegistry, own_registry


@pytest.fixture(params=["basic", "tokens"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRegistry]:
    with own_registry(tmp_path, tokens=request.param == "tokens") as found:
        yield found


@pytest.fixture
def client(locked: OwnRegistry) -> Iterator[RegistryClient]:
    policy = EgressPolicy(allow_hosts=("127.0.0.1",))
    found = RegistryClient(
        policy, lambda host: (USER, PASSWORD) if host == locked.host else ("", "")
    )
    yield found
    found.close()


def test_a_tag_is_moved_byte_for_byte_with_a_login(
    locked: OwnRegistry, client: RegistryClient
) -> None:
    image = f"{locked.host}/team/app:1"
    many = locked.push("team/app", "old", "one", index=True)
    new = locked.push("team/app", "1", "two")
    assert client.digest(image).digest == new
    assert client.digest(image, new).unchanged or client.digest(image, new).digest == new
    client.retag(image, many)
    assert client.digest(image).digest == many
    client.retag(image, new)
    assert client.digest(image).digest == new
    with pytest.raises(NotFound, match="does not hold"):
        client.retag(image, "sha256:" + "0" * 64)
    if locked.tokens is not None:
        assert locked.tokens.scopes == [
            "repository:team/app:pull",
            "repository:team/app:pull,push",
        ]


def test_without_a_login_nothing_is_told_and_nothing_moved(locked: OwnRegistry) -> None:
    old = locked.push("app", "old", "one")
    new = locked.push("app", "1", "two")
    for login in (("", ""), (USER, "wrong")):
        stranger = RegistryClient(
            EgressPolicy(allow_hosts=("127.0.0.1",)), lambda _, login=login: login
        )
        try:
            with pytest.raises(Unavailable, match="401"):
                stranger.digest(f"{locked.host}/app:1")
            with pytest.raises(Denied, match="refuses"):
                stranger.retag(f"{locked.host}/app:1", old)
        finally:
            stranger.close()
    assert new != old


def test_a_rollback_goes_by_the_login_of_the_task_that_pushed(
    locked: OwnRegistry, tmp_path: Path
) -> None:
    image = f"{locked.host}/app:1"
    login = RunSecrets(credentials=(RegistryCredential(locked.host, USER, PASSWORD),))
    settings = Settings(state_dir=tmp_path, allow_hosts=("127.0.0.1",))
    with opened("sqlite", tmp_path) as store:
        store.tasks.create(TaskDefinition("app", RunRequest(command="x")), login)
        pushed = [locked.push("app", "1", text) for text in ("one", "two", "three")]
        for number, (digest, status) in enumerate(
            zip(pushed, (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED), strict=True)
        ):
            store.runs.accept(NewRun(RunRequest(command="x"), task="app"), run_id=f"r{number}")
            claim = store.leases.claim("default", owner="w", lease_s=60)
            assert claim is not None
            end = RunEnd(status, {"steps": []}, images=((image, digest),))
            store.leases.finish(claim.run.id, claim.fence, end)
        rollbacks = Rollbacks(store, settings, lambda task: task == "app")
        try:
            plan = rollbacks.plan(image)
            # What a failed run pushed is no place to go back to.
            assert (plan.old, plan.target.digest, plan.target.run_id) == (
                pushed[2],
                pushed[0],
                "r0",
            )
            rollbacks.do(plan)
            assert rollbacks.plan(image, to=pushed[1]).old == pushed[0]
            with pytest.raises(RunnerError, match="was moved this moment"):
                rollbacks.do(plan)
        finally:
            rollbacks.close()
