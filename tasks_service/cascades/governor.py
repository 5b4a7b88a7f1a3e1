"""How many of a wave may be started: few at first, and none once too many failed. Pure.

A base image that breaks what stands on it shows that on the first of a
thousand images; the others are not to learn it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tasks_service.model.cascade import Member, MemberStatus

COHORTS = (0.01, 0.1)
"""Shares of a wave that are tried before the rest."""
BREAKER = 0.1
"""Share of failures among them that stops the wave."""
SMALLEST = 30
"""Waves of fewer tasks are not divided, unless a policy says so."""
_LEAST = 3


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be started now; ``tripped`` says why nothing may be any more."""

    starts: int
    tripped: str = ""


_GOOD = (MemberStatus.BUILT, MemberStatus.RESTORED)


def allowance(
    members: Collection[Member], cohorts: Sequence[float] = COHORTS, breaker: float = BREAKER
) -> Allowance:
    """Return how many more runs of a wave may be started now.

    Args:
        members: All of the wave.
        cohorts: Shares of the wave, rising; each is at least three tasks.
        breaker: Largest share of failures that is taken.
    """
    count = len(members)
    failed = sum(m.status is MemberStatus.FAILED for m in members)
    ended = failed + sum(m.status in _GOOD for m in members)
    running = sum(m.status is MemberStatus.RUNNING for m in members)
    caps = [cap for share in cohorts if (cap := max(_LEAST, math.ceil(share * count))) < count]
    for cap in caps:
        if failed > breaker * max(cap, ended):
            return Allowance(0, f"{failed} of {ended} runs failed, so the others are held")
        if ended < cap:
            return Allowance(max(0, cap - ended - running))
    return Allowance(count)
