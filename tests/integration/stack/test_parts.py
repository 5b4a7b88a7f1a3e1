"""The stack's parts as the tests find them: registry, base image, both engines."""

from __future__ import annotations

import http.client
import json
import shutil
from pathlib import Path

from runners.backends.dind.engine_api import EngineApi, unix_dial
from tasks_service.devstack import containers, engines, small_image
from tasks_service.devstack.engines import Engine


def get(registry: str, path: str, accept: str = "*/*") -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(registry, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_the_registry_speaks_the_distribution_protocol(registry: str) -> None:
    status, _, headers = get(registry, "/v2/")
    assert status == 200
    assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_the_base_image_is_in_the_registry(registry: str, base_image: str) -> None:
    repository, _, tag = base_image.removeprefix(f"{registry}/").rpartition(":")
    status, body, _ = get(
        registry,
        f"/v2/{repository}/manifests/{tag}",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
    assert status == 200
    assert json.loads(body)["layers"]


def test_the_base_image_runs_in_each_engine(engine: str, base_image: str) -> None:
    engines.pull(Engine(engine, ours=False), base_image)
    output = containers.output_of(Engine(engine, ours=False), base_image, ["echo", "it runs"])
    assert output == "it runs\n"


def test_both_engines_answer_and_are_two(engine_old: str, engine_new: str) -> None:
    answers = [
        EngineApi(unix_dial(address.removeprefix("unix://")), address).get("/info")
        for address in (engine_old, engine_new)
    ]
    assert answers[0]["ID"] != answers[1]["ID"]
    assert answers[1]["DriverStatus"] == [["driver-type", "io.containerd.snapshotter.v1"]]


def test_the_engine_of_the_runners_remaps_users(engine_old: str) -> None:
    assert engines.remaps_users(Engine(engine_old, ours=False))


def test_pushing_busybox_again_gives_the_same_digest(registry: str) -> None:
    program = shutil.which("busybox")
    assert program
    pushes = {
        small_image.push_busybox(Path(program), registry, "test/busybox", "same") for _ in range(2)
    }
    assert len(pushes) == 1


def test_an_image_of_our_own_making_keeps_its_digest_through_a_pull(
    registry: str, engine_old: str
) -> None:
    program = shutil.which("busybox")
    assert program
    pushed = small_image.push_busybox(Path(program), registry, "test/busybox", "pulled")
    engine = Engine(engine_old, ours=False)
    pinned = f"{registry}/test/busybox@{pushed}"
    engines.pull(engine, pinned)
    assert engines.digests(engine, pinned)[f"{registry}/test/busybox"] == pushed
    assert containers.output_of(engine, pinned, ["sh", "-c", "id -u; ls -d /tmp"]) == "0\n/tmp\n"
