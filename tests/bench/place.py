"""Where a benchmark runs: one engine with both sides' clients, and a registry.

Both sides talk to the same engine over its socket. The peer's programs
(``docker``, ``docker buildx``) live in the engine's own container and are
timed in there, from just before the program starts to just after it ended, so
that neither side pays for getting into the container.
"""

from __future__ import annotations

import compileall
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class BenchError(RuntimeError):
    """A side failed; its output is the message."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the rows need; made from the environment that ``make bench`` sets.

    Attributes:
        docker_host: ``unix://`` address of the engine, seen from here.
        container: Command prefix that runs a program in the container that
            holds the engine, its own socket at the default place.
        registry: ``host:port`` that both the engine and we reach.
        base_image: A small image with a shell in that registry.
        scratch: Directory that both sides see under the same path.
        rounds: Alternations a row.
    """

    docker_host: str
    container: tuple[str, ...]
    registry: str
    base_image: str
    scratch: Path
    rounds: int

    @classmethod
    def from_environment(cls, rounds: int) -> Place:
        """Read the place from ``TASKS_BENCH_*``; BenchError names what is missing."""
        names = ("ENGINE", "EXEC", "REGISTRY", "BASE_IMAGE", "SCRATCH")
        values = {name: os.environ.get(f"TASKS_BENCH_{name}", "") for name in names}
        missing = [f"TASKS_BENCH_{name}" for name, value in values.items() if not value]
        if missing:
            raise BenchError(f"not set: {', '.join(missing)}; use `make bench`")
        return cls(
            docker_host=values["ENGINE"],
            container=tuple(shlex.split(values["EXEC"])),
            registry=values["REGISTRY"],
            base_image=values["BASE_IMAGE"],
            scratch=Path(values["SCRATCH"]),
            rounds=rounds,
        )

    def folder(self, name: str) -> Path:
        """Return a new directory that both sides see."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch))
        path.chmod(0o755)
        return path

    def peer(self, script: str) -> float:
        """Run a shell script beside the engine and return its own seconds.

        Raises:
            BenchError: it exited badly.
        """
        timed = (
            f"s=$(date +%s%N); ( {script} ) >/tmp/bench.log 2>&1; r=$?; e=$(date +%s%N); "
            '[ $r = 0 ] || { cat /tmp/bench.log; exit $r; }; echo "took $((e-s))"'
        )
        done = subprocess.run(
            [*self.container, "sh", "-c", timed], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"peer failed: {script}\n{done.stdout}{done.stderr}")
        return int(done.stdout.rsplit("took ", 1)[1]) / 1e9

    def ours(self, *argv: str) -> float:
        """Run one of our programs (``python -m``) and return its seconds.

        Raises:
            BenchError: it exited badly.
        """
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *argv], capture_output=True, text=True, check=False, cwd=ROOT
        )
        took = time.perf_counter() - start
        if done.returncode:
            raise BenchError(f"failed: {argv}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return took

    def prune(self) -> None:
        """Drop the engine's build cache and dangling images."""
        self.peer("docker builder prune -af && docker image prune -f")


def compile_sources() -> None:
    """Write the bytecode of our packages, as installing them does.

    A checkout run with ``PYTHONDONTWRITEBYTECODE`` would be compiled anew by
    every process: no installation pays for that, and neither does the peer.
    """
    for package in ("runners", "tasks_service"):
        compileall.compile_dir(ROOT / package, quiet=2)


def many_files(folder: Path, *, count: int, total_bytes: int) -> None:
    """Fill ``folder`` with ``count`` files of incompressible and text halves.

    Half of every file is text that compresses, half is random, so that
    neither a compressor nor a network is flattered.
    """
    size = total_bytes // count
    text = (b"the quick brown fox jumps over the lazy dog " * (size // 44 + 1))[: size // 2]
    for number in range(count):
        sub = folder / f"d{number % 200:03d}"
        if number < 200:
            sub.mkdir(parents=True, exist_ok=True)
        (sub / f"f{number:05d}.bin").write_bytes(text + os.urandom(size - len(text)))


def remove(folder: Path) -> None:
    """Remove a folder made by ``Place.folder``."""
    shutil.rmtree(folder, ignore_errors=True)
