"""Do the faults of workers, timers and base images by seed, and print a line each.

``python -m tests.faults [SEED] [NAME…]``: larger than what ``make test`` does.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from tasks_service.store import open_store
from tasks_service.store.schema import upgrade
from tests.contract.stores import ENVELOPE, KINDS, database
from tests.faults import bases, timers, workers
from tests.faults.service import Inside, inside

Fault = Callable[[Inside, random.Random], None]


def _of_bases(fault: bases.Fault, more: dict[str, int]) -> Fault:
    return lambda service, chance: fault(service.store, service.settings.state_dir, chance, **more)


FAULTS: dict[str, Fault] = {
    "F1 killed mid step": lambda service, _: workers.killed_mid_step(service),
    "F10 frozen past its lease": lambda service, _: workers.frozen_past_its_lease(service),
    "F17 told to stop under load": lambda service, _: workers.told_to_stop_under_load(service, 8),
    "F17 told to stop twice": lambda service, _: workers.told_twice_to_stop(service),
    "F25 log flood of 1 GiB": lambda service, _: workers.log_flood(service, 1024),
    "F26 last lines of 1000 runs": lambda service, _: workers.last_lines(service, 1000),
    **{
        f"B{number} {fault.__name__.replace('_', ' ')}": _of_bases(fault, more)
        for number, (fault, more) in enumerate(bases.LARGE, 1)
    },
    "F37 200 races of cancels": lambda service, chance: workers.cancel_races(
        service, 200, chance.randrange(1 << 30)
    ),
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
ONE_CLOCK = ("F20",)
"""These move SQLite's clock by hand: other databases have their own."""


def place(service: Inside) -> Path:
    """Return a folder for a store of the fault's own."""
    found = service.settings.state_dir / "moved"
    found.mkdir()
    return found


def main(words: Sequence[str]) -> int:
    """Return 0 if all that must hold held."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seed = int(words[0]) if words else random.randrange(1 << 30)
    names = [name for name in FAULTS if not words[1:] or any(word in name for word in words[1:])]
    print(f"seed {seed}")
    failed = 0
    for kind in KINDS:
        for name in names:
            if name.startswith(ONE_CLOCK) and kind != KINDS[0]:
                continue
            started = time.monotonic()
            problem = _do(FAULTS[name], kind, random.Random(f"{seed} {name}"))
            failed += bool(problem)
            took = time.monotonic() - started
            print(f"{'FAILED' if problem else 'ok    '} {took:6.1f} s  {kind:<10}  {name}{problem}")
    return 1 if failed else 0


def _do(fault: Fault, kind: str, chance: random.Random) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="tasks-faults-") as folder,
        database(kind, Path(folder)) as url,
    ):
        store = open_store(url, ENVELOPE)
        upgrade(store.database)
        try:
            with inside(store, Path(folder), database_url=url) as service:
                fault(service, chance)
        except Exception as error:
            return f": {type(error).__name__}: {error}"
        finally:
            store.close()
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
