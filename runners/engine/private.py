"""Plans of people who may not publish: no push and no cache leaves the run.

In: a plan. Out: the same without what would write to a registry, and what was
left out. The sandbox of such a run refuses it too; this is what lets the rest
of the plan succeed.
"""

from __future__ import annotations

from dataclasses import replace

from runners.model.plan import Plan, PlannedStep
from runners.steps import build, push
from runners.steps.build_text import BuildSpec


def keep_private(plan: Plan) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan without pushes and cache exports, and a text for each.

    What needed a step that is gone needs what that one needed.
    """
    gone = {step.id: step.needs for step in plan.steps if step.kind == push.KIND.key}
    told = [f"step '{name}' is left out: nothing is pushed" for name in gone]
    kept = []
    for step in plan.steps:
        if step.id in gone:
            continue
        private = _private(step)
        if private is not step:
            told.append(f"step '{step.id}' stores nothing in a registry")
        kept.append(replace(private, needs=_needs(step.needs, gone)))
    return replace(plan, steps=tuple(kept)), tuple(told)


def _private(step: PlannedStep) -> PlannedStep:
    spec = step.spec
    if step.kind != build.KIND.key or not isinstance(spec, BuildSpec):
        return step
    if not spec.push and not spec.cache_to:
        return step
    return replace(step, spec=replace(spec, push=False, cache_to=()))


def _needs(needs: tuple[str, ...], gone: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in needs:
        found.update(dict.fromkeys(_needs(gone[name], gone)) if name in gone else {name: None})
    return tuple(found)
