"""Walk a plan: each step starts the moment the last of its needs succeeded.

A Plan and a live Sandbox in; events while it runs and a filled RunResult at
the end. Called by whoever opened the sandbox, who also closes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from runners.engine.attempts import StepExecution, StepsStopped
from runners.engine.redact import MIN_LENGTH, Redactor
from runners.model.cancellation import Cancellation
from runners.model.clock import SYSTEM_CLOCK, Clock
from runners.model.errors import (
    Canceled,
    Denied,
    InvalidInput,
    RunnerError,
    RunTimedOut,
    StepFailed,
    SystemFault,
)
from runners.model.events import EventSink, Notice, StepFinished
from runners.model.plan import Plan, PlannedStep
from runners.model.record import RunResult, StepResult
from runners.model.status import RunStatus, StepStatus
from runners.sandbox import Sandbox
from runners.steps import KINDS
from runners.steps.base import StepKind

log = logging.getLogger(__name__)


def execute_plan(
    plan: Plan,
    sandbox: Sandbox,
    *,
    result: RunResult,
    sink: EventSink,
    cancel: Cancellation,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
    kinds: Mapping[str, StepKind] = KINDS,
) -> RunResult:
    """Execute ``plan`` in ``sandbox`` and return ``result``, filled and finished.

    A step starts as soon as all it needs succeeded (or failed with
    ``ignoreErrors``); nothing limits how many run at once. The first failure
    ends the run: no step starts any more, running ones are stopped and wait
    for, and every step of the plan is in the record with its state.

    Statuses: Failed is a user's step (or input), Timeout the run's
    ``timeout_s``, Canceled a request through ``cancel``, Error ours.

    The caller closes the sandbox, whatever the status. Containers of
    detached steps run until then.

    Returns:
        ``result``: ``status``, times, ``steps`` and the error are set, the
        rest is left as it was. Never raises for anything the run does.
    """
    result.status = RunStatus.RUNNING
    result.started = result.started or clock.now()
    result.isolation = sandbox.isolation
    result.steps = [StepResult(step.id, step.kind) for step in plan.steps]
    redactor = Redactor((*plan.secrets.values(), *plan.mask))
    if redactor.too_short:
        text = f"{redactor.too_short} secret(s) shorter than {MIN_LENGTH} characters are not masked"
        sink(Notice(clock.now(), text, "warning"))
    token = Cancellation(cancel)
    stop_clock = _run_clock(timeout_s, token, clock)
    error: RunnerError | None = None
    try:
        _create_shared(plan, sandbox, token)
        error = _Walk(plan, sandbox, result, sink, token, redactor, clock, kinds).run()
    except RunnerError as raised:
        error = raised
    except Exception as raised:
        log.exception("run %s", result.id)
        error = SystemFault(f"internal error: {type(raised).__name__}: {raised}")
    finally:
        stop_clock()
        token.close()
    _finish(result, error, redactor, sink, clock)
    return result


def _run_clock(timeout_s: float | None, token: Cancellation, clock: Clock) -> Callable[[], None]:
    if timeout_s is None:
        return lambda: None
    expired = RunTimedOut(
        f"the run timed out after {timeout_s:g} s",
        hint="raise the run's timeout (--timeout) if it needs longer",
    )
    return clock.call_after(timeout_s, lambda: token.cancel(expired))


def _create_shared(plan: Plan, sandbox: Sandbox, token: Cancellation) -> None:
    for network in plan.networks:
        token.check()
        if not network.skip_creation:
            sandbox.create_network(network)
    for volume in plan.volumes:
        token.check()
        sandbox.create_volume(volume)
    token.check()


class _Walk:
    """State of one walk; all of it is guarded by ``_changed``."""

    def __init__(
        self,
        plan: Plan,
        sandbox: Sandbox,
        result: RunResult,
        sink: EventSink,
        token: Cancellation,
        redactor: Redactor,
        clock: Clock,
        kinds: Mapping[str, StepKind],
    ) -> None:
        self._plan = plan
        self._sandbox = sandbox
        self._sink = sink
        self._token = token
        self._redactor = redactor
        self._clock = clock
        self._kinds = kinds
        self._results = {
            step.id: step_result for step, step_result in zip(plan.steps, result.steps, strict=True)
        }
        self._changed = threading.Condition()
        self._active = 0
        self._running: set[str] = set()
        self._error: RunnerError | None = None
        self._waiting = {step.id: set(step.needs) for step in plan.steps}
        self._followers: dict[str, list[PlannedStep]] = {step.id: [] for step in plan.steps}
        for step in plan.steps:
            for need in set(step.needs):
                self._followers[need].append(step)

    def run(self) -> RunnerError | None:
        """Walk to the end and return the error of the run, if any."""
        with self._changed:
            self._spawn([step for step in self._plan.steps if not step.needs])
            # Without a time limit a signal handler could not run in between.
            while self._active:
                self._changed.wait(3600)
        if self._error is None and self._token.cancelled:
            return self._token.reason
        return self._error

    def _spawn(self, steps: list[PlannedStep]) -> None:
        self._active += len(steps)
        for step in steps:
            threading.Thread(
                target=self._work, args=(step,), name=f"step-{step.id}", daemon=True
            ).start()

    def _work(self, step: PlannedStep | None) -> None:
        # A chain of steps stays in one thread; only branches get new ones.
        while step is not None:
            if not self._token.cancelled:
                for follower in self._starting(step):
                    self._kinds[follower.kind].prepare(follower, self._sandbox)
                error = self._execute(step)
                self._sink(StepFinished(self._clock.now(), self._results[step.id]))
                step = self._after(step, error)
            else:
                step = self._after(step, self._token.reason)

    def _execute(self, step: PlannedStep) -> RunnerError | None:
        return StepExecution(
            step,
            self._kinds[step.kind],
            self._results[step.id],
            sandbox=self._sandbox,
            sink=self._sink,
            redactor=self._redactor,
            clock=self._clock,
        ).run(self._token)

    def _starting(self, step: PlannedStep) -> list[PlannedStep]:
        """Note that ``step`` starts; return the steps that now wait for running ones only."""
        with self._changed:
            self._running.add(step.id)
            return [
                follower
                for follower in self._followers[step.id]
                if self._waiting[follower.id] <= self._running
            ]

    def _after(self, step: PlannedStep, error: RunnerError | None) -> PlannedStep | None:
        """Take note of the end of ``step``; return what this thread does next."""
        stop = False
        following: PlannedStep | None = None
        with self._changed:
            if error is not None:
                stop = self._error is None
                self._error = self._error or error
            else:
                ready = self._now_ready(step)
                if not self._token.cancelled and ready:
                    following = ready[0]
                    self._spawn(ready[1:])
        if stop:
            # Outside the lock: it runs callbacks of whoever blocks.
            self._token.cancel(StepsStopped(f"stopped because step '{step.id}' failed"))
        if following is None:
            with self._changed:
                self._active -= 1
                if not self._active:
                    self._changed.notify_all()
        return following

    def _now_ready(self, step: PlannedStep) -> list[PlannedStep]:
        ready = []
        for follower in self._followers[step.id]:
            waiting = self._waiting[follower.id]
            waiting.discard(step.id)
            if not waiting:
                ready.append(follower)
        return ready


def _finish(
    result: RunResult,
    error: RunnerError | None,
    redactor: Redactor,
    sink: EventSink,
    clock: Clock,
) -> None:
    for step in result.steps:
        if not step.status.finished:
            step.status = StepStatus.SKIPPED
            if error is not None:
                sink(StepFinished(clock.now(), step))
    result.finished = clock.now()
    if error is None:
        result.status = RunStatus.SUCCEEDED
        return
    result.status = run_status_of(error)
    result.error = redactor.text(error.message)
    result.error_code = error.code
    result.hint = redactor.text(error.hint)


def run_status_of(error: RunnerError) -> RunStatus:
    """Return the status of a run that ended with ``error``."""
    if isinstance(error, RunTimedOut):
        return RunStatus.TIMEOUT
    if isinstance(error, Canceled):
        return RunStatus.CANCELED
    if isinstance(error, StepFailed | InvalidInput | Denied):
        return RunStatus.FAILED
    return RunStatus.ERROR
