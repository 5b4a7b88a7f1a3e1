"""The graph: which step waits for which, and the mistakes one can make there.

In: the steps in file order. Out: each step's id and needs (W-01 to W-14).
Called by compile.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks_service.plans.model import StepItem
from tasks_service.plans.scalars import is_null
from tasks_service.plans.source import Reporter, shown
from tasks_service.plans.yaml_nodes import SCALAR, Node

IMMEDIATELY = "-"
"""In ``when``: start at once (W-03)."""

RESERVED_ID = "acb_root"
"""What comes before the first step: no step can have it, any can wait for it."""


def step_ids(steps: Sequence[StepItem], reporter: Reporter) -> list[str]:
    """Return every step's id, generated where absent; report duplicates (Y-200)."""
    ids: list[str] = []
    first: dict[str, StepItem] = {}
    for step in steps:
        step_id = step.id or f"acb_step_{step.index}"
        ids.append(step_id)
        if step_id in first:
            other = first[step_id]
            line, _ = reporter.position(other.nodes.get("id", other.node).start)
            generated = "" if step.id else f" (the id of step number {step.index + 1} without one)"
            node = step.nodes.get("id", step.node)
            width = node.end - node.start if step.id else 1
            reporter.report(
                "TF601",
                f"the id '{shown(step_id)}'{generated} is taken by the step on line {line}",
                node.start,
                width=max(1, width),
            )
        else:
            first[step_id] = step
    return ids


def step_needs(
    steps: Sequence[StepItem], ids: Sequence[str], reporter: Reporter
) -> list[tuple[str, ...]]:
    """Return the ids each step waits for; only ever ids of earlier steps."""
    needs: list[tuple[str, ...]] = []
    known: dict[str, int] = {}
    places: dict[str, StepItem] = {}
    for step, step_id in zip(steps, ids, strict=True):
        places.setdefault(step_id, step)
    for index, step in enumerate(steps):
        if not step.when:
            needs.append((ids[index - 1],) if index else ())
        else:
            needs.append(_named(step, ids[index], known, places, reporter))
        known.setdefault(ids[index], index)
    return needs


def _named(
    step: StepItem,
    own: str,
    known: dict[str, int],
    places: dict[str, StepItem],
    reporter: Reporter,
) -> tuple[str, ...]:
    nodes = _when_nodes(step)
    immediately = IMMEDIATELY in step.when
    if immediately and set(step.when) != {IMMEDIATELY}:
        node = nodes[step.when.index(IMMEDIATELY)]
        _report(reporter, "TF602", "'-' can't stand with other ids in when", node)
    needs: dict[str, None] = {}
    for name, node in zip(step.when, nodes, strict=True):
        if name == IMMEDIATELY:
            if node is not nodes[step.when.index(IMMEDIATELY)]:
                _report(reporter, "TF603", "'-' is in when twice; once is enough", node)
            continue
        if name == RESERVED_ID:
            continue
        if name in needs:
            _report(reporter, "TF603", f"'{shown(name)}' is in when twice; once is enough", node)
        elif name == own:
            _report(reporter, "TF604", f"the step '{shown(own)}' waits for itself", node)
        elif name in known:
            needs[name] = None
        elif name in places:
            line, _ = reporter.position(places[name].node.start)
            _report(
                reporter,
                "TF605",
                f"'{shown(name)}' comes later (line {line}); when may only name earlier steps",
                node,
                f"move the step '{shown(name)}' above this one",
            )
        else:
            _report(
                reporter,
                "TF606",
                f"there is no step '{shown(name)}' above this one",
                node,
                reporter.did_you_mean(name, known),
            )
    return () if immediately else tuple(needs)


def _when_nodes(step: StepItem) -> list[Node]:
    node = step.nodes["when"]
    return [n for n in node.value if n.kind == SCALAR and not is_null(n)]


def _report(reporter: Reporter, code: str, message: str, node: Node, suggestion: str = "") -> None:
    reporter.report(
        code, message, node.start, width=max(1, node.end - node.start), suggestion=suggestion
    )
