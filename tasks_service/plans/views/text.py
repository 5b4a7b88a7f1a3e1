"""A plan as a text tree and as Mermaid.

In: plan data of plan_json. Out: text. Called by ``tasks plan``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tasks_service.plans.views.layers import depths, reduced_needs
from tasks_service.plans.words import option_values, words_of

_WIDTH = 72
_ADDRESS = re.compile(r"(?:localhost|[^/\s=]*[.:][^/\s=]*)/(?=[^/])")


def summary(step: Mapping[str, Any], width: int = _WIDTH) -> str:
    """Return what a step does, on one line of at most ``width`` characters."""
    value = step.get(step["kind"], "")
    return _cut(
        " ".join((", ".join(value) if isinstance(value, list) else str(value)).split()), width
    )


def headline(step: Mapping[str, Any], width: int) -> str:
    """Return what tells a step from others where there is little room.

    The tags of what it makes if it names some, else its text; images without
    the registry's address.
    """
    value = step.get(step["kind"], "")
    made = value if isinstance(value, list) else _tags(str(value))
    if made:
        more = f" +{len(made) - 1}" if len(made) > 1 else ""
        return _cut(_without_address(str(made[0])), width - len(more)) + more
    return _cut(" ".join(map(_without_address, str(value).split())), width)


def _tags(text: str) -> list[str]:
    return option_values(words_of(text), ("-t", "--tag", "--image"))


def _without_address(word: str) -> str:
    found = _ADDRESS.match(word)
    return word[found.end() :] if found else word


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def marks(step: Mapping[str, Any]) -> list[str]:
    """Return the properties of a step that change how it runs, in words."""
    words = []
    if step.get("detach"):
        words.append("stays in the background")
    if step.get("ignoreErrors"):
        words.append("may fail")
    if step.get("retries"):
        words.append(f"{step['retries']} retries")
    if step.get("repeat"):
        words.append(f"{step['repeat'] + 1} times")
    if step.get("startDelay"):
        words.append(f"after {step['startDelay']} s")
    if step.get("privileged"):
        words.append("privileged")
    return words


def _edges(plan: Mapping[str, Any]) -> list[tuple[str, Sequence[str]]]:
    return [(step["id"], step["needs"]) for step in plan["steps"]]


def plan_tree(plan: Mapping[str, Any]) -> str:
    """Return the graph as an indented tree.

    A step stands below the last of the steps it waits for; others that it
    waits for are named behind it.
    """
    steps = {step["id"]: step for step in plan["steps"]}
    edges = _edges(plan)
    needs = reduced_needs(edges)
    depth = depths(edges)
    children: dict[str | None, list[str]] = {}
    parent: dict[str, str | None] = {}
    for step_id in steps:
        chosen = max(needs[step_id], key=lambda name: depth[name], default=None)
        parent[step_id] = chosen
        children.setdefault(chosen, []).append(step_id)
    at_once = max(
        (sum(1 for d in depth.values() if d == level) for level in set(depth.values())), default=0
    )
    count = len(steps)
    lines = [
        (
            f"{count} step{'s' if count != 1 else ''}, up to {at_once} at once, "
            f"version {plan['version']}"
        )
    ]
    # A stack, not recursion: a file may chain thousands of steps.
    stack: list[tuple[str, str, str]] = []

    def push(owner: str | None, prefix: str, *, chained: bool = False) -> None:
        own = children.get(owner, [])
        last = "↓  " if chained else "└─ "
        signs = ["├─ "] * (len(own) - 1) + [last] * bool(own)
        stack.extend(
            (name, prefix, mark) for name, mark in reversed(list(zip(own, signs, strict=True)))
        )

    push(None, "")
    while stack:
        name, prefix, mark = stack.pop()
        step = steps[name]
        others = [other for other in needs[name] if other != parent[name]]
        notes = ([f"also after {', '.join(others)}"] if others else []) + marks(step)
        behind = f"  ({'; '.join(notes)})" if notes else ""
        lines.append(f"{prefix}{mark}{name}  {step['kind']}: {summary(step)}{behind}")
        # A plain chain goes on in its column; only branches indent.
        chained = len(children.get(name, [])) == 1 and mark != "├─ "
        deeper = prefix + ("│  " if mark == "├─ " else "   ")
        push(name, prefix if chained else deeper, chained=chained)
    return "\n".join(lines)


def plan_mermaid(plan: Mapping[str, Any]) -> str:
    """Return the graph as a Mermaid flow chart."""
    edges = _edges(plan)
    numbers = {step_id: f"s{index}" for index, (step_id, _) in enumerate(edges)}
    lines = ["flowchart TD"]
    for step in plan["steps"]:
        text = (
            _mermaid_text(f"{step['id']}")
            + "<br/>"
            + _mermaid_text(f"{step['kind']}: {summary(step, 48)}")
        )
        lines.append(f'  {numbers[step["id"]]}["{text}"]:::{step["kind"]}')
    needs = reduced_needs(edges)
    lines += [
        f"  {numbers[name]} --> {numbers[step_id]}"
        for step_id, _ in edges
        for name in needs[step_id]
    ]
    lines += [
        "  classDef build stroke:#2f6fd0,stroke-width:2px",
        "  classDef cmd stroke:#2e8b57,stroke-width:2px",
        "  classDef push stroke:#b8651b,stroke-width:2px",
    ]
    return "\n".join(lines)


def _mermaid_text(text: str) -> str:
    table = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;"}
    return "".join(table.get(character, character) for character in text)
