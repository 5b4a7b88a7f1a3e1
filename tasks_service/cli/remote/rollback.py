"""``tasks rollback``: a tag means again what an earlier run pushed."""

from __future__ import annotations

from typing import Any

import click

from tasks_service.cli.exit_codes import EPILOG
from tasks_service.cli.remote.connection import connect
from tasks_service.cli.remote.flags import show_options


@click.command("rollback", epilog=EPILOG)
@click.argument("image")
@click.option("--to", metavar="DIGEST", help="What a run pushed to this repository; its first 7"
              " digits will do. Default: what the tag meant before.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@show_options
def command(image: str, to: str | None, dry_run: bool, **parameters: Any) -> None:
    """Have the tag IMAGE mean again what an earlier run pushed. Nothing is built.

    Which it was is known from the runs; what no known run pushed, or what the
    registry does not hold any more, is refused. The next run that pushes the
    tag moves it on: disable its timers if it must not.

    \b
    tasks rollback registry.example/shop:1.0 --dry-run
    tasks rollback registry.example/shop:1.0
    tasks rollback registry.example/shop:1.0 --to sha256:4f1c2a7
    """
    from tasks_service.cli.remote.printing import Column, Form, key, print_object, say

    body: dict[str, Any] = {"image": image, "dryRun": dry_run}
    if to is not None:
        body["to"] = to
    with connect(parameters) as client:
        found = client.roll_back(body)
    facts = [
        Column("Image", key("image")),
        Column("Was", lambda one: one.get("old") or "not there"),
        Column("Is" if not dry_run else "Would be", key("new")),
        Column("Pushed by", key("run")),
        Column("Task", key("task")),
        Column("At", key("pushTime")),
    ]
    print_object(found, facts, Form.of(parameters), name="new")
    if not found.get("changed"):
        say("that is what it means already: nothing was done")
    elif dry_run:
        say("nothing was done: --dry-run")
