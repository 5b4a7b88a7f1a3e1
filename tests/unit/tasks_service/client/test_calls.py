"""Calls of the REST client: what is sent again and what is not, and what refusals mean."""

from __future__ import annotations

import io
import json

import httpx2
import pytest

from runners.model.errors import Denied, InvalidInput, RunnerError, SystemFault, Unavailable
from runners.model.status import RunStatus
from tasks_service.cli import exit_codes
from tasks_service.client.answers import StrangeAnswer
from tasks_service.errors import Busy, Conflict, NotFound, VersionMismatch
from tests.unit.tasks_service.client.scripted import Scripted, problem, reply

RUN = {"id": "abc1", "status": "Queued"}


def test_the_token_goes_in_a_header_and_nowhere_else() -> None:
    server = Scripted(reply(200, RUN))
    server.client("tsk_a_hidden").run("abc1")
    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer tsk_a_hidden"
    assert "hidden" not in str(request.url)
    assert "hidden" not in repr(server.client("tsk_a_hidden").server)


def test_a_read_is_tried_again_until_the_server_is_back() -> None:
    server = Scripted(httpx2.ReadError("gone"), reply(503), reply(429), reply(200, RUN))
    assert server.client().run("abc1").status is RunStatus.QUEUED
    assert server.methods == ["GET"] * 4
    assert len(server.pauses) == 3


def test_a_read_is_given_up_after_five_attempts() -> None:
    server = Scripted(httpx2.ReadError("gone"))
    with pytest.raises(Unavailable, match="broke the connection"):
        server.client().run("abc1")
    assert len(server.requests) == 5


def test_a_busy_server_that_wants_a_long_pause_is_not_waited_for() -> None:
    server = Scripted(reply(429, {"code": "busy", "detail": "too much waits"}, retry_after="120"))
    with pytest.raises(Busy) as caught:
        server.client().start_run({})
    assert caught.value.retry_after_s == 120
    assert server.pauses == []


def test_a_start_repeats_its_idempotency_key() -> None:
    server = Scripted(httpx2.ReadTimeout("late"), reply(202, RUN))
    server.client().start_run({"command": "x"})
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(server.requests) == 2
    assert len(keys) == 1


def test_a_conditional_write_is_not_repeated_once_it_may_have_arrived() -> None:
    server = Scripted(httpx2.ReadError("gone"))
    with pytest.raises(Unavailable):
        server.client().put_task("a", {}, match='"3"')
    assert len(server.requests) == 1


def test_any_write_is_repeated_while_there_is_no_connection() -> None:
    server = Scripted(httpx2.ConnectError("refused"), reply(200, {"name": "a"}))
    server.client().patch_task("a", {"timeout": 5})
    assert server.methods == ["PATCH", "PATCH"]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (problem(400, "invalid_input", "bad"), InvalidInput, exit_codes.USAGE),
        (problem(422, "invalid_task_file", "bad"), InvalidInput, exit_codes.USAGE),
        (problem(401, "denied", "who?"), Denied, exit_codes.DENIED),
        (reply(401), Denied, exit_codes.DENIED),
        (problem(403, "denied", "no"), Denied, exit_codes.DENIED),
        (problem(404, "not_found", "no such task"), NotFound, exit_codes.NOT_FOUND),
        (problem(409, "conflict", "there already"), Conflict, exit_codes.USAGE),
        (problem(412, "version_mismatch", "changed"), VersionMismatch, exit_codes.USAGE),
        (problem(413, "invalid_input", "too large"), InvalidInput, exit_codes.USAGE),
        (problem(500, "system_fault", "oops"), SystemFault, exit_codes.FAULT),
        (reply(302, None, location="https://elsewhere/"), Denied, exit_codes.DENIED),
        (reply(200, [1]), StrangeAnswer, exit_codes.FAULT),
        (reply(200, {"id": "a", "status": "Odd"}), StrangeAnswer, exit_codes.FAULT),
        (httpx2.Response(200, text="<html>"), StrangeAnswer, exit_codes.FAULT),
    ],
)
def test_refusals_become_errors_with_their_exit_code(
    answer: httpx2.Response, kind: type[RunnerError], code: int
) -> None:
    with pytest.raises(kind) as caught:
        Scripted(answer).client().run("abc1")
    assert exit_codes.of_error(caught.value) == code


def test_a_problem_names_fields_and_lines() -> None:
    errors = [
        {"pointer": "#/timeout", "detail": "must be positive"},
        {"pointer": "", "detail": "no such step", "line": 4, "column": 7},
    ]
    server = Scripted(problem(422, "invalid_input", "2 problems", hint="fix it", errors=errors))
    with pytest.raises(InvalidInput) as caught:
        server.client().start_run({})
    assert caught.value.detail == "timeout: must be positive\nline 4:7: no such step"
    assert caught.value.hint == "fix it"


def test_a_server_fault_names_the_request_for_its_log() -> None:
    server = Scripted(problem(500, "system_fault", "oops", requestId="r-1"))
    with pytest.raises(SystemFault) as caught:
        server.client().run("a")
    assert "request r-1" in caught.value.detail


def test_lists_go_on_from_page_to_page_and_stop_at_the_limit() -> None:
    first = reply(200, {"items": [{"id": str(n)} for n in range(100)], "cursor": "c1"})
    second = reply(200, {"items": [{"id": str(n)} for n in range(100, 130)], "cursor": "c2"})
    server = Scripted(first, second)
    found = list(server.client().runs({"task": "a"}, limit=130))
    assert [run["id"] for run in found] == [str(n) for n in range(130)]
    assert [r.url.params.get("cursor") for r in server.requests] == [None, "c1"]
    assert [r.url.params["limit"] for r in server.requests] == ["100", "30"]


def test_a_server_that_repeats_its_cursor_ends_the_list() -> None:
    server = Scripted(reply(200, {"items": [{"id": "a"}], "cursor": "same"}))
    assert len(list(server.client().runs({}, limit=1000))) == 2


def test_names_cannot_leave_their_place_in_the_path() -> None:
    server = Scripted(reply(200, {"name": "x"}))
    for name in ("../tokens", "..", "a/b?c#d"):
        server.client().task(name)
    paths = [request.url.raw_path.decode() for request in server.requests]
    assert paths == [
        "/api/v1/tasks/..%2Ftokens",
        "/api/v1/tasks/%2E%2E",
        "/api/v1/tasks/a%2Fb%3Fc%23d",
    ]


def test_an_upload_is_sent_again_from_its_start() -> None:
    bodies: list[bytes] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.content)
        return reply(503) if len(bodies) == 1 else reply(201)

    server = Scripted(take)
    told: list[int] = []
    data = b"x" * 600_000
    server.client().upload("00" * 32, io.BytesIO(data), len(data), told.append)
    assert bodies == [data, data]
    assert told[-1] == len(data)
    assert server.requests[0].headers["content-length"] == str(len(data))


def test_an_upload_is_looked_for_first() -> None:
    assert Scripted(reply(200)).client().has_upload("ab")
    assert not Scripted(reply(404)).client().has_upload("ab")


def test_a_deletion_is_not_repeated_once_it_may_have_arrived() -> None:
    server = Scripted(httpx2.ReadError("gone"))
    with pytest.raises(Unavailable):
        server.client().delete_task("a")
    assert len(server.requests) == 1


def test_bodies_are_json() -> None:
    server = Scripted(reply(202, RUN))
    server.client().start_task("app", {"values": [{"name": "a", "value": "b"}]})
    request = server.requests[0]
    assert request.url.path == "/api/v1/tasks/app/runs"
    assert json.loads(request.content) == {"values": [{"name": "a", "value": "b"}]}
