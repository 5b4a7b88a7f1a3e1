"""A run of a server in the values that the views and the summary know.

In: the API's JSON, of any age and completeness. Out: RunResult, PlannedStep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runners.model.plan import PlannedStep
from runners.model.record import PushedImage, RunnerStart, RunResult, StepOutcome, StepResult
from runners.model.status import StepStatus
from tasks_service.client.answers import RunAnswer, read_steps, read_time

JSON = Mapping[str, Any]


def result_of(run: RunAnswer) -> RunResult:
    """Return the run's record; all pushed images stand with its last step."""
    body = run.body
    source = _object(body.get("source"))
    error = _object(body.get("error"))
    result = RunResult(
        run.id,
        status=run.status,
        run_type=_text(body.get("runType")),
        created=read_time(body.get("createTime")),
        started=read_time(body.get("startTime")),
        finished=read_time(body.get("finishTime")),
        source=_text(source.get("location") or body.get("source")),
        commit=_text(source.get("commit") or body.get("commit")),
        branch=_text(source.get("branch") or body.get("branch")),
        registry=_text(body.get("registry")),
        isolation=_text(body.get("isolation")),
        runner=_runner(_object(body.get("runner"))),
        platform=_text(body.get("platform")),
        error=_text(error.get("message")),
        error_code=_text(error.get("code")),
        hint=_text(error.get("hint")),
        steps=[step_of(step) for step in read_steps(body)],
    )
    pushed = _pushed(body.get("outputImages"))
    if pushed and result.steps:
        # The record tells the run's images, not which step pushed which.
        result.steps[-1].outcome = StepOutcome(pushed=pushed)
    return result


def _runner(body: JSON) -> RunnerStart | None:
    seconds = body.get("seconds")
    if not isinstance(seconds, int | float):
        return None
    return RunnerStart(body.get("start") == "warm", float(seconds))


def step_of(body: JSON) -> StepResult:
    """Return one step's result."""
    code, attempts = body.get("exitCode"), body.get("attempts")
    return StepResult(
        _text(body.get("id")),
        _text(body.get("kind")),
        status=_status(body.get("status")),
        exit_code=code if isinstance(code, int) else None,
        started=read_time(body.get("startTime")),
        finished=read_time(body.get("finishTime")),
        attempts=attempts if isinstance(attempts, int) else 0,
        error=_text(body.get("error")),
        hint=_text(body.get("hint")),
        ignored=body.get("errorIgnored") is True,
    )


def planned_step(body: JSON, known: frozenset[str]) -> PlannedStep:
    """Return one step as the graph of the live view takes it.

    ``known`` are the ids of all steps: others are no edge.
    """
    needs = body.get("needs")
    found = [need for need in needs if need in known] if isinstance(needs, list) else []
    return PlannedStep(
        _text(body.get("id")),
        _text(body.get("kind")),
        None,
        needs=tuple(found),
        detach=body.get("detach") is True,
    )


def _status(value: object) -> StepStatus:
    try:
        return StepStatus(_text(value))
    except ValueError:
        return StepStatus.PENDING


def _pushed(value: object) -> tuple[PushedImage, ...]:
    images = (
        [image for image in value if isinstance(image, dict)] if isinstance(value, list) else []
    )
    return tuple(
        PushedImage(_text(image.get("reference")), _text(image.get("digest"))) for image in images
    )


def _object(value: object) -> JSON:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
