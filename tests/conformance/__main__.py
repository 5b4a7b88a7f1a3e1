"""``make conformance``: run the engine's cases, print counts by outcome.

The files of cases are the arguments, else ``$TASKS_CONFORMANCE``, else
engine-cases.jsonl beside this module. The exit code is 1 if a case came out
wrong.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from tests.conformance.cases import Verdict, judge, read_cases

DEFAULT = Path(__file__).with_name("engine-cases.jsonl")
"""Inputs of our own, with what the original engine did with each."""


def main(arguments: list[str]) -> int:
    verbose = "-v" in arguments
    names = [argument for argument in arguments if not argument.startswith("-")]
    paths = [Path(name) for name in names or [os.environ.get("TASKS_CONFORMANCE") or DEFAULT]]
    verdicts: list[Verdict] = []
    for path in paths:
        if not path.is_file():
            print(f"no file of cases at {path}", file=sys.stderr)
            return 2
        verdicts += [judge(case) for case in read_cases(path)]
    shown = {"WRONG", "differs"} | ({"same", "n/a"} if verbose else set())
    for verdict in verdicts:
        if verdict.outcome in shown:
            print(f"{verdict.outcome:8} {verdict.name}: {verdict.reason}")
    reasons = Counter((v.outcome, v.reason) for v in verdicts if v.outcome == "n/a")
    for (_, reason), count in reasons.items():
        print(f"n/a      {count} cases: {reason}")
    counts = Counter(verdict.outcome for verdict in verdicts)
    print(", ".join(f"{counts[name]} {name}" for name in ("same", "differs", "n/a", "WRONG")))
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
