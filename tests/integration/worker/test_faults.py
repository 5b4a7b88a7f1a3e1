"""The quick faults of workers, on SQLite and, where there is one, PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks_service.store import open_store
from tasks_service.store.schema import upgrade
from tests.contract.stores import ENVELOPE, KINDS, database
from tests.faults import workers
from tests.faults.service import Inside, inside

FAULTS: tuple[Callable[[Inside], None], ...] = (
    workers.killed_mid_step,
    workers.frozen_past_its_lease,
    workers.told_to_stop_under_load,
    workers.told_twice_to_stop,
    workers.log_flood,
    workers.last_lines,
    workers.cancel_races,
)


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inside]:
    with database(request.param, tmp_path) as url:
        store = open_store(url, ENVELOPE)
        upgrade(store.database)
        with inside(store, tmp_path, database_url=url) as found:
            yield found
        store.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault(service: Inside, fault: Callable[[Inside], None]) -> None:
    fault(service)
