"""Pull requests, over real HTTP: a fork's waits, gets no secrets, and publishes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.git_server import GitServer
from tests.deliveries import PULLERS, Opened, pull
from tests.integration.service.up import Up

SECRET = "a-secret-of-the-webhook"


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    hosts = {"allow_hosts": "127.0.0.1", "allow_http_sources": "true", "git_poll": "0"}
    with Up(tmp_path, state_dir, "--registry", registry, **hosts) as service:
        yield service


class Forge:
    """A repository whose pull requests are commits on top of it."""

    def __init__(self, folder: Path, server: GitServer) -> None:
        self.folder = folder / "app"
        self.folder.mkdir()
        self._bare = folder / "git" / "app.git"
        self.url = server.url("app") + "#main"

    def commit(self, task: str) -> str:
        (self.folder / "Dockerfile").write_text("FROM scratch\nCOPY task.yaml /\n")
        (self.folder / "task.yaml").write_text(task)
        return publish(self.folder, self._bare)


def tell(up: Up, hook: dict[str, Any], opened: Opened, provider: str = "github") -> dict[str, Any]:
    delivery = pull(provider, opened, SECRET)
    answer = httpx2.post(
        up.url + hook["url"], content=delivery.body, headers=dict(delivery.headers), timeout=30
    )
    assert answer.status_code == 202, answer.text
    (item,) = answer.json()["items"]
    found: dict[str, Any] = item
    return found


def approve(up: Up, run: str, commit: str = "") -> httpx2.Response:
    return httpx2.post(
        f"{up.url}/api/v1/runs/{run}/approve",
        json={"commit": commit},
        headers={"Authorization": f"Bearer {up.token}"},
        timeout=30,
    )


def manifest(registry: str, name: str, tag: str) -> int:
    url = f"http://{registry}/v2/{name}/manifests/{tag}"
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    return httpx2.get(url, headers={"Accept": kinds}).status_code


@pytest.fixture
def forge(tmp_path: Path, git_server: GitServer) -> Forge:
    return Forge(tmp_path, git_server)


def hooked(up: Up, forge: Forge, base_image: str, **more: Any) -> dict[str, Any]:
    task = {"name": "app", "source": forge.url, "file": "task.yaml"}
    secrets = {"values": [{"name": "token", "value": "canary-of-the-task", "secret": True}]}
    up.call("POST", "/tasks", json=task | secrets)
    trigger = {"provider": "github", "repository": "octo/app", "pullRequests": True}
    hook: dict[str, Any] = up.call(
        "POST", "/tasks/app/triggers", json=trigger | {"secret": SECRET} | more
    )
    return hook


def test_a_forks_pull_request_waits_for_approval_of_its_commit_then_runs_without_rights(
    up: Up, forge: Forge, base_image: str, registry: str
) -> None:
    name = "pulls/app"
    # All ways out that its author may think of, and the words that look for secrets.
    hostile = f"""\
version: v1.1.0
steps:
  - id: build
    build: -t {registry}/{name}:latest --push --cache-to type=registry,ref={registry}/{name}:cache .
  - id: push
    push: ["{registry}/{name}:latest"]
  - id: look
    cmd: {base_image} sh -c "env; cat /proc/1/environ; echo token is '{{{{.Values.token}}}}'"
"""
    plain = "version: v1.1.0\nsteps:\n  - id: say\n    cmd: {} echo looked-at\n"
    first = forge.commit(plain.format(base_image))
    hook = hooked(up, forge, base_image)

    item = tell(up, hook, Opened(head=first))
    waiting = up.call("GET", f"/runs/{item['runId']}")
    assert (waiting["status"], waiting["waitsForApproval"]) == ("Queued", True)
    assert waiting["cause"]["kind"] == "pullrequest"
    assert tell(up, hook, Opened(head=first)) == item
    # One of the repository itself does not wait; a draft starts nothing.
    same = tell(up, hook, Opened(head=first, number=8, fork=False))
    run = up.wait(same["runId"])
    assert (run["status"], run["commit"]) == ("Succeeded", first)
    assert "draft" in tell(up, hook, Opened(head=first, number=9, draft=True))["note"]

    # Approve, then push: what was approved is gone, what came waits by itself.
    second = forge.commit(hostile)
    assert approve(up, item["runId"], second).status_code == 409
    newer = tell(up, hook, Opened(head=second, before=first))
    late = approve(up, item["runId"], first)
    assert (late.status_code, "superseded" in late.text) == (409, True)
    assert up.call("GET", f"/runs/{item['runId']}")["status"] == "Canceled"
    assert up.call("GET", f"/runs/{newer['runId']}")["waitsForApproval"] is True

    assert approve(up, newer["runId"], second).status_code == 202
    run = up.wait(newer["runId"])
    log = up.text(f"/runs/{run['id']}/logs")
    assert (run["status"], run["commit"]) == ("Succeeded", second), (
        run["error"],
        run["steps"],
        log,
    )
    assert "canary-of-the-task" not in log + up.log() + json.dumps(run)
    assert "token is ***" not in log
    assert [step["id"] for step in run["steps"]] == ["build", "look"]
    assert "step 'push' is left out" in log
    assert manifest(registry, name, "latest") == 404
    assert manifest(registry, name, "cache") == 404


def test_approval_is_of_the_task_as_it_was_when_the_pull_request_came(
    up: Up, forge: Forge, base_image: str
) -> None:
    plain = "version: v1.1.0\nsteps:\n  - id: say\n    cmd: {} echo looked-at\n"
    commit = forge.commit(plain.format(base_image))
    hook = hooked(up, forge, base_image)
    item = tell(up, hook, Opened(head=commit))
    up.call("PATCH", "/tasks/app", json={"timeout": 60})
    refused = approve(up, item["runId"])
    assert (refused.status_code, "changed" in refused.text) == (409, True)
    (delivery,) = up.call("GET", "/tasks/app/triggers/defaultSourceTriggerName/deliveries")["items"]
    path = f"/tasks/app/triggers/defaultSourceTriggerName/deliveries/{delivery['id']}/redeliver"
    again = up.call("POST", path)
    assert approve(up, again["runId"]).status_code == 202
    assert up.wait(again["runId"])["status"] == "Succeeded"
    # Who runs it again gets it held again.
    rerun = up.call("POST", f"/runs/{again['runId']}/rerun")
    assert rerun["waitsForApproval"] is True
    assert up.call("POST", f"/runs/{rerun['id']}/cancel")["status"] == "Canceled"


@pytest.mark.parametrize("provider", PULLERS)
def test_pull_requests_of_each_kind_of_server_are_told_apart(
    up: Up, forge: Forge, base_image: str, provider: str
) -> None:
    commit = forge.commit(f"version: v1.1.0\nsteps:\n  - cmd: {base_image} echo hello\n")
    names = {"provider": provider, "repository": "app" if provider == "azure" else "octo/app"}
    hook = hooked(up, forge, base_image, **names)
    fork = tell(up, hook, Opened(head=commit), provider)
    assert up.call("GET", f"/runs/{fork['runId']}")["waitsForApproval"] is True
    own = tell(up, hook, Opened(head=commit, number=8, fork=False), provider)
    run = up.wait(own["runId"])
    assert (run["status"], run["commit"]) == ("Succeeded", commit)
