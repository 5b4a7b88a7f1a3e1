"""How many runners should wait: bursts raise it, time lowers it, bounds hold."""

from __future__ import annotations

from tasks_service.execution.demand import BURST_S, RECENT_S, Demand


def test_the_least_waits_where_nothing_happens() -> None:
    assert Demand(1, 4).wanted(0) == 1
    assert Demand(3, 2).wanted(0) == 2


def test_a_burst_raises_it_up_to_what_can_run_at_once() -> None:
    demand = Demand(1, 4)
    for moment in (100.0, 101.0, 102.0):
        demand.note(moment)
    assert demand.wanted(102.0) == 3
    for moment in (103.0, 104.0, 104.5):
        demand.note(moment)
    assert demand.wanted(105.0) == 4


def test_runs_far_apart_need_one_each() -> None:
    demand = Demand(1, 4)
    for number in range(10):
        demand.note(number * (BURST_S + 1))
    assert demand.wanted(10 * (BURST_S + 1)) == 1


def test_a_burst_is_forgotten() -> None:
    demand = Demand(1, 4)
    for _ in range(4):
        demand.note(50.0)
    assert demand.wanted(50.0 + RECENT_S) == 4
    assert demand.wanted(51.0 + RECENT_S) == 1
