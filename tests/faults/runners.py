"""Faults of real runners: killed from outside and inside, registries that fail, leaks.

Needs the stack (``make up``): engines, runner image, registry.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2

from runners.backends.dind import outer, probe
from runners.backends.dind.config import DindConfig, load
from runners.backends.dind.owner import STATE
from runners.model.status import RunStatus
from tasks_service.blobs import UPLOADS, open_blobs
from tasks_service.model.run import Run
from tasks_service.queue import open_queue
from tasks_service.worker import Worker
from tests.faults.proxy import Proxy, answer, proxied
from tests.faults.service import Inside, check_invariants, wait_for
from tests.integration.isolation.conftest import leftovers

BASE = "base/busybox:1.36"
BOOT_S = 60.0
ALWAYS = 1000


@contextmanager
def real_runners(service: Inside, registry: str = "", concurrency: int = 2) -> Iterator[Place]:
    """Have a worker on real runners; fail if anything of a run is left at the end."""
    place = Place(service, registry or part("REGISTRY"))
    service.settings = settings = replace(
        service.settings,
        backend="dind",
        runner_state_dir=part("STATE"),
        registry=place.registry,
        allow_hosts=("127.0.0.1",),
        lease=20.0,
        heartbeat=1.0,
        concurrency=concurrency,
    )
    before = place.leftovers()
    queue = open_queue(settings)
    worker = Worker(settings, service.store, queue, open_blobs(settings, UPLOADS), listens=False)
    service.workers.append(worker)
    worker.start()
    yield place
    check_invariants(service)
    wait_for(lambda: place.leftovers() == before, within_s=60)


def part(name: str) -> str:
    """Return what ``make test-faults`` has started."""
    value = os.environ.get(f"TASKS_TEST_{name}", "")
    assert value, f"TASKS_TEST_{name} is not set: run `make test-faults`"
    return value


class Place:
    """The machine on which runners are."""

    def __init__(self, service: Inside, registry: str) -> None:
        self.service = service
        self.registry = registry
        self.config: DindConfig = load(Path(part("STATE")))
        self.engine = outer.describe(self.config.address)

    @property
    def base(self) -> str:
        return f"{self.registry}/{BASE}"

    def leftovers(self) -> list[str]:
        """Return what there is of runs, and of what no label tells: links, mounts, groups."""
        links = list(Path("/sys/class/net").glob("veth*"))
        mounts = Path("/proc/self/mountinfo").read_text().count("\n")
        volumes = self.engine.api.get("/volumes").get("Volumes") or []
        return [
            *sorted(leftovers(self.config, self.engine)),
            f"{len(links)} links, {mounts} mounts, {len(volumes)} volumes",
        ]

    def container(self, run_id: str) -> str:
        """Return the runner of a run, in the engine outside."""
        mine = {"label": [f"{STATE}={self.config.state_dir}"]}
        found = self.engine.api.get("/containers/json", {"all": True, "filters": mine})
        (one,) = [
            item["Id"] for item in found if run_id in str(item["Names"]) + str(item["Labels"])
        ]
        return str(one)

    def digest(self, name: str, tag: str) -> str:
        """Return what a tag of the real registry means, or nothing."""
        manifest = "application/vnd.docker.distribution.manifest.v2+json"
        found = httpx2.head(
            f"http://{part('REGISTRY')}/v2/{name}/manifests/{tag}", headers={"Accept": manifest}
        )
        return str(found.headers.get("Docker-Content-Digest", ""))


def runner_killed(service: Inside) -> None:
    """F11, F12: the engine inside dies, then a whole runner: the run ends soon and says so."""
    with real_runners(service) as place:
        for run_id in ("inner1", "outer1"):
            service.accept(run_id, f"{place.base} sh -c 'echo begun; sleep 120'")
            wait_for(lambda: "begun" in service.log(run_id), within_s=BOOT_S)  # noqa: B023
            container = place.container(run_id)
            if run_id == "inner1":
                words = ["bash", "-c", "kill -9 $(cat /run/docker.pid)"]
                probe.execute(place.engine.api, container, words)
            else:
                place.engine.api.post(f"/containers/{container}/kill")
            began = time.monotonic()
            (run,) = service.ended(run_id, within_s=60)
            assert time.monotonic() - began < 30
            assert run.status in (RunStatus.ERROR, RunStatus.FAILED), run
            assert "runner" in f"{run.error_code} {run.error}", run


def registry_fails(service: Inside) -> None:
    """F28: a registry fails now and then, or for good: tried again, told, the tag is not moved."""
    with proxied(part("REGISTRY")) as proxy, real_runners(service, proxy.address) as place:
        busy = answer("503 Service Unavailable", "Retry-After: 1")
        many = answer("429 Too Many Requests", "Retry-After: 1")
        manifest, upload = r"PUT .*/manifests/", r"POST .*/blobs/uploads/"
        for name, requests, how, times in (
            ("busy", manifest, busy, 2),
            ("many", manifest, many, 1),
            ("cut", r"PUT .*/blobs/uploads/", "reset", 1),
            ("blob", upload, busy, 1),
        ):
            run = _push(place, proxy, name, requests, how, times)
            assert run.status is RunStatus.SUCCEEDED, (name, run)
            assert proxy.broken, name
            assert place.digest(f"faults/{name}", run.id) in str(run.images), (name, run)
        dead = _push(place, proxy, "dead", manifest, busy, ALWAYS)
        assert dead.status is not RunStatus.SUCCEEDED
        assert "failed after 3 attempts" in dead.error, dead
        assert place.digest("faults/dead", dead.id) == ""
        refused = _push(place, proxy, "refused", manifest, answer("403 Forbidden"), ALWAYS)
        assert refused.status is not RunStatus.SUCCEEDED
        assert "attempts" not in refused.error, refused
        assert "attempt 1 of" not in service.log(refused.id), refused


def _push(place: Place, proxy: Proxy, name: str, requests: str, how: str, times: int) -> Run:
    service = place.service
    image = f"{place.registry}/faults/{name}:{name}1"
    # Fresh bytes: a layer that the registry has would not be sent.
    words = f"head -c 300000 /dev/urandom > a/file; printf 'FROM {place.base}\\nCOPY file /' "
    content = (
        "version: v1.1.0\nsteps:\n"
        f'  - id: w\n    cmd: {place.base} sh -c "mkdir a; {words} > a/Dockerfile"\n'
        f"  - id: b\n    build: -t {image} a\n"
        f"  - id: p\n    push: [{image}]\n"
    )
    proxy.fail(requests, how, times)
    service.accept(f"{name}1", content=content, registry=place.registry, timeout_s=240)
    (run,) = service.ended(f"{name}1", within_s=240)
    proxy.heal()
    return run


def leaks(service: Inside, chance: random.Random, runs: int = 200) -> None:
    """F39: after so many runs, failed and canceled ones too, nothing of any is left."""
    with real_runners(service, concurrency=3) as place:
        expected: dict[str, RunStatus] = {}
        for number in range(runs):
            run_id, kind = f"leak{number}", chance.choice(("ok", "fail", "cancel", "volume"))
            if kind == "volume":
                # An image without a name of its own, and an anonymous volume.
                content = (
                    "version: v1.1.0\nsteps:\n"
                    f'  - id: w\n    cmd: {place.base} sh -c "mkdir a;'
                    f" printf 'FROM {place.base}\\nVOLUME /v' > a/Dockerfile\"\n"
                    "  - id: b\n    build: -t leak:1 a\n"
                    "  - id: c\n    cmd: leak:1 true\n"
                )
                service.accept(run_id, content=content)
            else:
                end = {"ok": "true", "fail": "exit 3", "cancel": "sleep 60"}[kind]
                service.accept(run_id, f"{place.base} sh -c 'echo begun; {end}'")
            expected[run_id] = {"fail": RunStatus.FAILED, "cancel": RunStatus.CANCELED}.get(
                kind, RunStatus.SUCCEEDED
            )
        over = threading.Event()
        doomed = [run_id for run_id in expected if expected[run_id] is RunStatus.CANCELED]

        def cancel() -> None:
            while not over.wait(0.1):
                for run_id in doomed:
                    if service.run(run_id).status is RunStatus.RUNNING:
                        over.wait(chance.random() * 0.3)
                        service.store.runs.request_cancel(run_id, reason="by chance")

        canceling = threading.Thread(target=cancel)
        canceling.start()
        try:
            ended = service.ended(within_s=600)
        finally:
            over.set()
            canceling.join(30)
        wrong = [
            (run.id, run.status, run.error) for run in ended if run.status is not expected[run.id]
        ]
        assert not wrong, wrong[:5]
