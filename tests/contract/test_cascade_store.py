"""Base images in every database: edges by runs, digests by compare and set, waves once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.errors import NotFound
from tasks_service.model.cascade import Edge, Member, MemberStatus, Output, Watch, WaveStatus
from tasks_service.model.run import NewRun, RunEnd, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.store import Store
from tests.contract.stores import KINDS, opened

BASE = "registry.example/base:1"
APP = "registry.example/app:1"


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as found:
        yield found


def run(
    store: Store,
    name: str,
    bases: Sequence[tuple[str, str, str]],
    *,
    task: str = "app",
    pushed: Sequence[tuple[str, str]] = ((APP, "sha256:a1"),),
    status: RunStatus = RunStatus.SUCCEEDED,
) -> None:
    """Accept, claim and end one run of a task."""
    store.runs.accept(NewRun(RunRequest(command="x"), task=task), run_id=name)
    claim = store.leases.claim("default", owner="w", lease_s=60)
    assert claim is not None
    record = {
        "baseImages": [
            {"reference": r, "role": role.strip("!"), "digest": d, "pinned": role.endswith("!")}
            for r, role, d in bases
        ],
        "outputImages": [{"reference": r, "digest": d, "size": 1} for r, d in pushed],
    }
    store.leases.finish(name, claim.fence, RunEnd(status, record))


def watch(store: Store, reference: str = BASE) -> Watch:
    return next(w for w in store.cascades.watches() if w.reference == reference)


def test_a_good_run_replaces_the_edges_of_its_task_and_a_failed_one_does_not(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1"), ("alpine", "copy", "sha256:c1")])
    expected = Edge("app", "docker.io/library/alpine:latest", "copy", "sha256:c1", "r1")
    assert expected in store.cascades.graph()[0]
    run(store, "r2", [(BASE, "runtime", "sha256:b2")])
    run(store, "r3", [("other:1", "runtime", "sha256:d1")], status=RunStatus.FAILED)
    edges, outputs = store.cascades.graph()
    assert edges == (Edge("app", BASE, "runtime", "sha256:b2", "r2"),)
    assert outputs == (Output("app", APP, "sha256:a1", "r2"),)
    assert [found.reference for found in store.cascades.watches()] == [BASE]


def test_what_is_pinned_stands_on_a_digest_and_is_not_watched(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime!", "sha256:" + "b" * 64), ("alpine", "copy", "sha256:c1")])
    references = {edge.reference for edge in store.cascades.graph()[0]}
    assert f"{BASE}@sha256:{'b' * 64}" in references
    assert [w.reference for w in store.cascades.watches()] == ["docker.io/library/alpine:latest"]


def test_an_engine_that_tells_no_digest_has_used_what_the_registry_has(store: Store) -> None:
    def digests() -> list[str]:
        return [edge.digest for edge in store.cascades.graph()[0]]

    run(store, "r1", [(BASE, "copy", "")])
    assert not store.cascades.checked(watch(store), "sha256:b1", via="poll", next_s=60)
    assert digests() == ["sha256:b1"]
    assert store.cascades.checked(watch(store), "sha256:b2", via="poll", next_s=60)
    assert digests() == ["sha256:b1"]
    run(store, "r2", [(BASE, "copy", "")])
    assert digests() == ["sha256:b2"]


def test_tasks_wish_for_all_for_some_or_for_no_images(store: Store) -> None:
    request = RunRequest(command="x")
    for definition in (
        TaskDefinition("all", request),
        TaskDefinition("runtime", request, base_image_trigger="Runtime"),
        TaskDefinition("none", request, base_image_trigger="None"),
        TaskDefinition("off", request, status="Disabled"),
    ):
        store.tasks.create(definition, RunSecrets())
    assert store.cascades.wishes() == {
        "all": "All", "runtime": "Runtime", "none": "None", "off": "None",
    }  # fmt: skip


def test_quick_runs_and_runs_without_images_leave_edges_alone(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    run(store, "r2", [("other:1", "runtime", "sha256:d1")], task="")
    run(store, "r3", [], pushed=[])
    assert [edge.run_id for edge in store.cascades.graph()[0]] == ["r1"]


def test_a_deleted_task_stands_on_nothing_and_nothing_is_watched_for_it(store: Store) -> None:
    definition = TaskDefinition("app", RunRequest(command="x"))
    store.tasks.create(definition, RunSecrets())
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    store.tasks.delete("app")
    assert store.cascades.graph() == ((), ())
    assert store.cascades.watches() == ()


def test_the_first_digest_is_a_change_only_if_a_task_was_built_with_another(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    assert not store.cascades.checked(watch(store), "sha256:b1", via="poll", next_s=60)
    assert store.cascades.unplanned()[0] == ()
    run(store, "r2", [("other:1", "runtime", "sha256:o1")], task="two", pushed=[])
    other = watch(store, "docker.io/library/other:1")
    assert store.cascades.checked(other, "sha256:o2", via="poll", next_s=60)
    (change,) = store.cascades.unplanned()[0]
    assert (change.old, change.new, change.via) == ("sha256:o1", "sha256:o2", "poll")


def test_a_change_seen_by_many_is_written_once(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    store.cascades.checked(watch(store), "sha256:b1", via="poll", next_s=60)
    seen = watch(store)
    said = [
        store.cascades.checked(seen, "sha256:b2", via="notification", next_s=60) for _ in range(3)
    ]
    assert said == [True, False, False]
    assert len(store.cascades.changes_of(BASE)) == 1
    assert watch(store).digest == "sha256:b2"


def test_a_notification_makes_a_reference_due_whatever_its_host_is_called(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    store.cascades.checked(watch(store), "sha256:b1", via="poll", next_s=600)
    assert store.cascades.due(limit=9) == ()
    assert store.cascades.hint({"base:1": "sha256:b1", "unknown:1": "sha256:u"}) == 0
    assert store.cascades.hint({"base:1": "sha256:b2"}) == 1
    (due,) = store.cascades.due(limit=9)
    assert due.hinted == "sha256:b2"
    store.cascades.checked(due, "sha256:b1", via="notification", next_s=0, tries=1)
    assert (watch(store).hinted, watch(store).hint_tries) == ("sha256:b2", 1)
    store.cascades.checked(watch(store), "sha256:b2", via="notification", next_s=600)
    assert (watch(store).hinted, watch(store).due > due.due) == ("", True)


def test_a_registry_that_does_not_answer_changes_nothing_that_is_known(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    store.cascades.checked(watch(store), "sha256:b1", via="poll", next_s=0)
    store.cascades.failed_check(watch(store), "no route", next_s=600)
    found = watch(store)
    assert (found.digest, found.failures, found.error) == ("sha256:b1", 1, "no route")
    store.cascades.sweep()
    assert len(store.cascades.due(limit=9)) == 1


def opened_wave(store: Store) -> int:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    store.cascades.checked(watch(store), "sha256:b2", via="poll", next_s=60)
    (change,) = store.cascades.unplanned()[0]
    members = [Member("lib", 1), Member("app", 2, ("lib",))]
    number = store.cascades.open_wave([change.number], members, {"x": ("x", "y", "x")})
    assert number is not None
    assert store.cascades.open_wave([change.number], members, {}) is None
    return number


def test_a_wave_is_opened_once_and_read_back(store: Store) -> None:
    number = opened_wave(store)
    wave = store.cascades.wave(number)
    assert [change.wave for change in wave.changes] == [number]
    assert wave.members == (Member("lib", 1), Member("app", 2, ("lib",)))
    assert wave.refused == {"x": ("x", "y", "x")}
    assert store.cascades.open_waves() == store.cascades.waves() == (wave,)
    assert store.cascades.last_of("app") == wave
    assert store.cascades.last_of("nothing") is None
    with pytest.raises(NotFound):
        store.cascades.wave(number + 1)


def test_a_member_is_moved_on_by_one_and_only_from_where_it_is(store: Store) -> None:
    number = opened_wave(store)
    waiting, running = MemberStatus.WAITING, MemberStatus.RUNNING
    moved = [
        store.cascades.move(number, "lib", waiting, running, run_id="r9", reason="moved")
        for _ in range(2)
    ]
    assert moved == [True, False]
    (lib, _) = store.cascades.wave(number).members
    assert lib == replace(Member("lib", 1), status=running, run_id="r9", reason="moved")


def test_a_canceled_wave_starts_nothing_more_and_stays_canceled(store: Store) -> None:
    number = opened_wave(store)
    store.cascades.move(number, "lib", MemberStatus.WAITING, MemberStatus.RUNNING)
    open_ = (WaveStatus.RUNNING, WaveStatus.PAUSED)
    assert store.cascades.set_status(number, open_, WaveStatus.CANCELED)
    assert not store.cascades.set_status(number, open_, WaveStatus.RUNNING)
    wave = store.cascades.wave(number)
    assert [member.status for member in wave.members] == ["Running", "Canceled"]
    assert wave.finished is not None


def test_the_same_image_under_another_digest_is_no_change_for_whoever_has_it(store: Store) -> None:
    run(store, "r1", [(BASE, "runtime", "sha256:b1")])
    run(store, "r2", [(BASE, "runtime", "sha256:b0")], task="old", pushed=[])
    store.cascades.checked(watch(store), "sha256:b1", via="poll", next_s=60)
    before = len(store.cascades.unplanned()[0])
    told = store.cascades.checked(watch(store), "sha256:b2", via="poll", next_s=60, equal=True)
    assert not told
    assert len(store.cascades.unplanned()[0]) == before
    assert watch(store).digest == "sha256:b2"
    digests = {edge.task: edge.digest for edge in store.cascades.graph()[0]}
    assert digests == {"app": "sha256:b2", "old": "sha256:b0"}
    assert store.cascades.changes_of(BASE)[0].wave == -1
    assert store.cascades.checked(watch(store), "sha256:b3", via="poll", next_s=60)
