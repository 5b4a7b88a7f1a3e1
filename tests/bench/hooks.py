"""Rows for commit triggers: deliveries at 200 a second, and whom a push concerns."""

from __future__ import annotations

import http.client
import itertools
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import insert, select

from tasks_service.model.commit import CommitTrigger, HookSecrets
from tasks_service.model.run import RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.store import Store
from tasks_service.store.hook_tables import commit_hooks
from tasks_service.store.hooks import place_of
from tests.bench.measure import Row, compare
from tests.bench.place import BenchError, Place
from tests.bench.service_place import Service, kinds, percentile, service, timed
from tests.contract.stores import KINDS, opened
from tests.deliveries import Pushed, push

RATE, SECONDS, SENDERS = 200, 10, 20
TASKS = 50
TRIGGERS = 100_000
DOOR_ROWS = ("webhooks-200-a-second-postgresql", "webhooks-200-a-second-sqlite")
LOOK_UP_ROWS = ("webhook-look-up-postgresql", "webhook-look-up-sqlite")
SECRET = "a-secret-of-the-webhook"
_commits = count(1)


def door(place: Place) -> Iterator[Row]:
    """From the moment a push is to be sent until its 202, p99, at 200 pushes a second."""
    for kind, queue in kinds():
        with service(kind, queue) as found:
            hooks = _tasks(found)
            yield compare(
                f"webhooks-{RATE}-a-second-{kind}",
                lambda found=found, hooks=hooks: _flood(found, hooks),
                None,
                goal=50.0,
                rounds=min(place.rounds, 3),
                unit="ms",
            )


def _tasks(place: Service) -> list[str]:
    """Make tasks with a trigger each; return the paths of their webhooks."""
    link = place.connect()
    found = []
    for number in range(TASKS):
        name, repository = f"team-{number}", f"octo/app-{number}"
        source = f"https://github.com/{repository}.git#main"
        link.call("POST", "/api/v1/tasks", {"name": name, "source": source, "file": "acb.yaml"})
        body = {"name": "push", "repository": repository, "secret": SECRET}
        answer = link.call("POST", f"/api/v1/tasks/{name}/triggers", body)
        found.append(urlsplit(answer["url"]).path)
    link.close()
    return found


def _flood(place: Service, hooks: list[str]) -> float:
    """Send pushes at their times; return the p99 of what they waited, in milliseconds."""
    begins = time.perf_counter() + 0.2
    waits: list[float] = []
    wrong: list[str] = []

    def send(first: int) -> None:
        link = http.client.HTTPConnection(place.address, timeout=30)
        for number in range(first, RATE * SECONDS, SENDERS):
            commit = f"{next(_commits):040x}"
            pushed = Pushed(repository=f"octo/app-{number % TASKS}", before="0" * 40,
                            after=commit, ref="refs/heads/main")  # fmt: skip
            sent = push("github", pushed, SECRET)
            due = begins + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            link.request("POST", hooks[number % TASKS], body=sent.body, headers=dict(sent.headers))
            answer = link.getresponse()
            text = answer.read()
            # One that is sent late because the one before it was slow has waited, too.
            waits.append((time.perf_counter() - due) * 1000)
            if answer.status != 202 or b'"runId":""' in text:
                wrong.append(f"{answer.status} {text[:200]!r}")
        link.close()

    threads = [threading.Thread(target=send, args=(first,)) for first in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong or len(waits) != RATE * SECONDS:
        raise BenchError(f"{len(wrong)} of {len(waits)} deliveries were refused: {wrong[:1]}")
    return percentile(waits, 0.99)


def look_up(place: Place) -> Iterator[Row]:
    """The triggers that a push concerns, among 100,000, in milliseconds."""
    for kind in sorted(KINDS):
        with tempfile.TemporaryDirectory() as folder, opened(kind, Path(folder)) as store:
            places = _fill(store)
            turn = itertools.cycle(places)
            yield compare(
                f"webhook-look-up-{kind}",
                lambda store=store, turn=turn: _looked_up(store, turn),
                None,
                goal=5.0,
                rounds=place.rounds,
                unit="ms",
            )


def _looked_up(store: Store, turn: Iterator[str]) -> float:
    def once() -> None:
        if len(store.hooks.at(next(turn))) != 2:
            raise BenchError("a repository's two triggers were not found")

    return percentile(timed(once, 100), 0.5)


def _fill(store: Store) -> list[str]:
    """Store 100,000 triggers; return where some of them listen, two at each place."""
    store.tasks.create(TaskDefinition("app", RunRequest(command="alpine true")), RunSecrets())
    places = []
    for number in range(100):
        for name in ("one", "two"):
            trigger = CommitTrigger(f"{name}-{number}", "github", f"octo/app-{number}")
            store.hooks.add(secrets.token_urlsafe(18), "app", trigger, HookSecrets(SECRET))
        places.append(place_of(trigger))
    first = store.database.read(
        lambda connection: dict(connection.execute(select(commit_hooks).limit(1)).mappings().one())
    )
    rows = [
        first | {"id": f"copy-{number}", "name": f"copy-{number}", "place": f"github far/{number}"}
        for number in range(TRIGGERS - 200)
    ]
    store.database.write(lambda connection: connection.execute(insert(commit_hooks), rows))
    return places
