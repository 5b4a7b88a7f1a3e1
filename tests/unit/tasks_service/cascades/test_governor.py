"""Few of a large wave are tried first, and none more once too many failed."""

from __future__ import annotations

import pytest

from tasks_service.cascades.governor import allowance
from tasks_service.model.cascade import Member, MemberStatus


def members(count: int, *, built: int = 0, failed: int = 0, running: int = 0) -> list[Member]:
    statuses = [MemberStatus.BUILT] * built + [MemberStatus.FAILED] * failed
    statuses += [MemberStatus.RUNNING] * running
    statuses += [MemberStatus.WAITING] * (count - len(statuses))
    return [Member(f"t{n}", n, status=status) for n, status in enumerate(statuses, 1)]


@pytest.mark.parametrize(
    ("count", "counts", "starts"),
    [
        (10_000, {}, 100),
        (10_000, {"running": 100}, 0),
        (10_000, {"built": 99, "running": 1}, 0),
        (10_000, {"built": 100}, 900),
        (10_000, {"built": 95, "failed": 5}, 900),
        (10_000, {"built": 1000}, 10_000),
        (100, {}, 3),
        (100, {"built": 3}, 7),
        (3, {}, 3),
    ],
)
def test_cohorts_grow_as_runs_end_well(count: int, counts: dict[str, int], starts: int) -> None:
    assert allowance(members(count, **counts)).starts == starts
    assert not allowance(members(count, **counts)).tripped


@pytest.mark.parametrize(
    ("count", "counts"),
    [
        (10_000, {"built": 25, "failed": 11}),
        (10_000, {"built": 800, "failed": 101}),
        (100, {"failed": 1}),
    ],
)
def test_too_many_failures_stop_all(count: int, counts: dict[str, int]) -> None:
    found = allowance(members(count, **counts))
    assert found.starts == 0
    assert f"{counts['failed']} of" in found.tripped


def test_shares_and_the_bound_can_be_others() -> None:
    assert allowance(members(100, failed=20), (0.5,), 0.4).starts == 30
    assert allowance(members(100), ()).starts == 100
