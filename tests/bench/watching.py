"""Rows for watched images, on a real registry (CNCF Distribution) of the row's own.

How long a push there takes to become a planned wave, and what a full sweep of
10,000 references that did not move costs it: counted in its access log.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from sqlalchemy import Connection, func, insert, select

from tasks_service.config import Settings
from tasks_service.devstack.registry import program
from tasks_service.model.run import RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.store import Store
from tasks_service.store.cascade_tables import image_edges, image_watches
from tests.bench.measure import Row, seconds
from tests.bench.place import BenchError, Place
from tests.bench.service_place import PATIENCE_S, kinds, percentile, service
from tests.contract.stores import KINDS, opened
from tests.fakes.own_registry import OwnRegistry
from tests.faults.cascade import Scheduler
from tests.faults.parts import quiet_port

PUSHES = 100
REFERENCES, REPOSITORIES = 10_000, 100
PUSH_ROWS = tuple(f"waves-push-to-plan-{kind}" for kind in ("postgresql", "sqlite"))
SWEEP_ROWS = tuple(f"waves-sweep-{what}-{kind}" for kind in KINDS for what in ("time", "gets"))
_ACCEPT = "application/vnd.oci.image.manifest.v1+json"
_LOGGED = re.compile(r'"(GET|HEAD|PUT|POST|PATCH) /v2/\S+ HTTP')


@dataclass(frozen=True, slots=True)
class _Registry:
    host: str
    log: Path

    def push(self, name: str, tag: str, text: str) -> str:
        return OwnRegistry(self.host, None).push(name, tag, text)

    def requests(self) -> Counter[str]:
        """Return how many requests there were by method, from its own log."""
        return Counter(_LOGGED.findall(self.log.read_text()))


@contextmanager
def _registry(folder: Path, port: int, tells: tuple[str, str] | None = None) -> Iterator[_Registry]:
    """Yield a registry; ``tells`` is where it posts pushes, and the token."""
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"inmemory": {}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if tells is not None:
        endpoint = {"name": "tasks", "url": tells[0], "timeout": "2s", "threshold": 10,
                    "backoff": "1s", "headers": {"Authorization": [f"Bearer {tells[1]}"]},
                    "ignore": {"actions": ["pull", "mount"]}}  # fmt: skip
        config["notifications"] = {"endpoints": [endpoint]}
    path, log = folder / "registry.yml", folder / "registry.log"
    path.write_text(json.dumps(config))
    argv0 = program()
    if argv0 is None:
        raise BenchError("the program docker-registry is missing")
    with log.open("wb") as out:
        process = subprocess.Popen([argv0, "serve", str(path)], stdout=out, stderr=out)
    found = _Registry(f"127.0.0.1:{port}", log)
    try:
        _await(lambda: _answers(found.host), "the registry does not answer")
        yield found
    finally:
        process.kill()
        process.wait()


def _answers(host: str) -> bool:
    try:
        return httpx2.get(f"http://{host}/v2/").status_code == 200
    except httpx2.HTTPError:
        return False


def _await(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(problem)
        time.sleep(0.02)


def _stand_on(store: Store, references: list[str]) -> None:
    """Store a task for each reference that stands on it, and have all watched."""
    for number in range(len(references)):
        request = RunRequest(command="image")
        store.tasks.create(TaskDefinition(f"app-{number}", request), RunSecrets())
    _watch(store, references)


def _watch(store: Store, references: list[str]) -> None:
    def work(connection: Connection) -> None:
        edges = [
            {"task": f"app-{number}", "reference": reference, "role": "runtime"}
            for number, reference in enumerate(references)
        ]
        connection.execute(insert(image_edges), edges)
        watches = [
            {"reference": one, "name": one.partition("/")[2], "due": 0.0} for one in references
        ]
        connection.execute(insert(image_watches), watches)

    store.database.write(work)


def _unknown(store: Store) -> int:
    query = select(func.count()).where(image_watches.c.digest == "")
    return int(store.database.read(lambda c: c.execute(query).scalar_one()))


def push_to_plan(place: Place) -> Iterator[Row]:
    """A push to our own registry, until its wave is planned: p99 without the debounce."""
    del place
    for kind, _ in kinds():
        port = quiet_port()
        changes = {"registry": f"127.0.0.1:{port}", "base_debounce": 0.0, "base_poll": 3600.0}
        with (
            tempfile.TemporaryDirectory() as folder,
            service(kind, up=True, concurrency=1, **changes) as found,
        ):
            events = f"http://{found.address}/api/v1/events/registry"
            with _registry(Path(folder), port, (events, found.token)) as registry:
                took = _pushes(found.store, registry)
        worst = percentile(took, 0.99)
        yield Row(f"waves-push-to-plan-{kind}", worst, None, None, 5.0, "s", len(took))


def _pushes(store: Store, registry: _Registry) -> list[float]:
    names = [f"team-{number}/base" for number in range(PUSHES)]
    for name in names:
        registry.push(name, "1", f"{name} 1")
    _stand_on(store, [f"{registry.host}/{name}:1" for name in names])
    _await(lambda: not _unknown(store), "not all references were asked for")
    took = []
    for count, name in enumerate(names):
        begun = time.time()
        registry.push(name, "1", f"{name} 2")
        _await(
            lambda count=count: len(store.cascades.waves(limit=PUSHES)) > count,
            f"no wave followed push {count + 1}",
        )
        took.append(store.cascades.waves(limit=1)[0].created - begun)
    return took


def sweep(place: Place) -> Iterator[Row]:
    """10,000 references that did not move, all asked for: seconds, and requests but HEAD."""
    rounds = min(place.rounds, 3)
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as text, opened(kind, Path(text)) as store:
            folder = Path(text)
            with _registry(folder, quiet_port()) as registry:
                _watch(store, _references(registry))
                one = Scheduler(store, Settings(state_dir=folder, base_poll=3600.0))
                _look(one)
                if _unknown(store):
                    raise BenchError(f"{_unknown(store)} references were not answered")
                took, gets = [], 0
                for _ in range(rounds):
                    store.cascades.sweep()
                    before = registry.requests()
                    took.append(seconds(lambda one=one: _look(one)))
                    more = registry.requests() - before
                    if more["HEAD"] != REFERENCES:
                        raise BenchError(f"{more['HEAD']} HEADs for {REFERENCES} references")
                    gets += more.total() - REFERENCES
                one.client.close()
                if store.cascades.unplanned()[0]:
                    raise BenchError("something is taken to have moved")
        yield Row(f"waves-sweep-time-{kind}", percentile(took, 0.5), None, None, 240.0, "s", rounds)
        yield Row(f"waves-sweep-gets-{kind}", float(gets), None, None, 0.0, "requests", rounds)


def _look(one: Scheduler) -> None:
    while one.watching.look():
        pass


def _references(registry: _Registry) -> list[str]:
    """Push an image to each repository, and give it a hundred tags."""
    found = []
    with httpx2.Client(base_url=f"http://{registry.host}") as client:
        for number in range(REPOSITORIES):
            name = f"team-{number}/base"
            registry.push(name, "0", name)
            manifest = client.get(f"/v2/{name}/manifests/0", headers={"Accept": _ACCEPT}).content
            for tag in range(REFERENCES // REPOSITORIES):
                done = client.put(
                    f"/v2/{name}/manifests/{tag}",
                    content=manifest,
                    headers={"Content-Type": _ACCEPT},
                )
                done.raise_for_status()
                found.append(f"{registry.host}/{name}:{tag}")
    return found
