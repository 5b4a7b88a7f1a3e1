"""Following a log: every chunk once and in order, over connections that break."""

from __future__ import annotations

import httpx2
import pytest

from runners.model.errors import SystemFault, Unavailable
from tasks_service.client.following import (
    EndEvent,
    Follower,
    LogEvent,
    Reconnecting,
    StatusEvent,
    StreamEvent,
)
from tasks_service.client.transport import Transport
from tasks_service.errors import NotFound
from tests.unit.tasks_service.client.scripted import (
    URL,
    Scripted,
    event,
    events,
    log,
    problem,
    reply,
)

END = event("end", status="Succeeded", logState="complete")


def texts(found: list[StreamEvent]) -> list[str]:
    return [item.text for item in found if isinstance(item, LogEvent)]


def test_events_come_in_order_to_the_end() -> None:
    status = event("status", status="Running", steps=[{"id": "app", "status": "Running"}])
    server = Scripted(events(status, b": ping\n\n", log(1, "a\n"), log(2, "b\n"), END))
    found = list(server.client().follow("r1"))
    assert [type(item) for item in found] == [StatusEvent, LogEvent, LogEvent, EndEvent]
    assert texts(found) == ["a\n", "b\n"]


def test_a_broken_stream_goes_on_after_the_last_chunk() -> None:
    server = Scripted(
        events(log(1, "a\n"), log(2, "b\n"), httpx2.ReadError("cut")),
        httpx2.ConnectError("down"),
        reply(503),
        events(log(2, "b\n"), log(3, "c\n"), END),
    )
    found = list(server.client().follow("r1", tail="5"))
    assert texts(found) == ["a\n", "b\n", "c\n"]
    assert sum(isinstance(item, Reconnecting) for item in found) == 3
    seen = [request.headers.get("last-event-id") for request in server.requests]
    assert seen == [None, "2", "2", "2"]
    assert [r.url.params.get("tail") for r in server.requests] == ["5", None, None, None]


def test_a_stream_that_just_ends_is_taken_up_again() -> None:
    server = Scripted(events(log(1, "a\n")), events(log(2, "b\n"), END))
    assert texts(list(server.client().follow("r1"))) == ["a\n", "b\n"]


def test_an_event_cut_in_its_middle_comes_whole_the_second_time() -> None:
    whole = log(2, "the whole line\n")
    server = Scripted(events(log(1, "a\n"), whole[:-9]), events(whole, END))
    assert texts(list(server.client().follow("r1"))) == ["a\n", "the whole line\n"]


def test_a_refusal_ends_it_at_once() -> None:
    server = Scripted(problem(404, "not_found", "there is no run r1"))
    with pytest.raises(NotFound, match="there is no run r1"):
        list(server.client().follow("r1"))
    assert len(server.requests) == 1


def test_a_server_that_stays_away_is_given_up() -> None:
    clock = iter(range(0, 10_000, 100))
    server = Scripted(httpx2.ConnectError("down"))
    transport = Transport(server.client().server, transport=httpx2.MockTransport(server))
    follower = Follower(transport, "r1", sleep=lambda seconds: None, now=lambda: float(next(clock)))
    with pytest.raises(Unavailable, match="can't be reached"):
        list(follower)
    assert 1 < len(server.requests) < 10


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>", headers={"content-type": "text/html"}),
        events(b"event: log\ndata: nonsense\n\n"),
        events(b"event: log\ndata: [1]\n\n"),
    ],
)
def test_something_that_is_no_log_stream_is_an_error(answer: httpx2.Response) -> None:
    with pytest.raises(SystemFault, match="the server answered"):
        list(Scripted(answer).client().follow("r1"))


def test_an_endless_event_does_not_fill_the_memory() -> None:
    block = b"data: " + b"x" * (1 << 20) + b"\n"
    with pytest.raises(SystemFault):
        list(Scripted(events(*[block] * 64)).client().follow("r1"))


def test_unknown_kinds_of_events_are_passed_over() -> None:
    server = Scripted(events(event("novelty", a=1), END))
    assert [type(item) for item in server.client().follow("r1")] == [EndEvent]
    assert str(server.requests[0].url) == f"{URL}/api/v1/runs/r1/logs/stream"
