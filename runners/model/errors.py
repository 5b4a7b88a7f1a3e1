"""The runner's error tree, split by who must act.

    RunnerError
     ├── InvalidInput      the user: text, reference or option that cannot be
     ├── Denied            the user: a policy or a registry refused
     ├── StepFailed        the user: the step ran and exited badly
     │    └── StepTimedOut  the user: the step's clock ran out
     ├── Canceled          a person asked for it
     ├── RunTimedOut       the user: the run's clock ran out
     └── SystemFault       us: retryable, the run ends as Error
          ├── Unavailable   a part that must answer does not (engine, registry)
          └── RunnerLost    the runner died under a running step

Every error has a stable ``code`` (used in JSON, exit codes and events) and up
to four parts a person needs: what happened, where, why, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class RunnerError(Exception):
    """Base of all errors this package raises on purpose.

    Args:
        message: One sentence: what happened and why.
        hint: What to do about it, or an empty string.
        detail: Text shown below the message as it is (an excerpt of a
            Dockerfile, the last lines of output).
    """

    code: ClassVar[str] = "runner_error"

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class InvalidInput(RunnerError):
    """A text, reference or option that cannot be."""

    code = "invalid_input"


class Denied(RunnerError):
    """A policy of ours or a registry refused."""

    code = "denied"


class StepFailed(RunnerError):
    """The step ran and ended badly.

    ``exit_code`` is the container's, or None where no process exited (a build
    that could not resolve its base image, a refused push).
    """

    code = "step_failed"

    def __init__(
        self, message: str, *, exit_code: int | None = None, hint: str = "", detail: str = ""
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.exit_code = exit_code


class StepTimedOut(StepFailed):
    """The step's clock, over all its repeats and retries, ran out (Y-202)."""

    code = "step_timed_out"


class Canceled(RunnerError):
    """A person, or the failure of another step, ended this work."""

    code = "canceled"


class RunTimedOut(RunnerError):
    """The clock of the whole run ran out (L-01, L-03)."""

    code = "run_timed_out"


class SystemFault(RunnerError):
    """Our side broke; the same run may succeed when tried again."""

    code = "system_fault"


class Unavailable(SystemFault):
    """A part that must answer does not: the engine, the registry."""

    code = "unavailable"


class RunnerLost(SystemFault):
    """The runner, or the engine inside it, died under a running step."""

    code = "runner_lost"
