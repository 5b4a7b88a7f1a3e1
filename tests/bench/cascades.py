"""Rows for waves: planned and asked for among 10,000 tasks, run over a random graph.

The planner is a process of its own (``python -m tests.bench.cascades URL``):
its memory is all that it ever had, the interpreter included.
"""

from __future__ import annotations

import json
import logging
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Table, delete, insert, select, update

from tasks_service.config import Settings
from tasks_service.model.run import RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler.cascades import Cascades
from tasks_service.store import Store, open_store
from tasks_service.store.cascade_tables import (
    image_changes,
    image_edges,
    image_outputs,
    image_watches,
    wave_members,
    waves,
)
from tasks_service.store.schema import upgrade
from tasks_service.store.tables import tasks
from tests.bench.measure import Row, compare, seconds
from tests.bench.place import ROOT, BenchError, Place
from tests.bench.service_place import service
from tests.contract.stores import ENVELOPE, KINDS, database, opened
from tests.faults.bases import forged_duplicated_shuffled
from tests.faults.cascade import Nobody

TASKS, PARENTS = 10_000, 5
BASE = "registry.example/base:1"
PLAN_ROWS = tuple(f"waves-plan-{what}-{kind}" for kind in KINDS for what in ("time", "memory"))
IMPACT_ROWS = tuple(f"waves-impact-{kind}" for kind in KINDS)
RANDOM_ROWS = tuple(f"waves-random-graph-{kind}" for kind in KINDS)
_MOVE = {"reference": BASE, "old": "sha256:1", "new": "sha256:2", "seen": 1.0, "via": "poll"}


def image(number: int) -> str:
    """Return what a task pushes."""
    return f"registry.example/team-{number % 500}/app-{number}:1"


def fill(store: Store) -> None:
    """Store 10,000 tasks, all above one base, over 50,000 edges."""
    chance = random.Random(7)
    edges = [(0, BASE)]
    for number in range(1, TASKS):
        parents = chance.sample(range(number), min(PARENTS, number))
        edges += [(number, image(parent)) for parent in parents]
    edges += [(number, BASE) for number in range(1, TASKS * PARENTS - len(edges) + 1)]
    store.tasks.create(TaskDefinition("app-0", RunRequest(command="x")), RunSecrets())
    first = store.database.read(lambda c: dict(c.execute(select(tasks)).mappings().one()))
    rows: dict[Table, Iterable[dict[str, Any]]] = {
        tasks: ({**first, "name": f"app-{number}"} for number in range(1, TASKS)),
        image_edges: (
            {
                "task": f"app-{number}",
                "reference": reference,
                "role": "runtime",
                "digest": "sha256:1",
            }
            for number, reference in edges
        ),
        image_outputs: (
            {"reference": image(number), "task": f"app-{number}", "digest": "sha256:1"}
            for number in range(TASKS)
        ),
        image_watches: (
            {"reference": name, "name": name.partition("/")[2], "digest": "sha256:1", "due": 9e9}
            for name in sorted({reference for _, reference in edges})
        ),
    }

    def work(connection: Connection) -> None:
        for table, some in rows.items():
            connection.execute(insert(table), list(some))

    store.database.write(work)


def _move(store: Store) -> None:
    """Have the base moved, and no wave planned for it."""

    def work(connection: Connection) -> None:
        for table in (wave_members, waves, image_changes):
            connection.execute(delete(table))
        connection.execute(insert(image_changes).values(**_MOVE))
        connection.execute(
            update(image_watches)
            .where(image_watches.c.reference == BASE)
            .values(digest=_MOVE["new"])
        )

    store.database.write(work)


def plan(place: Place) -> Iterator[Row]:
    """A base of 10,000 tasks over 50,000 edges moved: until its wave is in the database."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder, database(kind, Path(folder)) as url:
            store = open_store(url, ENVELOPE)
            found: list[dict[str, float]] = []
            try:
                upgrade(store.database)
                fill(store)
                for _ in range(max(place.rounds, 3)):
                    _move(store)
                    found.append(_planner(url))
                    if len(store.cascades.wave(store.cascades.waves()[0].number).members) != TASKS:
                        raise BenchError("the wave is not of all tasks")
            finally:
                store.close()
        took = statistics.median(one["seconds"] for one in found)
        most = max(one["mib"] for one in found)
        yield Row(f"waves-plan-time-{kind}", took, None, None, 2.0, "s", len(found))
        yield Row(f"waves-plan-memory-{kind}", most, None, None, 300.0, "MiB", len(found))


def _planner(url: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.cascades", url],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"the planner failed: {done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def impact(place: Place) -> Iterator[Row]:
    """``tasks impact`` of that base, a whole process against a server."""
    for kind in KINDS:
        with service(kind) as found:
            fill(found.store)
            env = {"TASKS_SERVER": f"http://{found.address}", "TASKS_TOKEN": found.token}
            words = [sys.executable, "-m", "tasks_service.cli.main", "impact", BASE, "-o", "json"]

            def ask(words: list[str] = words, env: dict[str, str] = env) -> None:
                done = subprocess.run(
                    words, cwd=ROOT, env={**os.environ, **env}, capture_output=True, check=False
                )
                if done.returncode:
                    raise BenchError(f"tasks impact: {done.stderr.decode()[-2000:]}")
                members = json.loads(done.stdout)
                if len(members) != TASKS:
                    raise BenchError(f"tasks impact tells {len(members)} of {TASKS}")

            yield compare(
                f"waves-impact-{kind}",
                lambda ask=ask: seconds(ask),
                None,
                goal=2.0,
                rounds=max(place.rounds, 5),
            )


def random_graph(place: Place) -> Iterator[Row]:
    """1,000 images with 200 diamonds, events ten times, forged and shuffled: until all is built.

    The row fails unless each descendant was built exactly once, and on what
    the wave built.
    """
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    for kind in KINDS:
        took = []
        for seed in range(min(place.rounds, 3)):
            with tempfile.TemporaryDirectory() as folder, opened(kind, Path(folder)) as store:
                begun = time.perf_counter()
                try:
                    chance = random.Random(seed)
                    forged_duplicated_shuffled(
                        store, Path(folder), chance, count=1000, diamonds=200
                    )
                except AssertionError as error:
                    raise BenchError(f"seed {seed}: {str(error)[:2000]}") from error
                took.append(time.perf_counter() - begun)
        middle = statistics.median(took)
        yield Row(f"waves-random-graph-{kind}", middle, None, None, 300.0, "s", len(took))


def _plan_once(url: str) -> None:
    """Plan what is to be planned; print how long it took and the most memory."""
    store = open_store(url, ENVELOPE)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=Path(folder), base_debounce=0)
        cascades = Cascades(store, RunLife(store, Nobody(), settings), settings)
        took = seconds(cascades.plan)
    store.close()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            print(json.dumps({"seconds": took, "mib": int(line.split()[1]) / 1024}))


if __name__ == "__main__":
    _plan_once(sys.argv[1])
