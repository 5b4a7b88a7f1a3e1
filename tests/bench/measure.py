"""Measuring: alternate two sides, keep medians, print a table, write JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

Side = Callable[[], float]
"""Does the work once and returns what it took, in the row's unit."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, and one object of ``.tasks/bench.json``.

    ``ratio`` is ours / peer where there is a peer, else ours / the goal's
    base; ``goal`` is the largest ratio (or, without a peer, the largest
    figure in ``unit``) that counts as met.
    """

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    goal: float
    unit: str
    runs: int

    @property
    def met(self) -> bool:
        """True where the goal is reached."""
        return (self.ours if self.ratio is None else self.ratio) <= self.goal


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` took, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    name: str,
    ours: Side,
    peer: Side | None,
    *,
    goal: float,
    rounds: int,
    unit: str = "s",
    before: Callable[[], object] | None = None,
) -> Row:
    """Measure a row: one warm-up of each side, then ``rounds`` alternations.

    Args:
        before: Called before every single measurement, outside the clock.
    """

    def once(side: Side) -> float:
        if before is not None:
            before()
        return side()

    for side in filter(None, (ours, peer)):
        once(side)
    mine: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        mine.append(once(ours))
        if peer is not None:
            theirs.append(once(peer))
        _tell(name, number + 1, rounds, mine, theirs)
    our_median = statistics.median(mine)
    peer_median = statistics.median(theirs) if theirs else None
    ratio = None if not peer_median else our_median / peer_median
    return Row(name, our_median, peer_median, ratio, goal, unit, rounds)


def _tell(name: str, number: int, rounds: int, mine: list[float], theirs: list[float]) -> None:
    last = f"ours {mine[-1]:.3f}" + (f", peer {theirs[-1]:.3f}" if theirs else "")
    print(f"  {name}: {number}/{rounds}  {last}", file=sys.stderr, flush=True)


def table(rows: list[Row]) -> str:
    """Return the rows as aligned text."""
    head = ("name", "ours", "peer", "ratio", "goal", "unit", "runs", "")
    body = [
        (
            row.name,
            f"{row.ours:.3f}",
            "-" if row.peer is None else f"{row.peer:.3f}",
            "-" if row.ratio is None else f"{row.ratio:.2f}",
            f"<= {row.goal:g}",
            row.unit,
            str(row.runs),
            "met" if row.met else "MISSED",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in {0, 4, 5, 7} else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *body]
    )


def write(rows: list[Row], path: Path) -> None:
    """Write the rows, keeping what the file has of rows not measured now."""
    kept = json.loads(path.read_text()) if path.exists() else []
    fresh = {row.name for row in rows}
    merged = [old for old in kept if old["name"] not in fresh] + [asdict(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(merged, indent=2) + "\n")
    part.replace(path)
