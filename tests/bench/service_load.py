"""Rows for a service with much in it: long queues, many runs, long logs."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Any, TypeVar

from sqlalchemy import insert, select

from tasks_service.store.tables import run_images, runs
from tests.bench.measure import Row, compare
from tests.bench.place import BenchError, Place
from tests.bench.service_place import (
    PATIENCE_S,
    Service,
    at_work,
    kinds,
    percentile,
    resident_mib,
    service,
    timed,
)
from tests.faults.service import task

T = TypeVar("T")

_KINDS = ("postgresql", "sqlite")
SLOTS = 4
FEW, MANY = 100, 10_000
STORED = 100_000
LOOKS = 100
READERS = 3
LINES = 300_000
DISPATCH_ROWS = tuple(f"service-dispatch-{kind}" for kind in _KINDS)
QUERIES = ("list", "page", "task", "status", "image", "commit", "since", "show")
QUERY_ROWS = tuple(f"service-{query}-{kind}" for kind in _KINDS for query in QUERIES)
LOG_ROWS = tuple(f"service-log-{name}-{kind}" for kind in _KINDS for name in ("line", "memory"))


def _gaps(place: Service, after: float) -> list[float]:
    """Return how long slots stood idle between two runs since a moment, in milliseconds."""
    query = select(runs.c.started, runs.c.finished).where(runs.c.started >= after)
    rows = place.store.database.read(lambda connection: connection.execute(query).all())
    starts = sorted(row.started for row in rows)
    ends = sorted(row.finished for row in rows if row.finished is not None)
    # The run that starts as number n + SLOTS takes the slot that the run which
    # ended as number n left.
    return [(start - end) * 1000 for end, start in zip(ends, starts[SLOTS:], strict=False)]


def _dispatch(place: Service) -> float:
    """Have a worker until FEW runs more have ended; return the p95 of its gaps."""
    done = place.store.recovery.counts().get("Succeeded", 0)
    began = time.time()
    with place.working(SLOTS):
        place.await_ended(done + FEW)
    return percentile(_gaps(place, began), 0.95)


def _dispatch_few(place: Service) -> float:
    place.post(FEW)
    return _dispatch(place)


def dispatch(place: Place) -> Iterator[Row]:
    """From a slot's last run to its next, p95: 10,000 queued / 100 queued."""
    for kind, queue in kinds():
        with service(kind, queue) as much, service(kind, queue) as little:
            _queue_up(much, MANY + (place.rounds + 1) * 2 * FEW)
            yield compare(
                f"service-dispatch-{kind}",
                lambda much=much: _dispatch(much),
                lambda little=little: _dispatch_few(little),
                goal=1.0,
                rounds=place.rounds,
                unit="ms",
            )


def _in_blocks(items: Iterable[T], size: int = 5000) -> Iterator[list[T]]:
    rest = iter(items)
    while block := list(islice(rest, size)):
        yield block


def _stored(connection: Any) -> dict[str, Any]:
    return dict(connection.execute(select(runs)).mappings().one())


def _insert(place: Service, rows: Iterable[dict[str, Any]]) -> None:
    for some in _in_blocks(rows):
        place.store.database.write(
            lambda connection, some=some: connection.execute(insert(runs), some)
        )


def _queue_up(place: Service, number: int) -> None:
    """Have so many runs queued, each as a posted one is."""
    place.post(1)
    first = place.store.database.read(_stored)
    del first["sequence"]
    _insert(place, ({**first, "id": f"bench{count:08d}"} for count in range(number - 1)))


def _copies(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each stored run, oldest first: made of a real one, spread over 200 days."""
    statuses = ("Succeeded",) * 18 + ("Failed", "Canceled")
    for number in count():
        shift = (number - STORED) * 172.8
        yield first | {
            "id": f"bench{number:08d}",
            "task": f"team-{number % 500}",
            "status": statuses[number * 7 % len(statuses)],
            "source_commit": f"{number % 20_000:040x}",
            **{
                name: first[name] + shift
                for name in ("created", "queued", "started", "finished", "updated")
            },
        }


def fill(place: Service) -> None:
    """Store 100,000 runs, each as the first one is, with an image."""
    place.post(1)
    with place.working(1):
        place.await_ended(1)

    first = place.store.database.read(_stored)
    first_sequence = first.pop("sequence")
    _insert(place, islice(_copies(first), STORED))
    pushed = (
        {
            "run_sequence": first_sequence + number,
            "reference": f"registry.example/team-{number % 500}:{number}",
            "digest": f"sha256:{number:064x}",
        }
        for number in range(1, STORED + 1)
    )
    for images in _in_blocks(pushed):
        place.store.database.write(
            lambda connection, images=images: connection.execute(insert(run_images), images)
        )


def queries(place: Place) -> Iterator[Row]:
    """Ask a service with 100,000 runs: p95 of an answer, milliseconds."""
    del place
    for kind, queue in kinds():
        with service(kind, queue) as found:
            fill(found)
            link = found.connect()
            page = link.call("GET", "/api/v1/runs?limit=50")["cursor"]
            since = link.call("GET", "/api/v1/runs/bench00099000")["createTime"]
            paths = {
                "list": "/api/v1/runs?limit=50",
                "page": f"/api/v1/runs?limit=50&cursor={page}",
                "task": "/api/v1/runs?limit=50&task=team-77",
                "status": "/api/v1/runs?limit=50&status=Failed",
                "image": "/api/v1/runs?image=registry.example/team-7:90007",
                "commit": f"/api/v1/runs?commit={12_345:040x}",
                "since": f"/api/v1/runs?limit=50&since={since}",
                "show": "/api/v1/runs/bench00050000",
            }
            for name, path in paths.items():
                link.call("GET", path)
                took = timed(lambda link=link, path=path: link.call("GET", path), LOOKS)
                row = f"service-{name}-{kind}"
                yield Row(row, percentile(took, 0.95), None, None, 50.0, "ms", LOOKS)
            link.close()


class _Reader(threading.Thread):
    """Follows one run's log and keeps what comes."""

    def __init__(self, place: Service, run_id: str) -> None:
        super().__init__(daemon=True)
        self._link = place.connect()
        self._path = f"/api/v1/runs/{run_id}/logs/stream"
        self._blocks: list[bytes] = []
        self.ended = 0.0

    def run(self) -> None:
        answer: http.client.HTTPResponse = self._link.stream(self._path)
        while block := answer.read1(1 << 20):
            self._blocks.append(block)
        self.ended = time.time()
        self._link.close()

    def check(self) -> None:
        """Raise BenchError unless each line came once and in order."""
        wanted = 0
        for event in b"".join(self._blocks).split(b"\n\n"):
            fields = dict(
                line.partition(b": ")[::2] for line in event.splitlines() if b": " in line
            )
            if fields.get(b"event") != b"log":
                continue
            body = json.loads(fields[b"data"])
            if body["stream"] != "stdout":
                continue
            for line in body["text"].splitlines():
                if int(line[:8]) != wanted:
                    raise BenchError(f"line {wanted} of the log is {line[:40]!r}")
                wanted += 1
        if wanted != LINES:
            raise BenchError(f"{wanted} of {LINES} lines came")


def _follow(place: Service) -> tuple[float, float]:
    """Return microseconds a line until all readers have all, and the growth in MiB."""
    body = {"source": "/dev/null", "content": task(f"lines-{LINES}")}
    run_id = place.post(1, clients=1, body=body | {"pool": place.settings.pool})[0]
    readers = [_Reader(place, run_id) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    before = sum(map(resident_mib, place.pids))
    most = before
    deadline = time.monotonic() + PATIENCE_S
    while any(reader.is_alive() for reader in readers):
        if time.monotonic() > deadline:
            raise BenchError("readers of a log did not come to its end")
        most = max(most, sum(map(resident_mib, place.pids)))
        time.sleep(0.05)
    for reader in readers:
        reader.check()
    began = place.store.runs.find(run_id).started or 0.0
    took = max(reader.ended for reader in readers) - began
    return took * 1e6 / LINES, most - before


def logs(place: Place) -> Iterator[Row]:
    """300,000 lines of one step to three readers: microseconds a line, and memory's growth."""
    rounds = min(place.rounds, 5)
    for kind, queue in kinds():
        with at_work(kind, queue, 1) as found:
            # The first fills what is filled once: pools, caches, buffers.
            took = [_follow(found) for _ in range(rounds + 1)][1:]
        line = percentile([each[0] for each in took], 0.5)
        growth = percentile([each[1] for each in took], 0.5)
        yield Row(f"service-log-line-{kind}", line, None, None, 20.0, "us/line", rounds)
        yield Row(f"service-log-memory-{kind}", growth, None, None, 16.0, "MiB", rounds)
