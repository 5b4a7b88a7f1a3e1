"""The engine at the other end may be anybody: what it answers is bounded (A9)."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from runners.clients import docker_sdk
from runners.clients.docker_images import json_messages
from runners.clients.docker_run import copy_frames
from runners.clients.docker_sdk import EngineClient, EngineError, connect
from runners.clients.docker_transport import Hijacked
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerLost, Unavailable
from tests.contract.commands import Recorder

PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"
Answer = Callable[[socket.socket], None]


class Engine:
    """Answers each connection's requests in turn, over socket pairs."""

    def __init__(self, *answers: bytes | Answer) -> None:
        self._answers = list(answers)
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.requests: list[bytes] = []

    def dial(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._ends.append(theirs)
        thread = threading.Thread(target=self._serve, args=(theirs,))
        self._threads.append(thread)
        thread.start()
        return ours

    def _serve(self, end: socket.socket) -> None:
        with suppress(OSError):
            while True:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = end.recv(65536)
                    if not data:
                        return
                    request += data
                self.requests.append(request)
                answer = self._answers.pop(0) if self._answers else None
                if isinstance(answer, bytes):
                    end.sendall(answer)
                elif answer is not None:
                    answer(end)
                else:
                    return

    def close(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in self._ends:
            end.close()


@pytest.fixture
def engine() -> Iterator[Callable[..., EngineClient]]:
    made: list[Engine] = []
    clients: list[EngineClient] = []

    def start(*answers: bytes | Answer) -> EngineClient:
        made.append(Engine(PING, *answers))
        clients.append(connect(made[-1].dial))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for one in made:
        one.close()


def json_answer(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def test_the_version_is_agreed_once(engine: Callable[..., EngineClient]) -> None:
    client = engine(json_answer(b'{"a":1}'))
    assert client.call("GET", "/x", "asking") == {"a": 1}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nApi-Version: nonsense\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nApi-Version: 1.12\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_what_is_no_engine_or_too_old_is_unavailable(answer: bytes) -> None:
    engine = Engine(answer)
    try:
        with pytest.raises(Unavailable):
            connect(engine.dial)
    finally:
        engine.close()


def test_a_dialer_that_fails_is_an_unavailable_engine() -> None:
    def dial() -> socket.socket:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(Unavailable, match="nobody there"):
        connect(dial)


def test_the_engines_own_words_and_status_come_with_an_error(
    engine: Callable[..., EngineClient],
) -> None:
    client = engine(json_answer(b'{"message":"port is already allocated"}', "500 Oh"))
    with pytest.raises(EngineError) as caught:
        client.call("POST", "/x", "starting")
    assert (caught.value.status, caught.value.reason) == (500, "port is already allocated")


@pytest.mark.parametrize("body", [b"not json", b"{" * 100])
def test_nonsense_is_a_lost_runner(engine: Callable[..., EngineClient], body: bytes) -> None:
    with pytest.raises(RunnerLost):
        engine(json_answer(body)).call("GET", "/x", "asking")


def test_an_endless_reply_is_cut(
    engine: Callable[..., EngineClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_sdk, "MAX_REPLY", 1 << 20)

    def endless(end: socket.socket) -> None:
        end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            end.sendall(b" " * 65536)

    with pytest.raises(RunnerLost, match="too long"):
        engine(endless).call("GET", "/x", "asking")


def test_a_slow_reply_is_cut(engine: Callable[..., EngineClient]) -> None:
    release = threading.Event()

    def silent(end: socket.socket) -> None:
        release.wait(30)

    client = engine(silent)
    try:
        with pytest.raises(RunnerLost, match="in time"):
            client.call("GET", "/x", "asking", timeout_s=0.05)
    finally:
        release.set()


def test_a_broken_connection_is_a_lost_runner(engine: Callable[..., EngineClient]) -> None:
    def hang_up(end: socket.socket) -> None:
        end.shutdown(socket.SHUT_RDWR)

    with pytest.raises(RunnerLost):
        engine(hang_up).call("POST", "/x", "starting")


def test_a_cancel_wakes_a_call_and_gives_its_reason(engine: Callable[..., EngineClient]) -> None:
    asked, cancel, reason = threading.Event(), Cancellation(), Canceled("enough")

    def silent(end: socket.socket) -> None:
        asked.set()
        end.recv(1)

    client = engine(silent)

    def cancel_once_asked() -> None:
        asked.wait(10)
        cancel.cancel(reason)

    thread = threading.Thread(target=cancel_once_asked)
    thread.start()
    with pytest.raises(Canceled) as caught, client.cancellable(cancel):
        client.call("POST", "/x", "waiting", timeout_s=None)
    thread.join(10)
    assert caught.value is reason


def test_a_call_cancelled_before_sends_nothing(engine: Callable[..., EngineClient]) -> None:
    cancel = Cancellation()
    cancel.cancel(Canceled("early"))
    client = engine(json_answer(b"{}"))
    with pytest.raises(Canceled, match="early"), client.cancellable(cancel):
        client.call("POST", "/x", "waiting")


def test_a_refused_upgrade_says_why(engine: Callable[..., EngineClient]) -> None:
    client = engine(json_answer(b'{"message":"no such container"}', "404 Not Found"))
    with pytest.raises(RunnerLost, match="no such container"):
        client.hijack("/containers/x/attach")


def _frames(data: bytes) -> Recorder:
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    output = Recorder()
    copy_frames(Hijacked(ours, b""), output, tty=False)
    ours.close()
    return output


def test_frames_are_told_apart() -> None:
    data = struct.pack(">BxxxL", 1, 3) + b"out" + struct.pack(">BxxxL", 2, 3) + b"err"
    assert _frames(data).streams == {"stdout": b"out", "stderr": b"err"}


def test_a_frame_that_announces_too_much_costs_only_what_comes() -> None:
    assert _frames(struct.pack(">BxxxL", 1, 2**32 - 1) + b"bit").streams == {"stdout": b"bit"}


@pytest.mark.parametrize("data", [b"", b"\1\0", struct.pack(">BxxxL", 9, 2) + b"xy"])
def test_odd_frames_do_no_harm(data: bytes) -> None:
    _frames(data)


class _Body:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read(self, _: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def test_progress_messages_may_be_cut_anywhere() -> None:
    body = _Body(b'{"a":', b"1}\r\n{", b'"b":2}', b"\n")
    assert list(json_messages(body)) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("pieces", [(b'{"a":',), (b"x" * 10,), (b'{"a":"' + b"x" * (2 << 20),)])
def test_endless_or_broken_progress_is_refused(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list(json_messages(_Body(*pieces)))
