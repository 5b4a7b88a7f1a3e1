"""Why a step ended badly, where more is known than what it ended with.

An error of a step, the end of its output and the sandbox's own knowledge in,
the error that people get out. Called by engine/attempts.py.
"""

from __future__ import annotations

from runners.model.errors import (
    RunnerError,
    RunnerLost,
    StepFailed,
    StepTimedOut,
    SystemFault,
)
from runners.sandbox import Sandbox

KILLED = 128 + 9
_MORE = "give the run more by --memory, --pids or --disk, or let its steps use less"
# What the C library, shells and the tools of images print, in lower case.
_SIGNS = (
    ((b"no space left on device",), "the run's disk was full: give it more by --disk"),
    (
        (b"can't fork", b"cannot fork", b"fork: retry", b"pthread_create", b"newosproc"),
        "no further process could be started: give the run more by --pids",
    ),
    ((b"cannot allocate memory", b"out of memory"), "give the run more memory by --memory"),
)


def explained(
    error: RunnerError, step_id: str, last_output: bytes, sandbox: Sandbox
) -> RunnerError:
    """Return ``error``, or one of its class that tells more.

    ``last_output`` is the end of what the step wrote. Errors that already
    have a hint keep it.
    """
    if isinstance(error, RunnerLost):
        return _lost(error, step_id, sandbox.explain())
    if isinstance(error, SystemFault) and (hint := _sign(error.message.encode())):
        # What the engine itself could not do for want of it is the run's doing.
        return StepFailed(error.message, hint=hint, detail=error.detail)
    if not isinstance(error, StepFailed) or isinstance(error, StepTimedOut) or error.hint:
        return error
    limits = sandbox.explain()
    hint = _hint(error, last_output) or (_MORE if limits else "")
    if not hint:
        return error
    message = f"{error.message.rstrip('.')}; {limits}" if limits else error.message
    return StepFailed(message, exit_code=error.exit_code, hint=hint, detail=error.detail)


def _sign(said: bytes) -> str:
    said = said.lower()
    return next((hint for signs, hint in _SIGNS if any(sign in said for sign in signs)), "")


def _hint(error: StepFailed, last_output: bytes) -> str:
    if hint := _sign(last_output):
        return hint
    if error.exit_code == KILLED:
        return "137 means it was killed, mostly for want of memory: give the run more by --memory"
    return ""


def _lost(error: RunnerLost, step_id: str, limits: str) -> RunnerLost:
    because = f"; {limits}" if limits else ""
    return RunnerLost(
        f"the run's engine died while step '{step_id}' ran{because}",
        hint=error.hint or f"run it again; if that ends the same way, {_MORE}",
        detail=error.detail or error.message,
    )
