"""What happened: results of steps and of the run, as the run record keeps them.

Times are aware UTC datetimes. ``to_json`` forms are the stable public record
(``tasks run -o json``): camelCase keys as in ACR's record (R-01 to R-15),
plus the per-step list that ACR lacks (R-16).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runners.model.status import RunStatus, StepStatus


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A base image a build used and the digest it resolved to."""

    reference: str
    digest: str
    role: str = "runtime"
    """``runtime`` (base of the final stage), ``build`` (of another stage), ``copy``
    (``COPY --from``), ``mount`` (``RUN --mount``), ``onbuild`` (an image it names brings
    it in) or ``frontend`` (``# syntax``); of several the first."""
    pinned: bool = False
    """The Dockerfile holds it at that digest, wherever it is used."""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image a build step made. ``digest`` is the manifest's or index's."""

    references: tuple[str, ...]
    digest: str
    size: int | None = None
    """Bytes as the engine that built it counts them, where known."""


@dataclass(frozen=True, slots=True)
class PushedImage:
    """An image that reached a registry, with the digest the registry holds."""

    reference: str
    digest: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one attempt of a step yields when it succeeds."""

    exit_code: int | None = 0
    images: tuple[BuiltImage, ...] = ()
    pushed: tuple[PushedImage, ...] = ()
    base_images: tuple[BaseImage, ...] = ()


@dataclass(slots=True)
class StepResult:
    """One step's line in the run record."""

    id: str
    kind: str
    status: StepStatus = StepStatus.PENDING
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    error: str = ""
    hint: str = ""
    detail: str = ""
    ignored: bool = False
    """True if the step failed and ``ignoreErrors`` let the run go on."""
    outcome: StepOutcome = field(default_factory=StepOutcome)

    def to_json(self) -> dict[str, Any]:
        """Return the public form."""
        body: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "status": str(self.status),
            "exitCode": self.exit_code,
            "startTime": _time(self.started),
            "finishTime": _time(self.finished),
            "attempts": self.attempts,
        }
        if self.error:
            body["error"] = self.error
        if self.hint:
            body["hint"] = self.hint
        if self.ignored:
            body["errorIgnored"] = True
        return body


@dataclass(frozen=True, slots=True)
class RunnerStart:
    """How a run got its runner: one that waited (``warm``) or one made for it, and how soon."""

    warm: bool
    seconds: float

    @property
    def word(self) -> str:
        """``warm`` or ``cold``."""
        return "warm" if self.warm else "cold"

    def to_json(self) -> dict[str, Any]:
        """Return the public form."""
        return {"start": self.word, "seconds": round(self.seconds, 3)}


@dataclass(slots=True)
class RunResult:
    """The run record.

    ``error_code`` is the stable code of ``runners.model.errors`` that ended
    the run, or empty; ``error`` its sentence.
    """

    id: str
    status: RunStatus = RunStatus.QUEUED
    run_type: str = "QuickRun"
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    source: str = ""
    commit: str = ""
    branch: str = ""
    registry: str = ""
    isolation: str = ""
    """Name of the isolation level the run really had."""
    runner: RunnerStart | None = None
    """How its runner was had; None before that."""
    platform: str = "linux/amd64"
    error: str = ""
    error_code: str = ""
    hint: str = ""
    steps: list[StepResult] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the public form, steps in file order."""
        outcomes = [step.outcome for step in self.steps]
        return {
            "runId": self.id,
            "status": str(self.status),
            "runType": self.run_type,
            "createTime": _time(self.created),
            "startTime": _time(self.started),
            "finishTime": _time(self.finished),
            "source": {"location": self.source, "commit": self.commit, "branch": self.branch},
            "registry": self.registry,
            "platform": self.platform,
            "isolation": self.isolation,
            "runner": None if self.runner is None else self.runner.to_json(),
            "error": {"code": self.error_code, "message": self.error, "hint": self.hint}
            if self.error_code
            else None,
            "steps": [step.to_json() for step in self.steps],
            "images": [
                {"references": list(image.references), "digest": image.digest, "size": image.size}
                for outcome in outcomes
                for image in outcome.images
            ],
            "outputImages": [
                {"reference": image.reference, "digest": image.digest, "size": image.size}
                for outcome in outcomes
                for image in outcome.pushed
            ],
            "baseImages": [
                {
                    "reference": base.reference,
                    "digest": base.digest,
                    "role": base.role,
                    "pinned": base.pinned,
                }
                for base in dict.fromkeys(b for outcome in outcomes for b in outcome.base_images)
            ],
        }


def _time(moment: datetime | None) -> str | None:
    return (
        None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
