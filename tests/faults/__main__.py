"""Do the faults the service must survive, by seed, and print a line each.

``python -m tests.faults [SEED] [NAME…]``: larger than what ``make test`` does.
A name chooses all lines that begin with it as a word, such as F4, or hold it.
"""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from tasks_service.store import open_store
from tasks_service.store.schema import upgrade
from tests.contract.stores import ENVELOPE, KINDS, database
from tests.faults.rows import DONE, ONE_DATABASE, PROVED, Fault
from tests.faults.service import inside

_TESTS_S = 300


def main(words: Sequence[str]) -> int:
    """Return 0 if all that must hold held."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    known = bool(words) and words[0].isdigit()
    seed = int(words[0]) if known else random.randrange(1 << 30)
    asked = words[1:] if known else words
    print(f"seed {seed}", flush=True)
    failed = 0
    for name in filter(lambda name: _wanted(name, asked), DONE):
        for kind in KINDS[:1] if name.startswith(ONE_DATABASE) else KINDS:
            chance = random.Random(f"{seed} {name}")
            failed += _tell(name, kind, lambda: _do(DONE[name], kind, chance))  # noqa: B023 - at once
    for name in filter(lambda name: _wanted(name, asked), PROVED):
        failed += _tell(name, "tests", lambda: _prove(PROVED[name]))  # noqa: B023 - at once
    print(f"{failed} failed" if failed else "all held")
    return 1 if failed else 0


def _wanted(name: str, words: Sequence[str]) -> bool:
    return not words or any(name.startswith(f"{word} ") or word in name[4:] for word in words)


def _tell(name: str, kind: str, work: Callable[[], str]) -> bool:
    started = time.monotonic()
    problem = work()
    took = time.monotonic() - started
    print(
        f"{'FAILED' if problem else 'ok    '} {took:6.1f} s  {kind:<10}  {name}{problem}",
        flush=True,
    )
    return bool(problem)


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


def _prove(tests: Sequence[str]) -> str:
    """Run tests of ``make test``; return the end of what they say if any fails or is skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TESTS_S,
    )
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or "skipped" in last:
        return f": {done.stdout[-2000:]}{done.stderr[-500:]}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
