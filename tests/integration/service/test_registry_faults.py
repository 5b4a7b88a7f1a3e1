"""A real registry that is killed, and one that is asked in another way."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks_service.api.tokens import make_token
from tasks_service.config import Settings
from tasks_service.devstack import processes, registry, small_image
from tasks_service.devstack.layout import CHECKOUT, Layout
from tasks_service.model.access import Role
from tasks_service.model.run import Cause
from tasks_service.registries.client import ACCEPT
from tests.faults.cascade import Scheduler
from tests.faults.parts import await_that, quiet_port
from tests.integration.service.conftest import Service
from tests.integration.service.test_cli_bases import run

INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
NAMES = tuple(f"base{number}" for number in range(5))
EVENTS = "/api/v1/events/registry"


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Layout]:
    """A place for a registry of the test's own."""
    found = Layout(CHECKOUT, root=tmp_path / "registry")
    found.prepare()
    yield found
    registry.stop(found)


@pytest.fixture
def empty(tmp_path: Path, service_log: Path) -> Iterator[Service]:
    del service_log
    found = Service(tmp_path / "service", base_debounce=0.0, base_poll=3600.0)
    yield found
    found.close()


def push(address: str, name: str, version: str) -> str:
    program = shutil.which("busybox")
    assert program is not None
    return small_image.push_busybox(Path(program), address, name, "1", files={"v": version})


def scheduler(service: Service) -> Scheduler:
    settings = Settings(state_dir=service.folder, base_debounce=0.0, base_poll=3600.0)
    return Scheduler(service.store, settings)


def test_changes_whose_notifications_died_with_the_registry_are_found_when_it_is_back(
    where: Layout, empty: Service
) -> None:
    token = make_token(empty.store, name="registry", role=Role.RUNNER).text
    nobody = f"http://127.0.0.1:{quiet_port()}{EVENTS}"
    address = registry.start(where, tells=(nobody, token))
    for name in NAMES:
        digest = push(address, name, "1")
        run(empty, f"on-{name}", f"{address}/{name}:1", f"{address}/on/{name}:1", digest,
            Cause("manual", "ann"))  # fmt: skip
    one = scheduler(empty)
    one.watching.look()
    assert empty.store.cascades.due(limit=9) == ()

    new = {f"{address}/{name}:1": push(address, name, "2") for name in NAMES}
    record = processes.find(registry.NAME, where.run)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    await_that(lambda: registry._bindable(int(address.rpartition(":")[2])))
    assert registry.start(where, tells=(f"{empty.url}{EVENTS}", token)) == address
    push(address, "nobody/stands/on/this", "1")
    deadline = time.monotonic() + 20
    while len(changes := empty.store.cascades.unplanned()[0]) < len(NAMES):
        assert time.monotonic() < deadline, empty.store.cascades.watches()
        one.watching.look()
        time.sleep(0.05)
    assert {change.reference: change.new for change in changes} == new
    one.client.close()


def test_an_index_is_one_digest_for_us_and_another_for_who_does_not_take_it(
    registry: str, empty: Service
) -> None:
    child = push(registry, "accepts", "1")
    size = int(head(registry, child, MANIFEST)["content-length"])
    listed = [
        {"mediaType": MANIFEST, "digest": child, "size": size,
         "platform": {"architecture": "amd64", "os": "linux"}},
    ]  # fmt: skip
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
    connection = http.client.HTTPConnection(registry, timeout=30)
    connection.request("PUT", "/v2/accepts/manifests/1", body, {"Content-Type": INDEX})
    index = connection.getresponse().headers["docker-content-digest"]
    connection.close()
    assert head(registry, "1", MANIFEST)["docker-content-digest"] == child != index
    assert head(registry, "1", ACCEPT)["docker-content-digest"] == index
    one = scheduler(empty)
    assert one.client.digest(f"{registry}/accepts:1").digest == index
    one.client.close()


def head(registry: str, tag: str, accept: str) -> dict[str, str]:
    connection = http.client.HTTPConnection(registry, timeout=30)
    try:
        connection.request("HEAD", f"/v2/accepts/manifests/{tag}", headers={"Accept": accept})
        answer = connection.getresponse()
        answer.read()
        return {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()
