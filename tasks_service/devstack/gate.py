"""The gate: style, types, layers, generated files and tests, in one place.

``make check`` runs what needs no engine, ``make test`` all of it. Every part
runs even if an earlier one failed: one go shows all there is to mend.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from tasks_service.devstack import progress


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the gate: what it is called, and the program to run."""

    title: str
    argv: tuple[str, ...]


# Generated files: the module that makes each kind, and takes ``--check``.
_GENERATORS = {
    "BuildKit stubs as schemas/*.proto say": "runners.clients.buildkit.codegen",
    "schemas/*.json as the models say": "tasks_service.plans.schema",
    "schemas/openapi.json as the routes say": "tasks_service.api.document",
    "docs/ of the language as its tables say": "tasks_service.plans.reference",
    "docs/compatibility.md as the tests say": "tests.conformance.page",
}
_QUICK_TESTS = ("tests/unit", "tests/contract")
_DURATIONS = ("--durations=15", "--durations-min=5")


def checks(checkout: Path) -> list[Check]:
    """Return the parts that are no tests, in the order to run them."""
    programs = checkout / ".venv" / "bin"
    python = str(programs / "python")
    found = [
        Check("Format (ruff)", (str(programs / "ruff"), "format", "--check", "--quiet")),
        Check("Style (ruff)", (str(programs / "ruff"), "check", "--quiet")),
        Check("Types (mypy)", (str(programs / "mypy"), "--no-error-summary")),
        Check("Layers (import-linter)", (str(programs / "lint-imports"),)),
    ]
    found += [
        Check(f"Drift: {title}", (python, "-m", module, "--check"))
        for title, module in _GENERATORS.items()
        if find_spec(module) is not None
    ]
    return found


def run_checks(checkout: Path) -> bool:
    """Run all parts that are no tests; show the output of those that fail."""
    good = True
    for check in checks(checkout):
        began = time.monotonic()
        done = subprocess.run(
            check.argv,
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        took = time.monotonic() - began
        verdict = "ok" if done.returncode == 0 else "FAILED"
        progress.note(f"{verdict:6} {check.title} ({took:.1f} s)")
        if done.returncode != 0:
            good = False
            sys.stderr.write(done.stdout + done.stderr)
    return good


def run_tests(checkout: Path, environment: Mapping[str, str] | None) -> bool:
    """Run pytest; what drives engines runs beside what does not.

    The output of the one with engines goes straight to ours, the other's comes
    after it: engines mostly wait, so the two together take little longer than one.

    Args:
        environment: What tests with real parts need; None runs the others only.
    """
    if environment is None:
        chosen = [name for name in _QUICK_TESTS if (checkout / name).is_dir()]
        return _pytest(checkout, chosen, {}).wait() == 0
    with tempfile.TemporaryFile() as aside:
        quick = _pytest(checkout, [*_marked("not docker", "quick")], environment, aside)
        try:
            slow = _pytest(checkout, [*_marked("docker", "docker")], environment)
            good = slow.wait() == 0
            good = quick.wait() == 0 and good
        except BaseException:
            quick.kill()
            raise
        aside.seek(0)
        shutil.copyfileobj(aside, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return good


def _marked(mark: str, name: str) -> Iterator[str]:
    # Two that keep what failed in one place would lose it.
    yield from ("-m", mark, "-o", f"cache_dir=.pytest_cache/{name}")


def _pytest(
    checkout: Path,
    words: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    programs = checkout / ".venv" / "bin"
    return subprocess.Popen(
        [str(programs / "python"), "-m", "pytest", "-q", *_DURATIONS, *words],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        env={**os.environ, **environment},
    )
