"""What every run ends with: the summary for people, the record for programs.

In: a finished RunResult. Out: text. Called by ``execute`` once the view is
closed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from runners.model.record import RunResult
from tasks_service.cli.output import Streams, Writer, elapsed, remarks
from tasks_service.cli.terminal import MARKS, Paint, duration, is_terminal, unicode_ok


def print_summary(result: RunResult, streams: Streams) -> None:
    """Print every step with state and time, what was pushed, and the error.

    Written to the stream of our own words.
    """
    paint = Paint.of(streams.err, streams.colour)
    icons = unicode_ok(streams.err)
    lines = [""] if is_terminal(streams.err) else []
    width = max((len(step.id) for step in result.steps), default=0)
    for step in result.steps:
        mark = MARKS[step.status]
        seconds = elapsed(step)
        time = "" if seconds is None else duration(seconds)
        icon = paint.style(mark.codes, mark.icon if icons else mark.ascii)
        lines.append(f"  {icon} {step.id:<{width}}  {mark.word:<9} {time:>7}{remarks(step)}")
    lines += _images(result, paint)
    took = elapsed(result)
    end = f"Run {result.id} {_status_word(result)}"
    lines.append(paint.bold(end + (f" after {duration(took)}" if took is not None else "")))
    Writer(streams.err).write("\n".join(lines) + "\n")


def _status_word(result: RunResult) -> str:
    words = {"Canceled": "was canceled", "Timeout": "timed out", "Error": "ended with an error"}
    return words.get(str(result.status), str(result.status).lower())


def _images(result: RunResult, paint: Paint) -> list[str]:
    pushed = [image for step in result.steps for image in step.outcome.pushed]
    if not pushed:
        return []
    return [paint.bold("Pushed:"), *(f"  {image.reference}@{image.digest}" for image in pushed)]


def print_record(result: RunResult, form: str) -> None:
    """Print the run record to standard output as ``json``, ``yaml`` or ``table``."""
    if form == "json":
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False) + "\n"
    elif form == "yaml":
        import yaml

        text = yaml.safe_dump(result.to_json(), sort_keys=False, allow_unicode=True)
    else:
        text = table(result)
    Writer(sys.stdout).write(text)


def table(result: RunResult) -> str:
    """Return the record as columns for people."""
    body = result.to_json()
    facts = {
        "Run": body["runId"],
        "Status": body["status"],
        "Source": body["source"]["location"],
        "Commit": body["source"]["commit"],
        "Registry": body["registry"],
        "Isolation": body["isolation"],
        "Runner": f"{result.runner.word}, there after {duration(result.runner.seconds)}"
        if result.runner
        else "",
        "Error": (body["error"] or {}).get("message", ""),
    }
    head = [f"{name + ':':<11}{value}" for name, value in facts.items() if value]
    return "\n\n".join(["\n".join(head), *details(result)]) + "\n"


def details(result: RunResult) -> list[str]:
    """Return the steps, and the pushed images with digests, as columns each."""
    steps = [("STEP", "KIND", "STATUS", "EXIT", "ATTEMPTS", "TIME")]
    for step in result.steps:
        seconds = elapsed(step)
        code = "" if step.exit_code is None else str(step.exit_code)
        time = "" if seconds is None else duration(seconds)
        row = (step.id, step.kind, str(step.status), code, str(step.attempts or ""), time)
        steps.append(row)
    images = [("IMAGE", "DIGEST")]
    images += [(i.reference, i.digest) for step in result.steps for i in step.outcome.pushed]
    return [_columns(rows) for rows in (steps, images) if len(rows) > 1]


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
