"""Faults of load: far more is asked for at once than the service has room for."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from starlette.testclient import TestClient

from runners.model.status import RunStatus
from tasks_service.api.tokens import make_token
from tasks_service.model.access import Role
from tasks_service.queue import open_queue
from tests.faults.broker import api_app
from tests.faults.process import script
from tests.faults.service import Inside, check_invariants, task

GROWTH_KIB = 200 << 10
HANDS = 3


def many_at_once(service: Inside, asked: int = 500, room: int = 300) -> None:
    """F31: all are accepted or told when to come back; tasks keep their order and bound."""
    settings = service.settings = replace(service.settings, max_queued=room)
    queue = open_queue(settings)
    token = make_token(service.store, name="crowd", role=Role.ADMIN).text
    headers = {"Authorization": f"Bearer {token}"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with TestClient(api_app(settings, service.store, queue)) as api:
        body = {"content": task("say"), "source": "/dev/null"}
        for name in ("a", "b"):
            made = api.put(
                f"/api/v1/tasks/{name}", json={**body, "maxConcurrent": 1}, headers=headers
            )
            assert made.status_code < 300, made.text
        ordered: dict[str, list[str]] = {"a": [], "b": []}
        for _ in range(10):
            for name, ids in ordered.items():
                answer = api.post(f"/api/v1/tasks/{name}/runs", json={}, headers=headers)
                assert answer.status_code == 202, answer.text
                ids.append(answer.json()["id"])
        service.accepted += [run_id for ids in ordered.values() for run_id in ids]

        def ask(_: int) -> Any:
            return api.post("/api/v1/runs", json=body, headers=headers)

        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(ask, range(asked)))
        for answer in answers:
            if answer.status_code == 202:
                service.accepted.append(answer.json()["id"])
            else:
                assert answer.status_code == 429, answer.text
                assert int(answer.headers["Retry-After"]) > 0
        assert room <= len(service.accepted) < room + 32
        service.worker(script, concurrency=HANDS)
        ended = service.ended(within_s=120)
    queue.close()
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert {run.attempt for run in ended} == {1}
    _held_their_order(service, ordered)
    assert _most_at_once([(run.started, run.finished) for run in ended]) <= HANDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB
    check_invariants(service)


def _held_their_order(service: Inside, ordered: dict[str, list[str]]) -> None:
    for ids in ordered.values():
        found = [service.run(run_id) for run_id in ids]
        starts = [run.started or 0.0 for run in found]
        assert starts == sorted(starts)
        assert _most_at_once([(run.started, run.finished) for run in found]) == 1


def _most_at_once(spans: list[tuple[float | None, float | None]]) -> int:
    """Return how many of the spans had begun and not ended, at most."""
    edges = [(start or 0.0, 1) for start, _ in spans] + [(end or 0.0, -1) for _, end in spans]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most
