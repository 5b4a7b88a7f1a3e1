"""Faults and attacks of base images, on SQLite and PostgreSQL; `make test-faults` does more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.contract.stores import KINDS, opened
from tests.faults import bases


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", bases.QUICK, ids=lambda fault: fault.__name__)
def test_fault(kind: str, fault: bases.Fault, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as store:
        fault(store, tmp_path, random.Random(f"7 {fault.__name__}"))
