"""Pictures of who stands on whom: a tree for terminals, Mermaid, SVG.

In: the answer of ``GET /graph``. Out: text. Images are the boxes; an image
that nobody here builds has only its name, the others their task too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks_service.cli.remote.boxes import Box
from tasks_service.cli.remote.boxes import svg as draw
from tasks_service.cli.terminal import clean_line

JSON = Mapping[str, Any]


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
    old = {user for (_, user), is_old in picture.lines.items() if is_old}
    boxes = {
        name: Box(label, "#fde3c8" if name in old else "#e8f0fe")
        for name, label in picture.label.items()
    }
    return draw(boxes, picture.lines)
