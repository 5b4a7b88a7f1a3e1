"""Put a tag back to what an earlier run pushed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from tasks_service.api.caller import Runner
from tasks_service.api.models.base import Text, View, Wire, rfc3339
from tasks_service.api.parts import Wired
from tasks_service.runs.rollback import Rollbacks

router = APIRouter(prefix="/api/v1", tags=["images"])


class RollbackInput(Wire):
    """Which tag; ``to`` is a digest that a run pushed, or its first digits.

    Without ``to`` it is what the tag meant before the run that moved it last.
    """

    image: Annotated[Text, Field(min_length=1, max_length=512)]
    to: Annotated[Text, Field(max_length=80)] | None = None
    dry_run: bool = False


class RollbackView(View):
    """What the tag meant (``old``, empty if it was gone) and means, or would mean, now."""

    image: str
    old: str
    new: str
    run: str
    task: str
    push_time: str
    changed: bool
    dry_run: bool


@router.post("/rollbacks")
def roll_back(body: RollbackInput, caller: Runner, parts: Wired) -> RollbackView:
    """Have a tag mean again what an earlier run pushed; nothing is built.

    Refused is what no known run pushed, and what the registry does not hold
    any more. With ``dryRun`` it is only told what would be done.
    """
    rollbacks = Rollbacks(parts.store, parts.settings, caller.sees)
    try:
        plan = rollbacks.plan(body.image, body.to or "")
        changes = plan.changes and not body.dry_run
        if changes:
            rollbacks.do(plan)
    finally:
        rollbacks.close()
    target = plan.target
    if changes:
        caller.audit(
            parts.store, "image.rollback", plan.reference,
            old=plan.old, new=target.digest, run=target.run_id,
        )  # fmt: skip
    return RollbackView(
        image=plan.reference,
        old=plan.old,
        new=target.digest,
        run=target.run_id,
        task=target.task,
        push_time=rfc3339(target.time),
        changed=plan.changes,
        dry_run=body.dry_run,
    )
