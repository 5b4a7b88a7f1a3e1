"""The doors for registries' notifications: with a token, or with a key in the URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.model.status import RunStatus
from tasks_service.model.run import NewRun, RunEnd, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tests.contract.api_server import Api, api

KEY = "a-key-that-nobody-guesses"
BASE = "registry.example/team/base:1"
EVENTS: dict[str, Any] = {
    "distribution": {"events": [{"action": "push", "target": {
        "repository": "team/base", "tag": "1", "digest": "sha256:2"}}]},
    "azure": {"action": "push", "target": {
        "repository": "team/base", "tag": "1", "digest": "sha256:2"}},
    "harbor": {"type": "PUSH_ARTIFACT", "event_data": {
        "repository": {"repo_full_name": "team/base"}, "resources": [{"tag": "1"}]}},
    "github": {"package": {"namespace": "team", "name": "base", "package_version": {
        "container_metadata": {"tag": {"name": "1", "digest": "sha256:2"}}}}},
    "hub": {"repository": {"repo_name": "team/base"}, "push_data": {"tag": "1"}},
    "quay": {"docker_url": "quay.example/team/base", "updated_tags": ["1"]},
    "ecr": {"detail-type": "ECR Image Action", "detail": {
        "action-type": "PUSH", "result": "SUCCESS", "repository-name": "team/base",
        "image-tag": "1", "image-digest": "sha256:2"}},
}  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Api]:
    with api("sqlite", tmp_path, event_key=KEY) as found:
        store = found.store
        store.tasks.create(TaskDefinition("app", RunRequest(command="x")), RunSecrets())
        store.runs.accept(NewRun(RunRequest(command="x"), task="app"), run_id="first")
        claim = store.leases.claim("default", owner="w", lease_s=60)
        assert claim is not None
        bases = [{"reference": BASE, "role": "runtime", "digest": "sha256:1"}]
        end = RunEnd(RunStatus.SUCCEEDED, {"baseImages": bases, "outputImages": []})
        store.leases.finish("first", claim.fence, end)
        (watch,) = store.cascades.watches()
        store.cascades.checked(watch, "sha256:1", via="poll", next_s=3600)
        yield found


@pytest.mark.parametrize("registry", EVENTS)
def test_each_registrys_notification_is_heard_at_both_doors(served: Api, registry: str) -> None:
    event = EVENTS[registry]
    answer = served.call("POST", "/api/v1/events/registry", json=event)
    assert (answer.status_code, answer.json()) == (202, {"watched": 1})
    (watch,) = served.store.cascades.watches()
    served.store.cascades.checked(watch, "sha256:1", via="poll", next_s=3600)
    answer = served.client.post(f"/hooks/registry/{KEY}", json=event)
    assert (answer.status_code, answer.json()) == (202, {"watched": 1})
    assert served.store.cascades.due(limit=10)[0].reference == BASE


@pytest.mark.parametrize("key", ["", "x", KEY[:-1], KEY + "x", KEY.upper(), "%00", "ü"])
def test_nobody_without_the_key_is_heard(served: Api, key: str) -> None:
    answer = served.client.post(f"/hooks/registry/{key}", json=EVENTS["hub"])
    assert answer.status_code in (403, 404, 405), answer.text
    assert KEY not in answer.text
    assert {watch.hinted for watch in served.store.cascades.watches()} == {""}


def test_a_service_without_a_key_has_no_such_door(tmp_path: Path) -> None:
    with api("sqlite", tmp_path) as found:
        for key in ("", "x", KEY):
            answer = found.client.post(f"/hooks/registry/{key}", json=EVENTS["hub"])
            assert answer.status_code in (403, 404, 405), answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"[" * 100_000, b'{"events": [5]}'])
def test_nonsense_is_refused_or_ignored(served: Api, body: bytes) -> None:
    answer = served.client.post(f"/hooks/registry/{KEY}", content=body)
    assert answer.status_code in (202, 422), answer.text
