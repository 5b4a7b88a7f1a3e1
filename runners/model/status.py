"""Public statuses of runs and steps, in the words of ACR (R-02, W-12)."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Life of a run. Failed is the user's step; Error is our system."""

    QUEUED = "Queued"
    STARTED = "Started"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"
    CANCELED = "Canceled"
    TIMEOUT = "Timeout"

    @property
    def finished(self) -> bool:
        """True for the five statuses that never change again."""
        return self not in _UNFINISHED


_UNFINISHED = frozenset({RunStatus.QUEUED, RunStatus.STARTED, RunStatus.RUNNING})


class StepStatus(StrEnum):
    """Life of a step. Skipped never started; Stopped was ended by another's end."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMEOUT = "Timeout"
    CANCELED = "Canceled"
    STOPPED = "Stopped"
    SKIPPED = "Skipped"
    ERROR = "Error"

    @property
    def finished(self) -> bool:
        """True once the status never changes again."""
        return self not in (StepStatus.PENDING, StepStatus.RUNNING)
