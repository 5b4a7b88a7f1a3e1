"""``tasks doctor``: what this machine can do, and what is missing.

In: the state directory. Out: a table or JSON on standard output, and exit
code 0 if runs can be isolated as asked. The facts come from
``runners.backends.dind.diagnosis``; called by ``main``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tasks_service.cli.options import state_directory

if TYPE_CHECKING:
    from runners.backends.dind.diagnosis import Check

_MARKS = {"ok": "ok", "warning": "!!", "missing": "NO"}


def run_doctor(
    state_dir: Path, *, isolation: str = "", output: str = "table", probe: bool = True
) -> int:
    """Print the diagnosis and return 0 if runs can be isolated as asked, else 1.

    ``probe`` starts a runner and tries known escapes in it.

    Raises:
        InvalidInput: there is no such isolation level.
    """
    from runners.backends.dind.config import load
    from runners.backends.dind.diagnosis import MISSING, diagnose, without_setup
    from runners.backends.dind.levels import level
    from runners.model.cancellation import Cancellation
    from runners.model.errors import Unavailable

    if isolation:
        level(isolation)
    try:
        config = load(state_dir, isolation)
    except Unavailable:
        name, checks = isolation or "D3", without_setup()
    else:
        name, checks = config.level, diagnose(config, Cancellation(), probing=probe)
    good = all(check.status != MISSING for check in checks)
    if output == "json":
        facts = [dataclasses.asdict(check) for check in checks]
        body = {"isolation": name, "available": good, "checks": facts}
        click.echo(json.dumps(body, indent=2))
    else:
        click.echo(_table(checks))
        click.echo(_verdict(name, good=good, probed=probe))
    return 0 if good else 1


def _table(checks: Sequence[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{_MARKS[check.status]}  {check.name:<{width}}  {check.found}")
        if check.hint:
            lines.append(f"{'':{width + 6}}→ {check.hint}")
    return "\n".join(lines)


def _verdict(name: str, *, good: bool, probed: bool) -> str:
    if not good:
        return f"\nIsolation {name} can't be had here: see the lines marked NO."
    if probed:
        return f"\nIsolation {name} holds here: it was tried."
    return f"\nIsolation {name} can be had here; it was not tried (--no-probe)."


@click.command("doctor")
@click.option("--isolation", metavar="LEVEL", help="Look at this level instead of the one set up.")
@click.option("--probe/--no-probe", default=True, help="Start a runner and try known escapes.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def command(context: click.Context, isolation: str | None, probe: bool, output: str) -> None:
    """Tell what this machine can do, what is missing, and whether isolation holds."""
    state = state_directory(os.environ)
    context.exit(run_doctor(state, isolation=isolation or "", output=output, probe=probe))
