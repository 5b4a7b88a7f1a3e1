"""Rows for the command line: start-up, and a whole one-step run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.bench.measure import Row, compare
from tests.bench.place import ROOT, Place

_TASKS = "tasks_service.cli.main"


def start(place: Place) -> Iterator[Row]:
    """``tasks --help``, and ``tasks run`` of nothing."""
    yield compare(
        "cli-help",
        lambda: place.ours(_TASKS, "--help") * 1000,
        None,
        goal=150,
        rounds=max(place.rounds, 11),
        unit="ms",
    )

    def nothing() -> float:
        script = (
            "import subprocess,sys,time; s=time.perf_counter(); "
            "subprocess.run([sys.executable,'-m',sys.argv[1],'run','/dev/null','--local','-f','nothing.yaml'],"
            "capture_output=True); print(time.perf_counter()-s)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, _TASKS],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        return float(done.stdout) * 1000

    yield compare(
        "cli-run-nothing", nothing, None, goal=300, rounds=max(place.rounds, 11), unit="ms"
    )


def cold(place: Place) -> Iterator[Row]:
    """A whole ``tasks run`` of one step, cold runner included.

    The peer is what the goal names: two bare ``docker run`` on a running
    engine, plus the start of a runner, measured by a run of no step.
    """

    def whole(*extra: str) -> float:
        return place.ours(
            _TASKS, "run", "/dev/null", "--local", "-r", place.registry, "--quiet", *extra
        )

    def peer() -> float:
        empty = ROOT / "tests" / "bench" / "no-steps.yaml"
        return 2 * place.peer(f"docker run --rm {place.base_image} true") + whole("-f", str(empty))

    yield compare(
        "run-one-step-cold",
        lambda: whole("--cmd", f"{place.base_image} true"),
        peer,
        goal=1.0,
        rounds=place.rounds,
    )
