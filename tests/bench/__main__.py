"""``python -m tests.bench [--only NAME] [--rounds N]``: measure, print, record."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import (
    builds,
    cascades,
    cli,
    engine,
    hooks,
    language,
    service,
    service_load,
    timers,
    watching,
)
from tests.bench.measure import Row, table, write
from tests.bench.place import ROOT, BenchError, Place, compile_sources

# Group → (names of its rows, what measures them). A name may be a pattern.
GROUPS: dict[str, tuple[tuple[str, ...], Callable[[Place], Iterator[Row]]]] = {
    "tiny": (("build-tiny-cached", "build-tiny-no-cache"), builds.tiny),
    "context": (("build-context-cold", "build-context-changed"), builds.context),
    "pushed": (("build-push-context-cold", "build-push-context-changed"), builds.pushed),
    "commands": (("cmd-steps-in-a-row", "cmd-steps-in-parallel"), engine.commands),
    "overhead": (("engine-overhead-in-a-row", "engine-overhead-in-parallel"), engine.overhead),
    "language": (("language-20-steps", "language-2000-steps"), language.language),
    "cold": (("run-one-step-cold",), cli.cold),
    "timers": (("timers-10000-due-sqlite", "timers-10000-due-postgresql"), timers.due),
    "cli": (("cli-help", "cli-run-nothing"), cli.start),
    "runs": (service.NOOP_ROWS, service.noop),
    "first-step": (service.FIRST_STEP_ROWS, service.first_step),
    "dispatch": (service_load.DISPATCH_ROWS, service_load.dispatch),
    "queries": (service_load.QUERY_ROWS, service_load.queries),
    "logs": (service_load.LOG_ROWS, service_load.logs),
    "webhooks": (hooks.DOOR_ROWS, hooks.door),
    "look-up": (hooks.LOOK_UP_ROWS, hooks.look_up),
    "waves-plan": (cascades.PLAN_ROWS, cascades.plan),
    "waves-impact": (cascades.IMPACT_ROWS, cascades.impact),
    "waves-graph": (cascades.RANDOM_ROWS, cascades.random_graph),
    "waves-push": (watching.PUSH_ROWS, watching.push_to_plan),
    "waves-sweep": (watching.SWEEP_ROWS, watching.sweep),
}


def chosen(only: str) -> list[str]:
    """Return the groups that ``only`` names: a group, a row, or a pattern."""
    if not only:
        return list(GROUPS)
    return [
        group
        for group, (names, _) in GROUPS.items()
        if fnmatch.fnmatch(group, only) or any(fnmatch.fnmatch(name, only) for name in names)
    ]


def main() -> int:
    """Run the chosen groups; exit 1 if a side failed, never for a missed goal."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="a group, a row or a pattern")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="alternations a row")
    parser.add_argument("--out", type=Path, default=ROOT / ".tasks" / "bench.json")
    options = parser.parse_args()
    groups = chosen(options.only)
    if not groups:
        parser.error(f"nothing is called {options.only!r}; groups: {', '.join(GROUPS)}")
    rows: list[Row] = []
    failed = False
    try:
        place = Place.from_environment(options.rounds)
        compile_sources()
        for group in groups:
            print(f"{group} …", file=sys.stderr, flush=True)
            try:
                rows.extend(GROUPS[group][1](place))
            except BenchError as error:
                failed = True
                print(f"{group}: {error}", file=sys.stderr)
            write(rows, options.out)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
