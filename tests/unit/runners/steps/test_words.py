from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.steps.words import split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b  c", ("a", "b", "c")),
        ("a 'b c' d", ("a", "b c", "d")),
        ('a "b \\" c"', ("a", 'b " c')),
        ("a b\\ c", ("a", "b c")),
        ("--x='y z'", ("--x=y z",)),
        ("'' a", ("", "a")),
        ("a \\\n  b", ("a", "b")),
        ("a\nb", ("a", "b")),
        ("'$HOME' $HOME *", ("$HOME", "$HOME", "*")),
        ('"keeps \\n as it is"', ("keeps \\n as it is",)),
        ("", ()),
    ],
)
def test_words_are_split_as_a_shell_would(text: str, words: tuple[str, ...]) -> None:
    found = split(text)
    assert found.texts == words
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("a | b", "|"),
        ("a && b", "&&"),
        ("a || b", "||"),
        ("a; b", ";"),
        ("a > f", ">"),
        ("a >> f", ">>"),
        ("a < f", "<"),
        ("a $(b)", "$("),
        ("a `b`", "`"),
        ("a &", "&"),
        ("a b|c", "|"),
    ],
)
def test_an_operator_outside_of_quotes_is_noticed(text: str, operator: str) -> None:
    assert split(text).operator == operator


@pytest.mark.parametrize("text", ["a 'b | c'", 'a "b && c"', "a b\\;", "wget http://h/?a=1&b=2"])
def test_what_is_quoted_or_an_address_is_no_operator(text: str) -> None:
    assert split(text).operator == ""


def test_an_open_quote_is_a_problem_that_names_its_line() -> None:
    (problem,) = split("a\nb 'c d").problems
    assert problem.code == "unclosed-quote"
    assert "line 2" in problem.message


def test_a_backslash_at_the_end_is_a_problem() -> None:
    assert split("a \\").problems[0].code == "dangling-backslash"


def test_places_cut_the_words_out_of_the_text() -> None:
    text = "a 'b c'  d"
    assert [text[word.start : word.end] for word in split(text).words] == ["a", "'b c'", "d"]


@given(st.lists(st.text(min_size=0, max_size=8)))
def test_quoted_words_come_back(words: list[str]) -> None:
    assert split(shlex.join(words)).texts == tuple(words)


@given(st.text(max_size=60))
def test_any_text_is_split_without_raising(text: str) -> None:
    split(text)
