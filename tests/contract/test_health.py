"""What schedulers and workers serve on ``--metrics-listen``, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tasks_service.config import Settings
from tasks_service.daemons.health import serve_health
from tasks_service.daemons.parts import Parts, open_parts
from tasks_service.model.run import NewRun, RunRequest


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    found = open_parts(
        Settings(state_dir=tmp_path / "state", metrics_listen="127.0.0.1:0"), migrate=True
    )
    try:
        yield found
    finally:
        found.close()


def _get(address: str, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_process_tells_that_it_lives_can_work_and_what_it_counts(parts: Parts) -> None:
    parts.store.runs.accept(NewRun(RunRequest(command="x")), run_id="r1")
    alive = True
    server = serve_health(parts, alive=lambda: alive)
    assert server is not None
    try:
        assert _get(server.address, "/livez") == (200, "ok\n")
        assert _get(server.address, "/readyz")[0] == 200
        status, told = _get(server.address, "/metrics")
        assert status == 200
        assert 'tasks_runs{status="Queued"} 1.0' in told
        alive = False
        assert _get(server.address, "/livez") == (503, "stuck\n")
        assert _get(server.address, "/api/v1/runs")[0] == 404
    finally:
        server.stop()


def test_nothing_is_served_where_no_address_is_set(tmp_path: Path) -> None:
    found = open_parts(Settings(state_dir=tmp_path / "state"), migrate=True)
    try:
        assert serve_health(found, alive=lambda: True) is None
    finally:
        found.close()
