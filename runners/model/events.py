"""What the engine tells while it walks a plan. Consumers: live view, recorder.

Events of one step arrive in order; events of different steps interleave. A
sink is called from many threads and must not block for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runners.model.record import StepResult


@dataclass(frozen=True, slots=True)
class Notice:
    """Our own words about the run (not a step's output)."""

    time: datetime
    text: str
    level: str = "info"
    """``info``, ``warning`` or ``error``."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step began its attempt number ``attempt`` (from 1)."""

    time: datetime
    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StepLog:
    """Whole lines of a step's output, masked, newline included.

    A line longer than the cap comes in parts; the last line of a stream may
    lack its newline.
    """

    time: datetime
    step_id: str
    stream: str
    """``stdout`` or ``stderr``."""
    data: bytes


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """State of one BuildKit vertex, complete each time (replace, do not add)."""

    time: datetime
    step_id: str
    vertex: str
    name: str
    state: str
    """``running``, ``done``, ``cached`` or ``error``."""
    current: int = 0
    total: int = 0
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step reached its final status; ``result`` is what the record keeps."""

    time: datetime
    result: StepResult


Event = Notice | StepStarted | StepLog | BuildProgress | StepFinished


class EventSink(Protocol):
    """Where events go."""

    def __call__(self, event: Event, /) -> None:
        """Take one event. Thread-safe; must not raise."""
        ...
