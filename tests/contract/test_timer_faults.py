"""The quick faults of timers; `make test-faults` does more of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.contract.stores import KINDS, opened
from tests.faults import timers


@pytest.mark.parametrize("kind", KINDS)
def test_schedulers_that_race_and_crash_start_each_run_once(kind: str, tmp_path: Path) -> None:
    with opened(kind, tmp_path) as store:
        timers.schedulers_that_crash(store, tmp_path, random.Random(1), count=40, rounds=2)


def test_clocks_that_jump_repeat_nothing_and_leave_nothing_out_afterwards(tmp_path: Path) -> None:
    timers.clocks_that_jump(tmp_path, random.Random(2), jumps=25)


def test_hours_that_come_twice_or_never_fire_once(tmp_path: Path) -> None:
    timers.hours_that_come_twice_or_never(tmp_path, random.Random(3), days=2)
