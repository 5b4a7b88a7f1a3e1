"""Pushes that nobody tells: found by looking, while the service runs and after it was down."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.git_server import GitServer
from tests.integration.service.up import Up


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    more = {"allow_hosts": "127.0.0.1", "allow_http_sources": "true"}
    with Up(tmp_path, state_dir, "--registry", registry, **more) as service:
        yield service


class Forge:
    """A repository of three branches."""

    def __init__(self, folder: Path, base_image: str) -> None:
        self._source, self._bare = folder / "app", folder / "git" / "app.git"
        self._source.mkdir()
        self._image = base_image

    def push(self, branch: str, word: str, *tags: str) -> str:
        echo = f"echo {word} of '{{{{.Run.Branch}}}}'"
        text = f"version: v1.1.0\nsteps:\n  - cmd: {self._image} {echo}\n"
        (self._source / "task.yaml").write_text(text)
        return publish(self._source, self._bare, branch=branch, message=word, tags=tags)


def runs(up: Up, count: int) -> list[dict[str, Any]]:
    """Return the runs of the task once there are so many, oldest first."""
    deadline = time.monotonic() + 60
    while len(found := up.call("GET", "/runs?task=app")["items"]) < count:
        assert time.monotonic() < deadline, (found, up.log())
        time.sleep(0.2)
    return list(reversed(found))


def looked(up: Up) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        (trigger,) = up.call("GET", "/tasks/app/triggers")["items"]
        if trigger["polled"]:
            found: dict[str, Any] = trigger
            return found
        assert time.monotonic() < deadline, up.log()
        time.sleep(0.2)


def test_three_pushes_while_the_service_is_down_are_found_and_each_is_built_once(
    up: Up, git_server: GitServer, base_image: str, tmp_path: Path
) -> None:
    forge = Forge(tmp_path, base_image)
    for branch in ("main", "release/1", "wip/x"):
        forge.push(branch, "before")
    source = git_server.url("app") + "#main"
    up.call("POST", "/tasks", json={"name": "app", "source": source, "file": "task.yaml"})
    trigger = {"name": "push", "provider": "github", "repository": "octo/app"}
    wanted = {"refs": ["main", "release/*", "refs/tags/v*"], "pollSeconds": 3600}
    up.call("POST", "/tasks/app/triggers", json=trigger | wanted)
    assert looked(up)["pollProblem"] == ""
    assert up.call("GET", "/runs?task=app")["items"] == []

    assert up.end(signal.SIGTERM) == 0
    # Of several pushes to one branch the newest is worth building.
    skipped = forge.push("main", "skipped")
    pushed = [
        ("main", forge.push("main", "first")),
        ("release/1", forge.push("release/1", "second")),
        ("", forge.push("release/2", "third", "v1")),
        ("release/2", forge.push("release/2", "third")),
    ]
    forge.push("wip/x", "unwanted")
    up.start()

    found = [up.wait(run["id"]) for run in runs(up, 4)]
    assert {run["status"] for run in found} == {"Succeeded"}
    assert sorted((run["branch"], run["commit"]) for run in found) == sorted(pushed)
    assert skipped not in {run["commit"] for run in found}
    assert {run["cause"]["kind"] for run in found} == {"commit"}
    deliveries = up.call("GET", "/tasks/app/triggers/push/deliveries")["items"]
    assert {one["via"] for one in deliveries} == {"poll"}

    # Nothing of it is found again, by the next look or after the next start.
    up.end(signal.SIGKILL)
    up.start()
    time.sleep(5)
    assert len(up.call("GET", "/runs?task=app")["items"]) == 4


def test_a_server_that_cannot_reach_us_is_looked_at_and_its_refusal_is_shown(
    up: Up, git_server: GitServer, base_image: str, tmp_path: Path
) -> None:
    forge = Forge(tmp_path, base_image)
    forge.push("main", "before")
    url = git_server.url("app")
    up.call("POST", "/tasks", json={"name": "app", "source": url, "file": "task.yaml"})
    trigger = {"name": "push", "provider": "gitlab", "pollSeconds": 10}
    up.call("POST", "/tasks/app/triggers", json=trigger)
    looked(up)
    # Without patterns and a branch in the source it is the default branch.
    commit = forge.push("main", "after")
    forge.push("other", "elsewhere")
    (run,) = runs(up, 1)
    assert up.wait(run["id"])["commit"] == commit

    gone = git_server.url("gone")
    up.call("POST", "/tasks", json={"name": "gone", "source": gone, "file": "task.yaml"})
    up.call("POST", "/tasks/gone/triggers", json=trigger)
    deadline = time.monotonic() + 30
    while not (one := up.call("GET", "/tasks/gone/triggers")["items"][0])["pollProblem"]:
        assert time.monotonic() < deadline, up.log()
        time.sleep(0.2)
    assert "there is no Git repository at" in one["pollProblem"]
