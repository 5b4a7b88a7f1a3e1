"""``tasks plan``: what a task file would do, as tree, JSON, Mermaid or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tasks_service.cli.exit_codes import OK, USAGE
from tasks_service.cli.offline import DEFAULT_FILE, STAND_INS, compile_file, compile_options


@click.command("plan")
@click.argument("file", default=DEFAULT_FILE)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "mermaid", "svg"]),
    default="text",
    show_default=True,
    help="Form of the plan.",
)
@compile_options
def command(file: str, output: str, **parameters: Any) -> int:
    """Show what a task file would do, as a graph; nothing is run.

    FILE is acb.yaml without; `-` is standard input. Secrets are masked. Where no
    --id and no -r are given, run1 and registry.example stand for them. The exit
    code is 2 if the file has errors, which go to standard error.
    """
    from tasks_service.plans.views.diagnostics import as_text

    # The others may be empty in a run; without these no image of it has a name.
    stand_ins = {name: STAND_INS[name] for name in ("id", "registry")}
    compiled = compile_file(file, parameters, stand_ins)
    if not compiled.ok:
        click.echo(as_text(compiled.problems), err=True)
        return USAGE
    from tasks_service.plans.views.plan_json import plan_json

    data = plan_json(compiled)
    if output == "json":
        import json

        text = json.dumps(data, indent=2, ensure_ascii=False)
    elif output == "svg":
        from tasks_service.plans.views.svg import plan_svg

        text = plan_svg(data, Path(compiled.file).name).rstrip("\n")
    else:
        from tasks_service.plans.views.text import plan_mermaid, plan_tree

        text = plan_mermaid(data) if output == "mermaid" else plan_tree(data)
    click.echo(text)
    return OK
