"""One step from its start delay to its final status: clock, rounds, attempts.

A PlannedStep in, a filled StepResult out, StepStarted events on the way.
Called by engine/walk.py, in the thread of the step.

The rules (acr-tasks Y-202 to Y-208, Y-227):

- the clock starts after ``startDelay`` and covers everything that follows;
- ``repeat: n`` makes n+1 rounds and all of them run; the step fails if one did;
- a round is one attempt and up to ``retries`` more after a failure, and with
  ``retryOnErrors`` only if that attempt printed one of the texts;
- an attempt succeeds when its exit code is 0; where ``exitedWith`` is given,
  when the code is in it; where ``exitedWithout`` is given, when it is not in it.
"""

from __future__ import annotations

import logging

from runners.engine.causes import explained
from runners.engine.output import StepOutput
from runners.engine.redact import Redactor
from runners.model.cancellation import Cancellation
from runners.model.clock import Clock
from runners.model.errors import (
    Canceled,
    Denied,
    InvalidInput,
    RunnerError,
    RunTimedOut,
    StepFailed,
    StepTimedOut,
    SystemFault,
    Unavailable,
)
from runners.model.events import EventSink, StepStarted
from runners.model.plan import PlannedStep
from runners.model.record import StepOutcome, StepResult
from runners.model.status import StepStatus
from runners.sandbox import Sandbox
from runners.steps.base import StepKind

log = logging.getLogger(__name__)


class StepExecution:
    """Executes one step once."""

    def __init__(
        self,
        step: PlannedStep,
        kind: StepKind,
        result: StepResult,
        *,
        sandbox: Sandbox,
        sink: EventSink,
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._step = step
        self._kind = kind
        self._result = result
        self._sandbox = sandbox
        self._sink = sink
        self._redactor = redactor
        self._clock = clock
        self._output = StepOutput(step.id, sink, redactor, clock, step.retry_on_errors)
        self._again = "retries" in kind.properties

    def run(self, cancel: Cancellation) -> RunnerError | None:
        """Execute; fill the result; return the error that fails the run, or None.

        Never raises. All output has reached the sink when it returns.
        """
        result = self._result
        result.started = self._clock.now()
        result.status = StepStatus.RUNNING
        token = Cancellation(cancel)
        error: RunnerError | None = None
        try:
            self._attempt_all(token)
        except RunnerError as raised:
            # Work that ends because it was told to does not tell its own story.
            error = token.reason if token.cancelled else self._explained(raised)
        except Exception as raised:
            log.exception("step %s", self._step.id)
            error = SystemFault(
                f"internal error in step '{self._step.id}': {type(raised).__name__}: {raised}",
                hint="this is a fault of tasks itself; please report it with the task file",
            )
        finally:
            token.close()
            self._output.flush()
        result.finished = self._clock.now()
        return self._settle(error)

    def _attempt_all(self, token: Cancellation) -> None:
        step = self._step
        if step.start_delay_s and self._clock.wait(step.start_delay_s, token):
            raise token.reason
        expired = StepTimedOut(
            f"step '{step.id}' timed out after {step.timeout_s} s",
            hint="raise the step's 'timeout' (or the task's 'stepTimeout') if it needs longer",
        )
        stop_clock = self._clock.call_after(step.timeout_s, lambda: token.cancel(expired))
        try:
            self._rounds(token)
        finally:
            stop_clock()

    def _rounds(self, token: Cancellation) -> None:
        failures: list[RunnerError] = []
        for _ in range(self._step.repeat + 1 if self._again else 1):
            try:
                self._result.outcome = self._round(token)
            except (StepFailed, Unavailable) as error:
                if token.cancelled:
                    raise
                failures.append(error)
        if not failures:
            return
        if self._step.repeat == 0 or len(failures) == 1:
            raise failures[0]
        texts = "; ".join(dict.fromkeys(failure.message for failure in failures))
        raise StepFailed(
            f"{len(failures)} of {self._step.repeat + 1} rounds failed: {texts}",
            exit_code=next(
                (f.exit_code for f in failures if isinstance(f, StepFailed) and f.exit_code), None
            ),
            hint=failures[0].hint,
            detail=failures[0].detail,
        )

    def _round(self, token: Cancellation) -> StepOutcome:
        step = self._step
        left = step.retries if self._again else 0
        while True:
            try:
                return self._attempt(token)
            except (StepFailed, Unavailable):
                seen = self._output.flush()
                if token.cancelled or not left or (step.retry_on_errors and not seen):
                    raise
            left -= 1
            if self._clock.wait(step.retry_delay_s, token):
                raise token.reason

    def _attempt(self, token: Cancellation) -> StepOutcome:
        token.check()
        result = self._result
        result.attempts += 1
        self._output.last = b""
        self._sink(StepStarted(self._clock.now(), self._step.id, result.attempts))
        outcome = self._kind.execute(self._step, self._sandbox, self._output, token)
        result.exit_code = outcome.exit_code
        if not succeeded(self._step, outcome.exit_code):
            raise StepFailed(
                f"step '{self._step.id}' exited with code {outcome.exit_code}",
                exit_code=outcome.exit_code,
            )
        return outcome

    def _explained(self, error: RunnerError) -> RunnerError:
        return explained(error, self._step.id, self._output.last, self._sandbox)

    def _settle(self, error: RunnerError | None) -> RunnerError | None:
        result = self._result
        if error is None:
            result.status = StepStatus.SUCCEEDED
            return None
        if isinstance(error, StepFailed) and error.exit_code is not None:
            result.exit_code = error.exit_code
        result.error = self._redactor.text(error.message)
        result.hint = self._redactor.text(error.hint)
        result.detail = self._redactor.text(error.detail)
        if self._step.ignore_errors and isinstance(
            error, StepFailed | InvalidInput | Denied | Unavailable
        ):
            # Y-208: marked successful; the record keeps what was ignored.
            result.status = StepStatus.SUCCEEDED
            result.ignored = True
            return None
        result.status = status_of(error)
        return error


def succeeded(step: PlannedStep, exit_code: int | None) -> bool:
    """Tell whether that exit code means success for the step (Y-227)."""
    if exit_code is None or not (step.exited_with or step.exited_without):
        return not exit_code
    return (not step.exited_with or exit_code in step.exited_with) and (
        exit_code not in step.exited_without
    )


def status_of(error: RunnerError) -> StepStatus:
    """Return the status of a step that ended with ``error``."""
    if isinstance(error, StepTimedOut | RunTimedOut):
        return StepStatus.TIMEOUT
    if isinstance(error, StepsStopped):
        return StepStatus.STOPPED
    if isinstance(error, Canceled):
        return StepStatus.CANCELED
    return StepStatus.ERROR if isinstance(error, SystemFault) else StepStatus.FAILED


class StepsStopped(Canceled):
    """Another step failed; this one was stopped for it."""

    code = "stopped"
