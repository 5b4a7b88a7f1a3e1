"""Boxes and lines between them as an SVG image, from left to right.

In: names, what stands in each box, its colour, and lines. Out: text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tasks_service.cli.terminal import clean_line

WIDTH, HEIGHT, GAP_X, GAP_Y = 300, 40, 60, 18
_SHOWN = 44


@dataclass(frozen=True, slots=True)
class Box:
    """What is seen of a box; ``more`` is shown by pointing at it."""

    text: str
    fill: str = "#e8f0fe"
    more: str = ""


def levels(names: Collection[str], lines: Collection[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each box: one right of all that lines come from."""
    level = dict.fromkeys(names, 0)
    # A circle would go on for ever: no way is longer than there are boxes.
    for _ in range(len(level)):
        changed = False
        for start, end in lines:
            if level[end] < level[start] + 1 <= len(level):
                level[end] = level[start] + 1
                changed = True
        if not changed:
            break
    return level


def svg(
    boxes: Mapping[str, Box],
    lines: Collection[tuple[str, str]],
    legend: Mapping[str, str] | None = None,
) -> str:
    """Return the image.

    Args:
        boxes: By name.
        lines: From the first name to the second.
        legend: Words below the image → colour.
    """
    level = levels(boxes, lines)
    rows: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for name in sorted(boxes, key=lambda one: (level[one], one)):
        row = rows.get(level[name], 0)
        rows[level[name]] = row + 1
        place[name] = (10 + level[name] * (WIDTH + GAP_X), 10 + row * (HEIGHT + GAP_Y))
    width = 20 + (max(level.values(), default=0) + 1) * (WIDTH + GAP_X) - GAP_X
    height = 20 + max(rows.values(), default=1) * (HEIGHT + GAP_Y) - GAP_Y
    below = height
    height += 24 if legend else 0
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    parts = [
        f'{head} font-family="sans-serif" font-size="12">',
        *(_line(place[start], place[end]) for start, end in sorted(lines)),
        *(_box(box, *place[name]) for name, box in boxes.items()),
    ]
    for number, (words, fill) in enumerate((legend or {}).items()):
        x = 10 + number * 110
        parts.append(
            f'<rect x="{x}" y="{below}" width="12" height="12" fill="{fill}" stroke="#666"/>'
            f'<text x="{x + 18}" y="{below + 10}">{escape(words)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = start, end
    left, middle = x1 + WIDTH, (x1 + WIDTH + x2) // 2
    y1, y2 = y1 + HEIGHT // 2, y2 + HEIGHT // 2
    return (
        f'<path d="M{left},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}" fill="none" stroke="#888"/>'
    )


def _box(box: Box, x: int, y: int) -> str:
    text = clean_line(box.text, colour=False)
    more = clean_line(box.more or box.text, colour=False)
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{box.fill}"'
        ' stroke="#666"/>'
        f'<text x="{x + 10}" y="{y + 25}">{escape(text[-_SHOWN:])}'
        f"<title>{escape(more)}</title></text>"
    )
