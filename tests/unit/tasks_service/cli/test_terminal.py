"""Foreign output on a terminal: colours at most, and nothing that acts."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_service.cli.terminal import (
    Paint,
    clean_line,
    clean_text,
    duration,
    size,
    unicode_ok,
    wants_colour,
)

RED = "\x1b[31mred\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_stay_and_end() -> None:
    assert clean_line(RED, colour=True) == RED + "\x1b[0m"
    assert clean_line("\x1b[1;38;5;9mx", colour=True) == "\x1b[1;38;5;9mx\x1b[0m"


def test_colours_go_without_colour() -> None:
    assert clean_line(RED, colour=False) == "red"


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[2Jb",
        "a\x1b[10;10Hb",
        "a\x1b]0;title\x07b",
        "a\x1b]52;c;aGk=\x1b\\b",
        "a\x1b]8;;http://evil\x1b\\b",
        "a\x1bPq#0\x1b\\b",
        "a\x1bcb",
        "a\x1b(0b",
        "a\x1b[?1049hb",
        "a\x1b[>1mb",
        "a\x9b2Jb",
        "a\x07b",
        "a\x08b",
        "a\u202eb",
        "a\u2066b",
        "a\x85b",
        "a\x7fb",
    ],
)
def test_everything_else_goes(text: str) -> None:
    assert clean_line(text, colour=True) == "ab"


def test_an_unfinished_sequence_goes_to_the_end_of_its_line() -> None:
    assert clean_line("a\x1b]0;title", colour=True) == "a"
    assert clean_line("a\x1b", colour=True) == "a"


def test_carriage_returns_keep_what_a_terminal_would_show() -> None:
    assert clean_line("10%\r50%\r100%", colour=True) == "100%"
    assert clean_line("text\r", colour=True) == "text"


def test_tabs_and_words_stay() -> None:
    assert clean_text("a\tb\nzwölf ✔") == "a\tb\nzwölf ✔"


@given(st.text())
def test_no_control_character_survives_without_colour(text: str) -> None:
    for letter in clean_line(text.replace("\n", ""), colour=False):
        assert letter == "\t" or (ord(letter) >= 32 and not 127 <= ord(letter) < 160)


@given(st.text(alphabet="\x1b[]0123456789;mPq\x07\\ab?<>=:\x9b"))
def test_only_colours_survive(text: str) -> None:
    rest = clean_line(text, colour=True)
    while "\x1b" in rest:
        _, _, rest = rest.partition("\x1b[")
        codes, end, rest = rest.partition("m")
        assert end
        assert set(codes) <= set("0123456789;:")


def test_colour_follows_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "CLICOLOR_FORCE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    assert wants_colour(io.StringIO(), "always")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())
    assert wants_colour(Terminal(), "always")


def test_paint_off_leaves_text() -> None:
    assert Paint(on=False).bold("x") == "x"
    assert Paint(on=True).bold("") == ""


def test_ascii_streams_get_no_icons() -> None:
    assert not unicode_ok(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert unicode_ok(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0s"), (59.9, "59.9s"), (185, "3m05s"), (7380, "2h03m")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (5e12, "5000.0 GB")]
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text
