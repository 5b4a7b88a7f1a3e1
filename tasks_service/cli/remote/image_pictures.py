"""Pictures of who stands on whom: a tree for terminals, Mermaid, SVG.

In: the answer of ``GET /graph``. Out: text. Images are the boxes; an image
that nobody here builds has only its name, the others their task too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape

from tasks_service.cli.terminal import clean_line

JSON = Mapping[str, Any]
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 300, 40, 60, 18


class _Picture:
    """Boxes by level, and lines from base to user."""

    def __init__(self, found: JSON) -> None:
        self.label: dict[str, str] = {}
        self.lines: dict[tuple[str, str], bool] = {}
        """Base and user → whether it is stale."""
        pushed: dict[str, str] = {}
        for output in found["outputs"]:
            pushed.setdefault(output["task"], output["reference"])
        for edge in found["edges"]:
            base = edge["producer"] or edge["reference"]
            self.label.setdefault(base, edge["reference"])
            task = edge["task"]
            self.label[task] = f"{pushed.get(task, 'no image')} ({task})"
            if base != task:
                key = (base, task)
                self.lines[key] = self.lines.get(key, False) or bool(edge["stale"])
        for task, reference in pushed.items():
            self.label[task] = f"{reference} ({task})"

    def users(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for base, user in sorted(self.lines):
            found.setdefault(base, []).append(user)
        return found

    def levels(self) -> dict[str, int]:
        level = dict.fromkeys(self.label, 0)
        # A circle would go on for ever: no way is longer than there are boxes.
        for _ in range(len(level)):
            changed = False
            for base, user in self.lines:
                if level[user] < level[base] + 1 <= len(level):
                    level[user] = level[base] + 1
                    changed = True
            if not changed:
                break
        return level


def tree(found: JSON) -> str:
    """Return a tree: bases at the left, what stands on them below; `*` is stale."""
    picture = _Picture(found)
    users = picture.users()
    bases = {base for base, _ in picture.lines}
    above = {user for _, user in picture.lines}
    roots = sorted(bases - above) or sorted(bases)
    shown: set[str] = set()
    lines = []
    for root in roots:
        lines.append(clean_line(picture.label[root], colour=False))
        lines += _below(picture, users, root, "", shown, (root,))
    lone = sorted(picture.label.keys() - bases - above)
    lines += [clean_line(picture.label[name], colour=False) for name in lone]
    return "".join(f"{line}\n" for line in lines)


def _below(
    picture: _Picture,
    users: Mapping[str, list[str]],
    base: str,
    indent: str,
    shown: set[str],
    path: tuple[str, ...],
) -> Iterator[str]:
    found = users.get(base, [])
    for number, user in enumerate(found):
        last = number == len(found) - 1
        mark = " *" if picture.lines[base, user] else ""
        again = user in shown and bool(users.get(user))
        words = clean_line(picture.label[user], colour=False) + mark + (" (see above)" * again)
        yield f"{indent}{'└─ ' if last else '├─ '}{words}"
        shown.add(user)
        if not again and user not in path and len(path) < 100:
            following = indent + ("   " if last else "│  ")
            yield from _below(picture, users, user, following, shown, (*path, user))


def mermaid(found: JSON) -> str:
    """Return a Mermaid flowchart; stale lines are dotted."""
    picture = _Picture(found)
    number = {name: f"n{index}" for index, name in enumerate(sorted(picture.label))}
    lines = ["flowchart LR"]
    for name in sorted(picture.label):
        text = clean_line(picture.label[name], colour=False).replace('"', "'")
        lines.append(f'  {number[name]}["{text}"]')
    for (base, user), old in sorted(picture.lines.items()):
        lines.append(f"  {number[base]} {'-.->' if old else '-->'} {number[user]}")
    return "\n".join(lines) + "\n"


def svg(found: JSON) -> str:
    """Return an SVG image; stale boxes are orange."""
    picture = _Picture(found)
    level = picture.levels()
    rows: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for name in sorted(picture.label, key=lambda one: (level[one], one)):
        row = rows.get(level[name], 0)
        rows[level[name]] = row + 1
        place[name] = (
            10 + level[name] * (_WIDTH + _GAP_X),
            10 + row * (_HEIGHT + _GAP_Y),
        )
    width = 20 + (max(level.values(), default=0) + 1) * (_WIDTH + _GAP_X) - _GAP_X
    height = 20 + max(rows.values(), default=1) * (_HEIGHT + _GAP_Y) - _GAP_Y
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    parts = [f'{head} font-family="sans-serif" font-size="12">']
    for base, user in sorted(picture.lines):
        (x1, y1), (x2, y2) = place[base], place[user]
        start, middle, end = x1 + _WIDTH, (x1 + _WIDTH + x2) // 2, x2
        y1, y2 = y1 + _HEIGHT // 2, y2 + _HEIGHT // 2
        parts.append(
            f'<path d="M{start},{y1} C{middle},{y1} {middle},{y2} {end},{y2}"'
            ' fill="none" stroke="#888"/>'
        )
    old = {user for (_, user), is_old in picture.lines.items() if is_old}
    for name, (x, y) in place.items():
        text = clean_line(picture.label[name], colour=False)
        fill = "#fde3c8" if name in old else "#e8f0fe"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}"'
            ' stroke="#666"/>'
            f'<text x="{x + 10}" y="{y + 25}">{escape(text[-44:])}'
            f"<title>{escape(text)}</title></text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
