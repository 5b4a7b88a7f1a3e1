"""Notifications of every kind of registry, right, odd and hostile."""

from __future__ import annotations

from typing import Any

import pytest

from tasks_service.runs.bases import Restarts, hints_of

D = "sha256:" + "d" * 64
TARGET = {"repository": "team/base", "tag": "1", "digest": D}

BODIES: dict[str, tuple[Any, dict[str, str]]] = {
    "Distribution": (
        {"events": [{"action": "push", "target": TARGET}, {"action": "pull", "target": TARGET}]},
        {"team/base:1": D},
    ),
    "Azure": ({"action": "push", "target": TARGET}, {"team/base:1": D}),
    "Harbor": (
        {
            "type": "PUSH_ARTIFACT",
            "event_data": {
                "repository": {"repo_full_name": "team/base"},
                "resources": [{"tag": "1", "digest": D}, {"tag": D, "digest": D}],
            },
        },
        {"team/base:1": D},
    ),
    "Harbor, CloudEvents": (
        {
            "type": "harbor.artifact.pushed",
            "data": {
                "repository": {"repo_full_name": "team/base"},
                "resources": [{"tag": "1", "digest": D}],
            },
        },
        {"team/base:1": D},
    ),
    "GitHub": (
        {
            "package": {
                "namespace": "Team",
                "name": "base",
                "package_version": {"container_metadata": {"tag": {"name": "1", "digest": D}}},
            }
        },
        {"team/base:1": D},
    ),
    "Docker Hub": (
        {"push_data": {"tag": "1"}, "repository": {"repo_name": "team/base"}},
        {"team/base:1": ""},
    ),
    "Quay": (
        {"docker_url": "quay.example/team/base", "updated_tags": ["1", "2"]},
        {"team/base:1": "", "team/base:2": ""},
    ),
    "ECR": (
        {
            "detail-type": "ECR Image Action",
            "detail": {
                "action-type": "PUSH",
                "result": "SUCCESS",
                "repository-name": "team/base",
                "image-tag": "1",
                "image-digest": D,
            },
        },
        {"team/base:1": D},
    ),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_push_is_read_whoever_tells_it(kind: str) -> None:
    body, expected = BODIES[kind]
    assert hints_of(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "push",
        7,
        {},
        {"events": None},
        {"events": [None, 3, {"action": "push"}, {"action": "push", "target": []}]},
        {"action": "push", "target": {"repository": 3, "tag": ["1"], "digest": None}},
        {"action": "push", "target": {"repository": "team/base", "digest": D}},
        {"action": "delete", "target": TARGET},
        {"action": "push", "target": TARGET | {"repository": "x" * 500}},
        {"updated_tags": [1, None], "docker_url": 5},
        {"push_data": {"tag": "1"}, "repository": "team/base"},
        {"detail-type": "ECR Image Action", "detail": {"action-type": "DELETE"}},
        {"type": "PUSH_ARTIFACT", "event_data": {"resources": {"tag": "1"}}},
    ],
)
def test_what_is_no_push_of_a_tag_is_no_error(body: object) -> None:
    assert hints_of(body) == {}


def test_one_notification_names_a_bounded_number_of_references() -> None:
    body = {"events": [{"action": "push", "target": TARGET | {"tag": str(n)}} for n in range(9999)]}
    assert len(hints_of(body)) == 500


def test_a_new_process_of_a_registry_is_noticed_once_and_not_more_often_than_a_minute() -> None:
    now = [0.0]
    restarts = Restarts(lambda: now[0])

    def told(*names: str) -> bool:
        return restarts.seen({"events": [{"source": {"instanceID": name}} for name in names]})

    assert told("a")
    assert not told("a")
    assert not told("b")
    now[0] = 61
    assert not told("a")
    assert told("b", "c")
    now[0] = 200
    assert not any(map(told, ("a", "b", "c")))


@pytest.mark.parametrize("body", [None, [], "x", {"events": 1}, {"events": [1, {"source": 2}]}])
def test_what_names_no_process_is_no_new_one(body: Any) -> None:
    assert not Restarts().seen(body)
