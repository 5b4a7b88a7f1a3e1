"""Faults of the broker: killed, stopped, frozen, emptied, cut off; and everything at random.

Each function does one fault to an Inside that has no runs yet, with a real
Redis of its own, and fails unless what must hold holds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import redis
from starlette.testclient import TestClient

from runners.model.status import RunStatus
from tasks_service.api.app import create_app
from tasks_service.api.tokens import make_token
from tasks_service.blobs import LOGS, UPLOADS, open_blobs
from tasks_service.config import Settings
from tasks_service.devstack.databases import RedisServer
from tasks_service.model.access import Role
from tasks_service.model.run import RunFilter
from tasks_service.queue import BrokerCheck, open_queue
from tasks_service.queue import app as queue_app
from tasks_service.runs.logs import RunLogs
from tasks_service.scheduler.duties import Duties
from tasks_service.scheduler.loop import Scheduler
from tasks_service.store import Store, open_store
from tests.contract.stores import ENVELOPE
from tests.faults.looking import redis_dump
from tests.faults.parts import redis_server
from tests.faults.process import WorkerProcess, pushed, script
from tests.faults.service import CANARY, Inside, check_invariants, task, wait_for

SECRET = {"name": "canary", "value": CANARY, "secret": True}
SAY = "say {{.Values.canary}}"
SOON_S = 1.0
"""What an answer of the API may take, whatever the broker does."""
AT_ONCE_S = 8.0
"""Sooner than any worker with a broker looks without being woken."""


@dataclass
class Broker:
    """A service with a Redis, a scheduler and an API."""

    service: Inside
    redis: RedisServer
    api: TestClient
    headers: dict[str, str]

    def post(self, *commands: str, content: str = "") -> float:
        """Start a run; return the seconds that the answer took."""
        started = time.monotonic()
        body = {"content": content or task(*commands), "source": "/dev/null", "values": [SECRET]}
        answer = self.api.post("/api/v1/runs", json=body, headers=self.headers)
        took = time.monotonic() - started
        assert answer.status_code == 202, answer.text
        self.service.accepted.append(answer.json()["id"])
        return took

    @property
    def health(self) -> str:
        return str(self.api.get("/readyz").json()["status"])

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis.url)


def api_app(settings: Settings, store: Store, queue: Any) -> Any:
    """Return the API as a server makes it."""
    logs = RunLogs(store, open_blobs(settings, LOGS))
    wanted = {"queue": BrokerCheck(settings)} if settings.redis_url else {}
    return create_app(settings, store, open_blobs(settings, UPLOADS), logs, queue, wanted=wanted)


@contextmanager
def brokered(service: Inside, **changes: Any) -> Iterator[Broker]:
    """Give a service a broker; workers that it starts from now on listen to it."""
    # Redis runs as a user of its own, and opens what is below the folder only.
    folder = service.settings.state_dir
    folder.chmod(0o711)
    place = folder / "broker" / "of" / "its-own"
    place.mkdir(parents=True)
    with redis_server(place) as server:
        service.settings = settings = replace(
            service.settings, redis_url=server.url, sweep=0.2, requeue_after=1.0, **changes
        )
        queue = open_queue(settings)
        store = service.store
        logs = RunLogs(store, open_blobs(settings, LOGS))
        duties = Duties(store, logs, open_blobs(settings, UPLOADS), queue, settings)
        scheduler = Scheduler(duties.groups())
        scheduler.start()
        token = make_token(store, name="faults", role=Role.RUNNER).text
        try:
            with TestClient(api_app(settings, store, queue)) as api:
                yield Broker(service, server, api, {"Authorization": f"Bearer {token}"})
        finally:
            for worker in service.workers:
                worker.stop()
            scheduler.stop()
            queue.close()


def all_ran_once(service: Inside, within_s: float = 60) -> None:
    """Fail unless every accepted run succeeds at its first attempt."""
    for run in service.ended(within_s=within_s):
        assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 1), run
    check_invariants(service)


def woken_twice(service: Inside) -> None:
    """F2: a message comes again and again during the run: nobody starts it a second time."""
    with brokered(service) as broker:
        workers = [service.worker(script, listens=True) for _ in range(2)]
        broker.post("sleep-2000")
        (run_id,) = service.accepted
        wait_for(lambda: "begun" in service.log(run_id))
        queue = open_queue(service.settings)
        for _ in range(50):
            queue.wake("default")
        assert sum(worker.active for worker in workers) == 1
        all_ran_once(service)
        assert service.log(run_id, step="s1").count("begun") == 1
        queue.close()


def killed_without_persistence(service: Inside, runs: int = 20) -> None:
    """F3: a Redis that keeps nothing dies with all wake-ups: all runs run once."""
    with brokered(service) as broker:
        with broker.client() as client:
            client.config_set("appendonly", "no")
        for _ in range(runs):
            broker.post(SAY)
        broker.redis.kill()
        broker.redis.start()
        service.worker(script, listens=True, concurrency=4)
        all_ran_once(service)


def stopped_under_requests(service: Inside, runs: int = 50, down_s: float = 3) -> None:
    """F4: Redis is away while runs are asked for: each is taken at once, and runs later."""
    with brokered(service) as broker:
        service.worker(script, listens=True, concurrency=4)
        broker.redis.stop()
        back = time.monotonic() + down_s
        took = [broker.post(SAY) for _ in range(runs)]
        assert max(took) < SOON_S, max(took)
        assert broker.health == "degraded"
        time.sleep(max(0.0, back - time.monotonic()))
        broker.redis.start()
        all_ran_once(service)
        wait_for(lambda: broker.health == "ok")


def frozen_under_requests(service: Inside, runs: int = 50) -> None:
    """F5: Redis hangs: each run is taken at once all the same, and health says degraded."""
    with brokered(service) as broker:
        service.worker(script, listens=True, concurrency=4)
        broker.post(SAY)
        service.ended()
        pid = broker.redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            took = [broker.post(SAY) for _ in range(runs)]
            assert max(took) < SOON_S, max(took)
            wait_for(lambda: broker.health == "degraded")
        finally:
            os.kill(pid, signal.SIGCONT)
        all_ran_once(service)
        wait_for(lambda: broker.health == "ok")


def connections_cut(service: Inside, cuts: int = 5) -> None:
    """F6: all connections are cut again and again: the worker hears the next jobs."""
    with brokered(service) as broker:
        service.worker(script, listens=True)
        broker.post(SAY)
        service.ended(within_s=AT_ONCE_S)
        with broker.client() as client:
            for _ in range(cuts):
                client.client_kill_filter(_type="normal", skipme=True)
                client.client_kill_filter(_type="pubsub")
                time.sleep(3 / cuts)
        # Three in a row within less than the time of one look without any message.
        began = time.monotonic()
        for _ in range(3):
            broker.post(SAY)
            service.ended(service.accepted[-1], within_s=AT_ONCE_S)
        assert time.monotonic() - began < AT_ONCE_S
        all_ran_once(service)


def emptied_under_load(service: Inside, runs: int = 60) -> None:
    """F8: Redis is emptied in the middle of everything: all runs run once."""
    with brokered(service) as broker:
        service.worker(script, listens=True, concurrency=4)
        with broker.client() as client:
            for number in range(runs):
                broker.post("sleep-50")
                if number % 7 == 0:
                    client.flushall()
        all_ran_once(service)


def visible_too_soon(service: Inside, run_s: float = 6) -> None:
    """F9: the broker's time to redeliver is shorter than the run: it is executed once."""
    transport = queue_app._transport

    def hasty(settings: Settings, *, publishes: bool) -> dict[str, Any]:
        return {**transport(settings, publishes=publishes), "visibility_timeout": 1}

    with mock.patch.object(queue_app, "_transport", hasty), brokered(service) as broker:
        for _ in range(2):
            service.worker(script, listens=True)
        broker.post(f"sleep-{int(run_s * 1000)}")
        all_ran_once(service)
        assert service.log(service.accepted[0], step="s1").count("begun") == 1


def killed_before_the_message(service: Inside) -> None:
    """F16: the API dies between commit and message: the sweep has the run begun, once."""
    with brokered(service):
        service.worker(script, listens=True)
        words = {"database": service.settings.database, "state": str(service.settings.state_dir)}
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.broker", json.dumps(words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        service.accepted += [run.id for run in service.store.runs.list(RunFilter()).runs]
        assert len(service.accepted) == 1
        all_ran_once(service)


class Deadly:
    """A queue that kills its process when it is to send: the commit was before."""

    def wake(self, pool: str) -> None:
        del pool
        os.kill(os.getpid(), signal.SIGKILL)


def accept_and_die(words: dict[str, str]) -> None:
    """Take a run as the API does, and die before the message."""
    settings = Settings(state_dir=Path(words["state"]))
    store = open_store(words["database"], ENVELOPE)
    token = make_token(store, name="deadly", role=Role.RUNNER).text
    with TestClient(api_app(settings, store, Deadly())) as api:
        body = {"content": task("say"), "source": "/dev/null"}
        api.post("/api/v1/runs", json=body, headers={"Authorization": f"Bearer {token}"})
        time.sleep(30)


def everything_at_random(service: Inside, chance: random.Random, runs: int = 200) -> None:
    """Random worker kills, Redis restarts and cancels: each run ends once, nothing is left."""
    with brokered(service, lease=2.0, heartbeat=0.3, concurrency=4) as broker:
        workers = [WorkerProcess(service) for _ in range(2)]
        calm = threading.Event()
        deaths: list[str] = []

        def trouble() -> None:
            while not calm.wait(chance.uniform(0.3, 1.2)):
                # Both kinds come, however short it is.
                if deaths == ["redis"] or (deaths != ["worker"] and chance.random() < 0.5):
                    victim = chance.randrange(len(workers))
                    workers[victim].signal(signal.SIGKILL)
                    workers[victim].end()
                    workers[victim] = WorkerProcess(service)
                    deaths.append("worker")
                else:
                    broker.redis.kill()
                    calm.wait(chance.random())
                    broker.redis.start()
                    deaths.append("redis")

        troubles = threading.Thread(target=trouble)
        troubles.start()
        try:
            _ask_and_cancel(broker, chance, runs)
            ended = service.ended(within_s=240)
        finally:
            calm.set()
            troubles.join(60)
            for worker in workers:
                worker.end()
        assert {"worker", "redis"} <= set(deaths), deaths
        statuses = {run.id: (run.status, run.fence) for run in ended}
        written = [words[1] for words in pushed(service)]
        assert len(written) == len(set(written)), "a run pushed twice"
        for run in ended:
            service.store.runs.request_cancel(run.id, reason="too late")
        assert {run.id: (run.status, run.fence) for run in service.ended()} == statuses
        check_invariants(service)
        assert CANARY.encode() not in redis_dump(broker.redis.url)


def _ask_and_cancel(broker: Broker, chance: random.Random, runs: int) -> None:
    build = (
        "version: v1.1.0\nsteps:\n"
        "  - id: b\n    build: -t registry.example/app:{0} https://github.com/o/r.git\n"
        "  - id: p\n    push: [registry.example/app:{0}]\n"
    )
    for number in range(runs):
        kind = chance.random()
        if kind < 0.3:
            broker.post(content=build.format(number))
        elif kind < 0.4:
            broker.post("fail-1")
        else:
            broker.post(f"sleep-{chance.randrange(50, 2000)}")
        if chance.random() < 0.15:
            victim = chance.choice(broker.service.accepted)
            path = f"/api/v1/runs/{victim}/cancel"
            assert broker.api.post(path, headers=broker.headers).status_code < 500


if __name__ == "__main__":
    accept_and_die(json.loads(sys.argv[1]))
