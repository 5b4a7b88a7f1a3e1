"""Base images: what stands on what, what moved, and the waves that follow.

A *reference* here is always the full name with its tag, as
``ImageRef.canonical`` writes it. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Edge:
    """A task's images stand on a reference.

    Attributes:
        reference: With the digest too where the Dockerfile holds it at one;
            such an edge never moves.
        role: As the run's record tells it (``runners.model.record.BaseImage``).
        digest: What the reference was when the task's last good run used it;
            empty where the engine could not tell.
        run_id: That run.
    """

    task: str
    reference: str
    role: str = "runtime"
    digest: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What a task's last good run pushed."""

    task: str
    reference: str
    digest: str
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """A reference that is looked after, because some task stands on it.

    Attributes:
        digest: What its registry says it is; empty until it was asked.
        via: How that was learned: ``poll``, ``notification`` or ``run``.
        checked: When its registry answered last; None is never.
        due: When it is asked next.
        failures: Checks in a row that failed; ``error`` says how the last did.
        hinted: Digest a notification told, until it is confirmed or given up.
        hint_tries: Checks since that notification.
    """

    reference: str
    digest: str = ""
    via: str = ""
    checked: float | None = None
    changed: float | None = None
    due: float = 0.0
    failures: int = 0
    error: str = ""
    hinted: str = ""
    hint_tries: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A reference got another digest. ``wave`` is 0 until it was planned."""

    number: int
    reference: str
    old: str
    new: str
    seen: float
    via: str
    wave: int = 0


class WaveStatus(StrEnum):
    """Where a wave stands."""

    RUNNING = "Running"
    PAUSED = "Paused"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def finished(self) -> bool:
        """Whether nothing of it will happen any more."""
        return self not in (WaveStatus.RUNNING, WaveStatus.PAUSED)


class MemberStatus(StrEnum):
    """Where a task of a wave stands."""

    WAITING = "Waiting"
    RUNNING = "Running"
    BUILT = "Built"
    UNCHANGED = "Unchanged"
    """All it stands on is what it was built with: no run is needed."""
    FAILED = "Failed"
    BLOCKED = "Blocked"
    """Something it stands on could not be built."""
    CANCELED = "Canceled"
    RESTORED = "Restored"
    """Its tags mean again what an earlier run pushed that stood on the same: no run is needed."""
    SUPERSEDED = "Superseded"
    """Something it stands on moved again before it began: the next wave builds it."""

    @property
    def finished(self) -> bool:
        """Whether it never changes again."""
        return self not in (MemberStatus.WAITING, MemberStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Member:
    """A task of a wave.

    Attributes:
        position: Its place in the order, from 1.
        parents: Tasks of the wave whose images it stands on.
        reason: Why it stands where it does, for people.
    """

    task: str
    position: int
    parents: tuple[str, ...] = ()
    status: MemberStatus = MemberStatus.WAITING
    run_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Wave:
    """Rebuilds that follow from changes, each task once, parents first.

    Attributes:
        refused: Tasks that stand on each other in a circle → the path of it.
        pins: What the references from outside were when it was opened: all its runs
            are built with that.
        reason: Why it stopped by itself, or empty.
        resumed: Whether a person let it go on: it stops by itself no more.
    """

    number: int
    status: WaveStatus
    created: float
    finished: float | None
    changes: tuple[Change, ...]
    members: tuple[Member, ...]
    refused: Mapping[str, tuple[str, ...]]
    reason: str = ""
    resumed: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Past:
    """What waves did with a task lately.

    Attributes:
        status: Of the newest wave it is a member of.
        ended_s: How long ago that wave ended; None while it is open.
        tries: Waves it was a member of in the time asked for.
    """

    status: WaveStatus
    ended_s: float | None
    tries: int
