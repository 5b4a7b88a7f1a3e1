"""The StepKind protocol: one module of this folder per kind of step.

To add a kind, write ``runners/steps/<kind>.py`` with a module-level object
that satisfies StepKind and add its line to ``KINDS``. Nothing else names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runners.model.cancellation import Cancellation
from runners.model.plan import PlannedStep
from runners.model.record import StepOutcome
from runners.sandbox import Output, Sandbox


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """One thing wrong with a step's text.

    ``token`` is the word at fault as it stands in the text, so that a linter
    can point at it; ``suggestion`` a near miss, or empty.
    """

    code: str
    message: str
    token: str = ""
    suggestion: str = ""
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A spec (None if it cannot be) and every problem found, warnings too."""

    spec: Any
    problems: tuple[SpecProblem, ...] = ()


class StepKind(Protocol):
    """One kind of step. Stateless; every method is thread-safe."""

    @property
    def key(self) -> str:
        """The YAML key that selects the kind."""
        ...

    @property
    def properties(self) -> frozenset[str]:
        """Step properties that mean something to this kind, as YAML keys.

        Others are warned about, never an error (the original ignores them).
        """
        ...

    @property
    def value_schema(self) -> Mapping[str, Any]:
        """JSON Schema (2020-12) of the key's value."""
        ...

    def parse(self, value: Any) -> Parsed:
        """Make the frozen spec of the key's value: pure, total, never raises.

        ``value`` is what YAML gave (a string, or a list of strings), after
        templates and aliases.
        """
        ...

    def prepare(self, step: PlannedStep, sandbox: Sandbox) -> None:
        """Be told that the step will likely start soon, once a running one succeeds.

        A hint: returns at once, never raises, and may be followed by nothing.
        """
        ...

    def execute(
        self, step: PlannedStep, sandbox: Sandbox, output: Output, cancel: Cancellation
    ) -> StepOutcome:
        """Do one attempt of the step.

        Returns:
            The outcome; ``exit_code`` may be non-zero (then the step failed).

        Raises:
            RunnerError: see Sandbox.
        """
        ...
