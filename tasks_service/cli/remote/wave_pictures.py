"""Pictures of a wave: what is built, runs, waits or is held, and after what.

In: the answer of ``GET /waves/N``. Out: SVG or Mermaid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks_service.cli.remote.boxes import Box, svg
from tasks_service.cli.terminal import clean_line

JSON = Mapping[str, Any]
FILLS = {
    "Moved": "#ffffff",
    "Built": "#cdeccd",
    "Restored": "#cdeccd",
    "Running": "#fff3b0",
    "Waiting": "#e8f0fe",
    "Held": "#e3dcf5",
    "Unchanged": "#eeeeee",
    "Failed": "#f6c9c9",
    "Blocked": "#fde3c8",
    "Canceled": "#dddddd",
    "Superseded": "#dddddd",
    "Refused": "#f6c9c9",
}


def wave_svg(wave: JSON) -> str:
    """Return an SVG image with a legend."""
    boxes, lines = _drawn(wave)
    legend = {name: FILLS[name] for name in FILLS if name in _kinds(wave)}
    return svg(boxes, lines, legend)


def wave_mermaid(wave: JSON) -> str:
    """Return a Mermaid flowchart."""
    boxes, lines = _drawn(wave)
    number = {name: f"n{index}" for index, name in enumerate(boxes)}
    found = ["flowchart LR"]
    for name, box in boxes.items():
        text = clean_line(box.text, colour=False).replace('"', "'")
        found.append(f'  {number[name]}["{text}"]')
        found.append(f"  style {number[name]} fill:{box.fill}")
    found += [f"  {number[start]} --> {number[end]}" for start, end in lines]
    return "\n".join(found) + "\n"


def _drawn(wave: JSON) -> tuple[dict[str, Box], list[tuple[str, str]]]:
    """Return boxes by name, and lines; names of images and of tasks do not mix."""
    boxes: dict[str, Box] = {}
    moved = dict.fromkeys(f"image {change['reference']}" for change in wave["changes"])
    for name in moved:
        boxes[name] = Box(name.removeprefix("image "), FILLS["Moved"])
    lines: list[tuple[str, str]] = []
    for member in wave["members"]:
        task, status = str(member["task"]), _status(wave, member)
        more = f"{task}: {status}. {member['reason']}"
        boxes[task] = Box(f"{task}: {status}", FILLS.get(status, "#ffffff"), more)
    for member in wave["members"]:
        starts = [parent for parent in member["parents"] if parent in boxes] or list(moved)
        lines += [(start, str(member["task"])) for start in starts]
    for task, path in wave["refused"].items():
        words = f"{task} is refused: {' -> '.join(path)}"
        boxes.setdefault(task, Box(f"{task}: Refused", FILLS["Refused"], words))
    return boxes, lines


def _status(wave: JSON, member: JSON) -> str:
    held = wave["status"] == "Paused" or str(member["reason"]).startswith("held ")
    if member["status"] == "Waiting" and held:
        return "Held"
    return str(member["status"])


def _kinds(wave: JSON) -> set[str]:
    kinds = {_status(wave, member) for member in wave["members"]}
    return (
        kinds
        | ({"Moved"} if wave["changes"] else set())
        | ({"Refused"} if wave["refused"] else set())
    )
