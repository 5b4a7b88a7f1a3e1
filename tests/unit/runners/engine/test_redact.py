from __future__ import annotations

import base64
import itertools
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.engine.redact import MASKED, Redactor

SECRET = "hunter2/pass word+ünï"


def _stream(redactor: Redactor, data: bytes, cuts: list[int]) -> bytes:
    mask = redactor.mask()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    return b"".join([*map(mask.feed, pieces), mask.flush()])


def test_a_secret_is_masked() -> None:
    assert _stream(Redactor([SECRET]), f"a {SECRET} b".encode(), []) == b"a *** b"


@pytest.mark.parametrize(
    "form",
    [
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        json.dumps(SECRET)[1:-1],
    ],
)
def test_encoded_forms_are_masked(form: str) -> None:
    assert _stream(Redactor([SECRET]), f"x={form};".encode(), []) == b"x=***;"


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"use"])
def test_base64_is_masked_at_every_alignment(before: bytes) -> None:
    encoded = base64.b64encode(before + SECRET.encode() + b"!!!!")
    shown = _stream(Redactor([SECRET]), encoded, [])
    assert MASKED in shown
    # What depends on the secret alone is gone, all of it.
    assert encoded[4:-8] not in shown
    assert len(shown) < len(encoded) - len(SECRET)


def test_each_line_of_a_secret_of_many_lines_is_masked() -> None:
    redactor = Redactor(["first line\nsecond line\n"])
    assert _stream(redactor, b"| first line\n| second line\n", []) == b"| ***\n| ***\n"


def test_a_short_secret_is_counted_and_not_masked() -> None:
    redactor = Redactor(["abc", "", "long enough"])
    assert redactor.too_short == 1
    assert _stream(redactor, b"abc long enough", []) == b"abc ***"


def test_only_what_may_become_a_secret_is_held_back() -> None:
    mask = Redactor(["secret-value"]).mask()
    assert mask.feed(b"hello sec") == b"hello "
    assert mask.feed(b"tor\n") == b"sector\n"


def test_the_longest_of_two_secrets_wins() -> None:
    redactor = Redactor(["secret", "secret-more"])
    mask = redactor.mask()
    assert mask.feed(b"a secret") == b"a "
    assert mask.feed(b"-more b") == b"*** b"


def test_without_secrets_nothing_is_held_back() -> None:
    assert Redactor([]).mask().feed(b"anything") == b"anything"


def test_a_message_is_masked_as_a_whole() -> None:
    assert Redactor(["secret-value"]).text("no secret-value here") == "no *** here"


@given(
    st.lists(
        st.sampled_from([b"abcabc", b"abcabcabd", b"cabcab", b"x", b"ab", b"c\n"]), max_size=12
    ),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_the_result_does_not_depend_on_the_cuts(parts: list[bytes], cuts: list[int]) -> None:
    redactor = Redactor(["abcabc", "abcabcabd", "bcabca"])
    data = b"".join(parts)
    assert _stream(redactor, data, cuts) == _stream(redactor, data, [])


@given(st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=8))
def test_a_secret_never_shows_whatever_is_around_it(
    before: bytes, after: bytes, cuts: list[int]
) -> None:
    data = before + SECRET.encode() + after
    assert SECRET.encode() not in _stream(Redactor([SECRET]), data, cuts)
