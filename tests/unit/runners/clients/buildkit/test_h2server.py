"""The session server against another implementation of HTTP/2."""

from __future__ import annotations

import threading

import pytest

from runners.clients.buildkit.h2server import ServerStream
from runners.clients.buildkit.rpc import NOT_FOUND, CallAborted, RpcFailure, frame
from tests.unit.runners.clients.buildkit.peer import Peer

HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"


def echo(stream: ServerStream) -> None:
    while (messages := stream.receive()) is not None:
        for message in messages:
            stream.send(frame(message))


def test_health_is_always_served() -> None:
    with Peer({}) as peer:
        call = peer.unary(HEALTH)
    assert call.messages == [SERVING]
    assert call.status == 0


def test_an_unknown_method_is_unimplemented() -> None:
    with Peer({}) as peer:
        assert peer.unary("/x.Y/Z").status == 12


def test_messages_come_back_whole_and_in_order() -> None:
    sent = [bytes([n]) * size for n, size in enumerate((0, 1, 16379, 16384, 200_000, 5))]
    with Peer({"/e": echo}) as peer:
        number = peer.open("/e")
        peer.send(number, *sent, end=True)
        call = peer.until_end(number)
    assert call.messages == sent
    assert call.status == 0


def test_a_busy_handler_does_not_starve_the_health_check() -> None:
    release = threading.Event()

    def busy(stream: ServerStream) -> None:
        release.wait(10)

    with Peer({f"/busy{n}": busy for n in range(40)}) as peer:
        for n in range(40):
            peer.open(f"/busy{n}")
        assert peer.unary(HEALTH).messages == [SERVING]
        release.set()


def test_a_health_check_survives_a_window_used_up_by_bulk_data() -> None:
    def flood(stream: ServerStream) -> None:
        stream.send(frame(b"x" * 300_000))

    with Peer({"/flood": flood}, acknowledge=False) as peer:
        bulk = peer.open("/flood")
        while len(peer._calls[bulk].data) < 65535:
            peer.step()
        check = peer.open(HEALTH)
        peer.send(check, b"", end=True)
        peer.allow(7)
        assert peer.until_end(check).messages == [SERVING]
        assert peer.server.alive


def test_a_failure_carries_its_status_and_text() -> None:
    def fail(stream: ServerStream) -> None:
        raise RpcFailure(NOT_FOUND, "no größe\nhere 100%")

    with Peer({"/f": fail}) as peer:
        call = peer.unary("/f")
    assert call.status == NOT_FOUND
    assert call.headers["grpc-message"] == "no gr%C3%B6%C3%9Fe%0Ahere 100%25"


def test_a_bug_in_a_handler_reaches_the_daemon_as_text() -> None:
    def fail(stream: ServerStream) -> None:
        raise KeyError("oops")

    with Peer({"/f": fail}) as peer:
        call = peer.unary("/f")
        assert call.status == 2
        assert "oops" in call.headers["grpc-message"]
        assert peer.unary(HEALTH).messages == [SERVING]


def test_headers_may_be_as_long_as_a_dockerignore() -> None:
    seen: list[list[str]] = []

    def look(stream: ServerStream) -> None:
        seen.append(stream.values("exclude-patterns"))

    patterns = tuple(("exclude-patterns", f"some/path/number/{n}/*.log") for n in range(2000))
    with Peer({"/l": look}) as peer:
        assert peer.unary("/l", b"", *patterns).status == 0
    assert len(seen[0]) == 2000


def test_a_reset_wakes_a_waiting_handler() -> None:
    ended = threading.Event()

    def wait(stream: ServerStream) -> None:
        try:
            stream.receive()
        except CallAborted:
            ended.set()
            raise

    with Peer({"/w": wait}) as peer:
        number = peer.open("/w")
        peer.unary(HEALTH)
        peer.reset(number)
        assert ended.wait(10)


def test_what_came_before_a_reset_is_still_read() -> None:
    got: list[bytes] = []
    begin, done = threading.Event(), threading.Event()

    def slow(stream: ServerStream) -> None:
        begin.wait(10)
        got.extend(stream.receive() or [])
        done.set()

    with Peer({"/s": slow}) as peer:
        number = peer.open("/s")
        peer.send(number, b"last words")
        peer.reset(number)
        peer.unary(HEALTH)
        begin.set()
        assert done.wait(10)
    assert got == [b"last words"]


@pytest.mark.parametrize("waiting", ["receive", "send"])
def test_a_lost_connection_wakes_every_handler(waiting: str) -> None:
    entered, ended = threading.Event(), threading.Event()

    def handler(stream: ServerStream) -> None:
        entered.set()
        try:
            if waiting == "receive":
                stream.receive()
            stream.send(b"x" * (1 << 20))
        finally:
            ended.set()

    with Peer({"/h": handler}, acknowledge=False) as peer:
        peer.open("/h")
        assert entered.wait(10)
    assert ended.is_set()
    assert not peer.server.alive
