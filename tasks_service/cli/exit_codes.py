"""Exit codes of the ``tasks`` command: what a script may rely on.

In: an error or a finished run. Out: a number. The table is printed below
every ``--help`` and explained in ``docs/cli.md``.
"""

from __future__ import annotations

from runners.model.errors import RunnerError
from runners.model.status import RunStatus

OK = 0
FAILED = 1
"""A step failed."""
USAGE = 2
"""Usage, or bad input such as a task file that can't be."""
NOT_FOUND = 3
"""A source, ref or file that was named is not there."""
DENIED = 4
"""A registry, a Git server or a policy of ours refused."""
FAULT = 5
"""Our side, or a part that must answer: the engine, the network."""
CANCELED = 6
"""The run was canceled by other means than a signal to this process."""
TIMEOUT = 7
"""The run's time was over."""
INTERRUPTED = 130
"""Ctrl-C, as shells number it (128 + SIGINT)."""
TERMINATED = 143
"""SIGTERM, as shells number it (128 + SIGTERM)."""

EPILOG = (
    "Exit codes: 0 succeeded, 1 a step failed, 2 usage or bad input, 3 not found, "
    "4 denied, 5 our fault or unavailable, 6 canceled, 7 timed out, "
    "130 Ctrl-C, 143 SIGTERM."
)

_BY_CODE = {
    "conflict": USAGE,
    "version_mismatch": USAGE,
    "invalid_input": USAGE,
    "invalid_task_file": USAGE,
    "not_found": NOT_FOUND,
    "denied": DENIED,
    "step_failed": FAILED,
    "step_timed_out": FAILED,
    "canceled": CANCELED,
    "run_timed_out": TIMEOUT,
}
_BY_STATUS = {
    RunStatus.SUCCEEDED: OK,
    RunStatus.FAILED: FAILED,
    RunStatus.CANCELED: CANCELED,
    RunStatus.TIMEOUT: TIMEOUT,
}


def of_error(error: RunnerError) -> int:
    """Return the exit code of an error that ended the command."""
    return _BY_CODE.get(error.code, FAULT)


def of_run(status: RunStatus, error_code: str = "", *, began: bool = True) -> int:
    """Return the exit code of a finished run.

    An Error caused by input or a refusal keeps that cause's code; so does a
    run that failed before its first step (``began`` is False).
    """
    if status is RunStatus.FAILED and not began:
        return _BY_CODE.get(error_code, FAILED)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return _BY_CODE.get(error_code, FAULT)
