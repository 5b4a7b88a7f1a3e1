"""What would follow if an image moved: who, who not, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks_service.cascades.answers import impact, left_out
from tasks_service.cascades.graph import Graph
from tasks_service.model.cascade import Edge, Output
from tasks_service.runs.bases import delays
from tasks_service.triggers.policies import Policies, Policy

BASE, LIB, APP, TOP = (f"registry.example/{name}:1" for name in ("base", "lib", "app", "top"))
GRAPH = Graph(
    (
        Edge("lib", BASE, digest="sha256:1"),
        Edge("app", LIB, digest="sha256:1"),
        Edge("top", APP, digest="sha256:1"),
        Edge("still", f"{BASE}@sha256:77"),
        Edge("stray", "registry.example/other:1"),
    ),
    (
        Output("lib", LIB, "sha256:1"),
        Output("app", APP, "sha256:1"),
        Output("top", TOP, "sha256:1"),
    ),
)


def held(objections: dict[tuple[str, str], str]) -> dict[str, str]:
    def why_not(task: str, reference: str) -> str:
        return objections.get((task, reference), "")

    plan = impact(GRAPH, BASE, triggers=lambda task, name: not why_not(task, name))
    found = dict(left_out(GRAPH, BASE, plan, why_not=why_not))
    assert not found.keys() & {member.task for member in plan.members}
    assert found.keys() | {member.task for member in plan.members} == {"lib", "app", "top", "still"}
    return found


def test_who_is_held_at_a_digest_is_told() -> None:
    assert held({}) == {"still": f"its Dockerfile holds {BASE} at sha256:77"}


def test_who_does_not_want_it_is_told_and_who_stands_on_that() -> None:
    found = held({("app", LIB): "the task is disabled"})
    assert found["app"] == "the task is disabled"
    assert found["top"] == "what it stands on would not be rebuilt"
    assert set(held({("lib", BASE): "no"})) == {"lib", "app", "top", "still"}


def test_what_must_wait_is_told_with_its_reason() -> None:
    closed = datetime.now(UTC) + timedelta(days=3)
    window = f"{closed:%a} 03:00-04:00"
    night = Policy("night", ("*/lib:1",), windows=(window,))
    slow = Policy("slow", (BASE,), soak_s=86_400.0)
    plan = impact(GRAPH, BASE)
    found = delays(GRAPH, BASE, plan.members, Policies((slow, night)))
    assert found.keys() == {BASE, "app"}
    assert found[BASE] == "a new digest soaks 24 h by policy slow"
    assert found["app"] == f"not before {closed:%Y-%m-%d} 03:00 UTC by policy night"
    assert delays(GRAPH, BASE, plan.members, Policies()) == {}
