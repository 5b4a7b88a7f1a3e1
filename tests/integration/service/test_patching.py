"""The patching pipeline of examples/patching on a real service, and the way back.

Built anew by a timer, tested, promoted only when the test passes; the tag put
back, on a real registry, to what an earlier run pushed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.git_server import GitServer
from tests.faults.parts import await_that
from tests.integration.service.up import Up

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "patching"
ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
ACCEPT += "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    folder = tmp_path / "service"
    folder.mkdir()
    with Up(folder, state_dir, "--registry", registry, allow_hosts="127.0.0.1") as service:
        yield service


def digest(image: str) -> str:
    """Return what a registry says a tag is."""
    host, _, rest = image.partition("/")
    name, _, tag = rest.rpartition(":")
    answer = httpx2.head(f"http://{host}/v2/{name}/manifests/{tag}", headers={"Accept": ACCEPT})
    assert answer.status_code == 200, answer
    return str(answer.headers["docker-content-digest"])


def tasks(up: Up, *words: str, code: int = 0, token: str = "") -> str:
    """Run the command line against the service; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tasks_service.cli.main", *words],
        env={**os.environ, "TASKS_SERVER": up.url, "TASKS_TOKEN": token or up.token},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def rolled(up: Up, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tasks(up, "rollback", *words, "-o", "json"))
    return found


def run(up: Up, status: str = "Succeeded") -> str:
    """Run the pipeline once; return the run's id."""
    name = str(up.call("POST", "/tasks/shop/runs")["id"])
    record = up.wait(name)
    assert record["status"] == status, up.text(f"/runs/{name}/logs")
    return name


def test_a_nightly_pipeline_promotes_what_passes_and_can_be_put_back(
    up: Up, git_server: GitServer, tmp_path: Path, registry: str
) -> None:
    source = tmp_path / "shop"
    shutil.copytree(EXAMPLE, source)
    for name in ("acb.yaml", "Dockerfile"):
        text = (source / name).read_text()
        (source / name).write_text(text.replace("patching/shop", f"patching/{tmp_path.name}"))
    shop = f"{registry}/patching/{tmp_path.name}"
    publish(source, tmp_path / "git" / "shop.git")
    body = {"name": "shop", "source": f"{git_server.url('shop')}#main", "file": "acb.yaml"}
    timers = [{"name": "nightly", "schedule": "* * * * *"}]
    up.call("POST", "/tasks", json=body | {"timers": timers})

    # The first night, by the clock; then it is quiet again.
    await_that(lambda: up.call("GET", "/runs?cause=timer")["items"], 90)
    first = str(up.call("GET", "/runs?cause=timer")["items"][-1]["id"])
    up.call("PATCH", "/tasks/shop", json={"timers": []})
    assert up.wait(first)["status"] == "Succeeded", up.text(f"/runs/{first}/logs")
    old = digest(f"{shop}:1.0")
    assert digest(f"{shop}:1.0-{first}") == old

    # The second night: same commit, a fresh image.
    second = run(up)
    new = digest(f"{shop}:1.0")
    assert new != old
    commits = {up.call("GET", f"/runs/{one}")["commit"] for one in (first, second)}
    assert len(commits) == 1

    # The third: its test fails, and nobody gets it.
    (source / "greet").write_text("#!/bin/sh\necho goodbye\n")
    publish(source, tmp_path / "git" / "shop.git")
    third = run(up, "Failed")
    steps = {step["id"]: step["status"] for step in up.call("GET", f"/runs/{third}")["steps"]}
    assert steps["test"] == "Failed"
    assert steps["promote"] != "Succeeded"
    assert digest(f"{shop}:1.0") == new

    # The way back: looked at, done, refused where there is nothing earlier.
    seen = rolled(up, f"{shop}:1.0", "--dry-run")
    assert (seen["old"], seen["new"], seen["run"]) == (new, old, first)
    assert digest(f"{shop}:1.0") == new
    assert rolled(up, f"{shop}:1.0")["changed"] is True
    assert digest(f"{shop}:1.0") == old
    assert "before" in tasks(up, "rollback", f"{shop}:1.0", code=3)
    assert rolled(up, f"{shop}:1.0", "--to", old)["changed"] is False
    short = new.removeprefix("sha256:")[:10]
    assert rolled(up, f"{shop.partition('/')[2]}:1.0", "--to", short)["run"] == second
    assert digest(f"{shop}:1.0") == new
    actions = [entry for entry in up.call("GET", "/audit")["items"]
               if entry["action"] == "image.rollback"]  # fmt: skip
    assert [(one["object"], one["detail"]["new"]) for one in actions] == [
        (f"{shop}:1.0", new),
        (f"{shop}:1.0", old),
    ]

    # What nobody knows is refused, and so is what somebody else moved.
    assert "no run that is still known" in tasks(up, "rollback", f"{shop}:2.0", code=3)
    unknown = tasks(up, "rollback", f"{shop}:1.0", "--to", "sha256:" + "0" * 64, code=3)
    assert "no run that is still known pushed sha256:000" in unknown
    assert "digest" in tasks(up, "rollback", f"{shop}@{old}", code=2)
    assert "not a digest" in tasks(up, "rollback", f"{shop}:1.0", "--to", "latest", code=2)
    move(registry, shop, f"{registry}/base/busybox:1.36")
    moved = tasks(up, "rollback", f"{shop}:1.0", code=2)
    assert "which no run pushed" in moved
    assert old[:19] in moved
    assert rolled(up, f"{shop}:1.0", "--to", old)["new"] == old

    # A token that is for other tasks knows nothing of it.
    other = up.call("POST", "/tokens", json={"name": "x", "role": "runner", "tasks": ["other-*"]})
    assert "no run" in tasks(up, "rollback", f"{shop}:1.0", code=3, token=str(other["token"]))
    reader = up.call("POST", "/tokens", json={"name": "y", "role": "reader"})
    assert "role" in tasks(up, "rollback", f"{shop}:1.0", code=4, token=str(reader["token"]))

    # What the registry removed can't come back.
    removed = httpx2.delete(f"http://{registry}/v2/{shop.partition('/')[2]}/manifests/{new}")
    assert removed.status_code == 202
    assert "does not hold" in tasks(up, "rollback", f"{shop}:1.0", "--to", new, code=3)
    assert digest(f"{shop}:1.0") == old


def move(registry: str, shop: str, image: str) -> None:
    """Have the tag 1.0 mean something that no run pushed, as somebody with a login can."""
    name = image.partition("/")[2].rpartition(":")[0]
    base = f"http://{registry}/v2"
    path = shop.partition("/")[2]
    manifest = httpx2.get(f"{base}/{name}/manifests/1.36", headers={"Accept": ACCEPT})
    found = manifest.json()
    for blob in (found["config"], *found["layers"]):
        mounted = httpx2.post(
            f"{base}/{path}/blobs/uploads/", params={"mount": blob["digest"], "from": name}
        )
        assert mounted.status_code == 201
    put = httpx2.put(
        f"{base}/{path}/manifests/1.0",
        content=manifest.content,
        headers={"Content-Type": manifest.headers["content-type"]},
    )
    assert put.status_code == 201, put.text
