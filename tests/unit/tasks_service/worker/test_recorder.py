"""Logs: whole, bounded, marked where something is missing, never holding a step for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.engine.lines import LineSplitter
from runners.model.errors import Unavailable
from runners.model.events import Event, Notice, StepFinished, StepLog
from runners.model.record import StepResult
from tasks_service.errors import StaleFence
from tasks_service.model.log import MAX_CHUNK_BYTES, LogChunk
from tasks_service.worker import recorder as recorder_module
from tasks_service.worker.line_cap import LineCap
from tasks_service.worker.recorder import Recorder
from tasks_service.worker.spool import LogCaps, LogSpool


class Leases:
    """Keeps what is written; can be away, or say that the fence is stale."""

    def __init__(self) -> None:
        self.chunks: list[LogChunk] = []
        self.calls = 0
        self.error: Exception | None = None
        self.written = threading.Event()

    def progress(
        self, run_id: str, fence: int, *, chunks: Sequence[LogChunk] = (), **_: Any
    ) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.chunks += chunks
        self.written.set()


class FakeStore:
    def __init__(self) -> None:
        self.leases = Leases()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def recorder(store: FakeStore, caps: LogCaps | None = None, **more: Any) -> Recorder:
    return Recorder(store, "r1", 1, on_stale=more.pop("on_stale", lambda: None), caps=caps)  # type: ignore[arg-type]


def log(data: bytes, step: str = "s", stream: str = "stdout") -> Event:
    return StepLog(datetime.now(UTC), step, stream, data)


def text(store: FakeStore, rest: Sequence[LogChunk]) -> bytes:
    return b"".join(chunk.data for chunk in [*store.leases.chunks, *rest])


def test_lines_of_a_moment_are_one_chunk_and_one_write(store: FakeStore) -> None:
    found = recorder(store)
    for number in range(1000):
        found(log(f"line {number}\n".encode()))
    rest = found.close()
    assert rest.log_end == "EOF"
    assert len([*store.leases.chunks, *rest.chunks]) <= 3
    assert text(store, rest.chunks).count(b"\n") == 1000


def test_what_is_said_is_written_soon_while_the_run_goes_on(store: FakeStore) -> None:
    found = recorder(store)
    for number in range(3):
        store.leases.written.clear()
        found(log(b"%d\n" % number))
        assert store.leases.written.wait(2)
    assert text(store, ()) == b"0\n1\n2\n"
    assert found.close().chunks == ()


def test_streams_keep_their_order_within_a_step(store: FakeStore) -> None:
    found = recorder(store)
    for data, stream in ((b"a\n", "stdout"), (b"b\n", "stderr"), (b"c\n", "stdout")):
        found(log(data, stream=stream))
        found(log(b"x\n", step="other"))
    chunks = [*store.leases.chunks, *found.close().chunks]
    assert [chunk.data for chunk in chunks if chunk.step == "s"] == [b"a\n", b"b\n", b"c\n"]


def test_the_last_line_is_there_with_and_without_newline(store: FakeStore) -> None:
    found = recorder(store)
    found(log(b"first\n"))
    assert store.leases.written.wait(2)
    found(log(b"last"))
    assert text(store, found.close().chunks) == b"first\nlast"


def test_a_flood_keeps_head_and_tail_and_a_mark(store: FakeStore) -> None:
    found = recorder(store, LogCaps(head=1 << 20, tail=100_000, room=4 << 20))
    block = b"".join(b"%07d\n" % number for number in range(8000))
    for _ in range(100):
        found(log(block))
    found(log(b"the very end\n"))
    rest = found.close()
    whole = text(store, rest.chunks)
    assert rest.log_end.startswith("TRUNCATED ")
    dropped = int(rest.log_end.split()[1])
    assert whole.startswith(b"0000000\n0000001\n")
    assert whole.endswith(b"the very end\n")
    mark = f"TRUNCATED {dropped} bytes\n".encode()
    assert mark in whole
    assert len(whole) - len(mark) + dropped == 100 * len(block) + len(b"the very end\n")
    assert len(whole) < (1 << 20) + 200_000
    assert all(len(chunk.data) <= MAX_CHUNK_BYTES for chunk in [*store.leases.chunks, *rest.chunks])


def test_one_endless_line_is_cut_and_the_next_line_is_whole(store: FakeStore) -> None:
    found = recorder(store)
    splitter = LineSplitter()
    data = b"x" * (10 << 20) + b"\nnext\n"
    for start in range(0, len(data), 50_000):
        for block in splitter.feed(data[start : start + 50_000]):
            found(log(block))
    rest = found.close()
    whole = text(store, rest.chunks)
    head, mark, after = whole.partition(b" TRUNCATED ")
    assert mark
    assert set(head) == {ord("x")}
    assert after.endswith(b" bytes\nnext\n")
    assert len(whole) < MAX_CHUNK_BYTES + 200
    assert rest.log_end == f"TRUNCATED {after.split()[0].decode()} bytes"
    assert len(head) + int(after.split()[0]) == 10 << 20


def test_an_endless_line_without_an_end_is_marked_when_its_step_ends(store: FakeStore) -> None:
    found = recorder(store)
    for block in LineSplitter().feed(b"y" * 200_000):
        found(log(block))
    found(StepFinished(datetime.now(UTC), StepResult("s", "cmd")))
    assert text(store, found.close().chunks).endswith(b" bytes\n")


@given(st.lists(st.sampled_from(["a", "é", "\n", "x" * 70_000, "語" * 30_000]), max_size=12))
def test_cutting_lines_breaks_no_character_and_loses_no_count(parts: list[str]) -> None:
    data = "".join(parts).encode()
    splitter, cap = LineSplitter(), LineCap()
    blocks = [*splitter.feed(data), *splitter.flush()]
    kept = [cap.feed(block) for block in blocks]
    kept.append(cap.flush())
    whole = b"".join(kept)
    whole.decode()
    marks = sum(
        len(line) - line.rindex(b" TRUNCATED")
        for line in whole.split(b"\n")
        if b" TRUNCATED" in line
    )
    # A mark ends its line: where the line had no newline, the mark brings one.
    added = 1 if cap.dropped and not data.endswith(b"\n") and whole.endswith(b" bytes\n") else 0
    assert len(whole) - marks - added + cap.dropped == len(data)


def test_a_store_that_is_away_holds_a_step_for_seconds_only(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "HOLD_S", 0.3)
    store.leases.error = Unavailable("away")
    found = recorder(store, LogCaps(room=100_000, spare=10_000))
    started = time.monotonic()
    sent = b""
    for number in range(200):
        block = b"%04d%s\n" % (number, b"z" * 5000)
        sent += block
        found(log(block))
    assert time.monotonic() - started < 2
    store.leases.error = None
    rest = found.close()
    whole = text(store, rest.chunks)
    lost = int(rest.log_end.split()[1])
    assert rest.log_end == f"LOST {lost} bytes"
    mark = f"LOST {lost} bytes\n".encode()
    assert mark in whole
    assert len(whole) - len(mark) + lost == len(sent)
    assert whole.startswith(b"0000z")
    assert whole.endswith(block)


def test_what_waited_is_written_once_the_store_is_back(store: FakeStore) -> None:
    store.leases.error = Unavailable("away")
    found = recorder(store)
    found(log(b"while away\n"))
    deadline = time.monotonic() + 5
    while not store.leases.calls:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store.leases.error = None
    assert store.leases.written.wait(5)
    found(log(b"after\n"))
    rest = found.close()
    assert rest.log_end == "EOF"
    assert text(store, rest.chunks) == b"while away\nafter\n"


def test_a_stale_fence_stops_the_run_and_all_writing(store: FakeStore) -> None:
    stale = threading.Event()
    store.leases.error = StaleFence("not yours")
    found = recorder(store, on_stale=stale.set)
    found(log(b"one\n"))
    assert stale.wait(5)
    calls = store.leases.calls
    for _ in range(100):
        found(log(b"more\n"))
    found.close()
    assert store.leases.calls == calls


def test_our_own_words_have_a_stream_of_their_own(store: FakeStore) -> None:
    found = recorder(store)
    found(Notice(datetime.now(UTC), "Fetching it"))
    found(Notice(datetime.now(UTC), "it is old", "warning"))
    chunks = [*store.leases.chunks, *found.close().chunks]
    assert {(chunk.step, chunk.stream) for chunk in chunks} == {("", "system")}
    assert b"".join(c.data for c in chunks) == b"Fetching it\nwarning: it is old\n"


def pieces() -> Iterator[bytes]:
    for number in range(5000):
        yield b"%05d %s\n" % (number, b"p" * (number % 700))


def test_memory_is_bounded_whatever_comes_in() -> None:
    caps = LogCaps(head=200_000, tail=50_000, room=100_000, spare=20_000)
    spool = LogSpool(caps)
    sizes = []
    for piece in pieces():
        spool.add("s", "stdout", 1.0, piece)
        sizes.append(spool._queue.bytes + spool._spare.line.bytes + spool._tail.line.bytes)
    assert max(sizes) < 100_000 + 20_000 + 50_000 + 3 * MAX_CHUNK_BYTES
    spool.end()
    total = sum(len(chunk.data) for chunk in spool.take(1 << 40))
    marks = len(f"LOST {spool.lost} bytes\nTRUNCATED {spool.truncated} bytes\n")
    assert total - marks + spool.lost + spool.truncated == sum(map(len, pieces()))
