"""The ``push`` step: a list of references in, digests in registries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from runners.model.image import ImageRef
from runners.model.plan import PlannedStep
from runners.model.record import StepOutcome
from runners.push.pusher import push_all
from runners.sandbox import Output, Sandbox
from runners.steps.base import Parsed, SpecProblem


@dataclass(frozen=True, slots=True)
class PushSpec:
    """What to push: complete references, in order, each once (Y-061)."""

    references: tuple[str, ...]


class PushKind:
    """See StepKind."""

    key = "push"
    properties = frozenset({"id", "when", "timeout", "startDelay", "ignoreErrors", "env"})
    value_schema: Mapping[str, Any] = {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
    }

    def parse(self, value: Any) -> Parsed:
        """See StepKind. ``:latest`` is added where there is neither tag nor digest."""
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple):
            return Parsed(None, (SpecProblem("bad-type", "push takes a list of images"),))
        references: list[str] = []
        problems: list[SpecProblem] = []
        for text in texts:
            try:
                reference = ImageRef.parse(str(text).strip())
            except InvalidInput as error:
                hint = f"; {error.hint}" if error.hint else ""
                problems.append(
                    SpecProblem("bad-image-reference", f"{error.message}{hint}", str(text))
                )
                continue
            if reference.digest:
                problems.append(_with_digest(str(text)))
            else:
                references.append(str(reference.with_default_tag()))
        if not texts:
            problems.append(SpecProblem("empty-step", "push names no image"))
        errors = any(problem.severity == "error" for problem in problems)
        spec = None if errors else PushSpec(tuple(dict.fromkeys(references)))
        return Parsed(spec, tuple(problems))

    def prepare(self, step: PlannedStep, sandbox: Sandbox) -> None:
        """See StepKind. There is nothing to get ready."""

    def execute(
        self, step: PlannedStep, sandbox: Sandbox, output: Output, cancel: Cancellation
    ) -> StepOutcome:
        """Push the images one after another (Y-061, Y-090)."""
        spec: PushSpec = step.spec
        return StepOutcome(None, pushed=push_all(spec.references, sandbox, output, cancel))


def _with_digest(text: str) -> SpecProblem:
    return SpecProblem(
        "bad-image-reference",
        f"cannot push {text!r}: an image is pushed to a tag; its digest follows from its content",
        text,
        text.partition("@")[0],
    )


KIND = PushKind()
