from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runners.engine.lines import LineSplitter


def _feed(splitter: LineSplitter, *chunks: bytes) -> list[bytes]:
    blocks = [block for chunk in chunks for block in splitter.feed(chunk)]
    return blocks + list(splitter.flush())


def test_a_line_is_handed_out_once_it_is_whole() -> None:
    splitter = LineSplitter()
    assert list(splitter.feed(b"one\ntw")) == [b"one\n"]
    assert list(splitter.feed(b"o\n")) == [b"two\n"]


def test_the_last_line_without_newline_is_not_lost() -> None:
    assert _feed(LineSplitter(), b"a\nlast") == [b"a\n", b"last"]


def test_a_line_beyond_the_cap_comes_in_parts() -> None:
    blocks = _feed(LineSplitter(8), b"x" * 20 + b"\n")
    assert b"".join(blocks) == b"x" * 20 + b"\n"
    assert all(len(block) <= 8 for block in blocks)


def test_a_block_of_many_lines_is_cut_at_line_ends() -> None:
    assert _feed(LineSplitter(8), b"abc\ndef\nghi\n") == [b"abc\ndef\n", b"ghi\n"]


def test_no_character_is_cut_apart() -> None:
    blocks = _feed(LineSplitter(8), "ääääääää".encode())
    assert "".join(block.decode() for block in blocks) == "ääääääää"


def test_memory_stays_bounded_without_any_newline() -> None:
    splitter = LineSplitter(1024)
    for _ in range(100):
        list(splitter.feed(b"y" * 1000))
    assert len(b"".join(splitter.flush())) < 1024


@given(st.lists(st.binary(max_size=40)), st.integers(4, 32))
def test_whatever_the_cuts_all_bytes_arrive_in_order(chunks: list[bytes], cap: int) -> None:
    blocks = _feed(LineSplitter(cap), *chunks)
    assert b"".join(blocks) == b"".join(chunks)
    assert all(0 < len(block) <= cap for block in blocks)


@given(st.text(max_size=200), st.integers(1, 7))
def test_text_stays_decodable_block_by_block(text: str, size: int) -> None:
    data = text.encode(errors="ignore")
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    blocks = _feed(LineSplitter(16), *chunks)
    assert "".join(block.decode() for block in blocks) == data.decode()
