"""Which faults there are, and how each is done: the table behind ``make test-faults``.

A name begins with the fault's number. What is done to an Inside is done on
every database; what a test of ``tests`` proves already is run as that test.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.faults import bases, broker, requests, runners, stores, timers, workers
from tests.faults.service import Inside

Fault = Callable[[Inside, random.Random], None]

MUST = (
    *(f"F{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 21)),
    *(f"F{number}" for number in (24, 25, 26, 27, 28, 31, 34, 35, 37, 39, 40)),
)
"""What the service must survive: each has a line of its own."""


def _of_bases(fault: bases.Fault, more: dict[str, int]) -> Fault:
    return lambda service, chance: fault(service.store, service.settings.state_dir, chance, **more)


def _alone(fault: Callable[..., None], *more: int) -> Fault:
    return lambda service, _: fault(service, *more)


def place(service: Inside) -> Path:
    """Return a folder for a store of the fault's own."""
    found = service.settings.state_dir / "moved"
    found.mkdir()
    return found


DONE: dict[str, Fault] = {
    "F1 killed mid step": _alone(workers.killed_mid_step),
    "F2 woken again and again": _alone(broker.woken_twice),
    "F3 Redis killed, nothing kept": _alone(broker.killed_without_persistence),
    "F4 Redis away for 60 s": _alone(broker.stopped_under_requests, 50, 60),
    "F5 Redis frozen": _alone(broker.frozen_under_requests),
    "F6 connections cut": _alone(broker.connections_cut),
    "F8 Redis emptied under load": _alone(broker.emptied_under_load, 120),
    "F9 redelivery within a run": _alone(broker.visible_too_soon),
    "F10 frozen past its lease": _alone(workers.frozen_past_its_lease),
    "F11 F12 real runners killed": _alone(runners.runner_killed),
    "F16 API killed before the message": _alone(broker.killed_before_the_message),
    "F17 told to stop under load": _alone(workers.told_to_stop_under_load, 8),
    "F17 told to stop twice": _alone(workers.told_twice_to_stop),
    "F24 nobody takes logs": _alone(stores.hangs_under_output),
    "F24 disk of logs full": _alone(stores.full_under_output),
    "F25 log flood of 1 GiB": _alone(workers.log_flood, 1024),
    "F26 last lines of 1000 runs": _alone(workers.last_lines, 1000),
    "F28 registry that fails": _alone(runners.registry_fails),
    "F31 500 runs at once": _alone(requests.many_at_once),
    "F37 200 races of cancels": lambda service, chance: workers.cancel_races(
        service, 200, chance.randrange(1 << 30)
    ),
    "F39 leaks of 200 real runs": runners.leaks,
    "ALL 200 runs, random kills, restarts, cancels": broker.everything_at_random,
    **{
        f"B{number} {fault.__name__.replace('_', ' ')}": _of_bases(fault, more)
        for number, (fault, more) in enumerate(bases.LARGE, 1)
    },
    "F19 schedulers that crash": lambda service, chance: timers.schedulers_that_crash(
        service.store, service.settings.state_dir, chance, count=500, rounds=6
    ),
    "F20 clocks that jump": lambda service, chance: timers.clocks_that_jump(
        place(service), chance, jumps=300
    ),
    "F20 hours twice or never": lambda service, chance: timers.hours_that_come_twice_or_never(
        place(service), chance, days=6
    ),
}

ONE_DATABASE = ("F20", "F24 disk", "F11", "F28", "F39")
"""On SQLite only: its clock is moved by hand or its disk filled, or it is about runners."""

_LIFE = "tests/integration/isolation/test_life.py::test_"
_SANDBOX = "tests/contract/test_real_sandbox.py::test_"
_OUTAGE = "tests/integration/queue/test_outage.py::test_"
_DATABASES = "tests/integration/store/test_database_faults.py::test_"
_COMMITS = "tests/integration/service/test_commits.py::test_"
_RECORDER = "tests/unit/tasks_service/worker/test_recorder.py"

PROVED: dict[str, tuple[str, ...]] = {
    "B12 registry killed with queued notifications": (
        "tests/integration/service/test_registry_faults.py",
    ),
    "C1 one push 100 times, many ids": (
        f"{_COMMITS}a_push_of_each_kind_of_server_builds_its_own_commit_once_and_its_status_is_told",
    ),
    "C2 500 pushes at once, some again, shuffled": ("tests/contract/test_commit_faults.py",),
    "C3 pushes while the service is down": (
        "tests/integration/service/test_polls.py",
        "tests/contract/test_polls.py",
    ),
    "C4 forged, replayed, huge, malformed": ("tests/contract/test_hook_attacks.py",),
    "C5 pull requests of strangers": ("tests/integration/service/test_pulls.py",),
    "C6 receivers that fail, hang, redirect": (
        "tests/integration/service/test_notices.py",
        "tests/contract/test_notifications.py",
    ),
    "F11 engine inside killed": (
        f"{_LIFE}a_runner_ends_with_the_engine_inside",
        "tests/integration/buildkit/test_builds.py::test_an_engine_that_dies_is_a_lost_runner",
    ),
    "F12 memory, processes, exit 137": (
        f"{_LIFE}memory_and_processes_of_a_run_are_bounded",
        f"{_SANDBOX}lack_of_memory_is_told_with_its_limit",
        f"{_SANDBOX}an_exit_137_of_its_own_is_no_lack_of_memory",
    ),
    "F13 paused container": (
        f"{_LIFE}a_paused_container_does_not_keep_its_runner",
        f"{_SANDBOX}a_paused_container_ends_with_a_cancel",
    ),
    "F14 outer engine killed": ("tests/integration/isolation/test_private_engine.py",),
    "F18 other versions": (
        f"{_OUTAGE}what_is_no_message_of_ours_is_dropped_and_counted",
        "tests/unit/tasks_service/daemons/test_parts.py",
    ),
    "F21 disk of a runner full": (
        f"{_LIFE}a_full_disk_stops_the_step_and_not_the_machine",
        "tests/unit/runners/engine/test_causes.py",
    ),
    "F24 what a recorder keeps": (_RECORDER,),
    "F27 secrets cut anywhere": ("tests/unit/runners/engine/test_redact.py",),
    "F34 SQLite locked": (
        f"{_DATABASES}writers_wait_for_a_lock_that_goes_away",
        f"{_DATABASES}a_lock_that_stays_is_told_and_nothing_is_written",
    ),
    "F35 PostgreSQL killed and cut": (
        f"{_DATABASES}a_killed_server_costs_time_only",
        f"{_DATABASES}connections_that_are_cut_are_replaced",
    ),
    "F40 Git servers slow or wrong": ("tests/integration/cli/test_http_faults.py",),
}
