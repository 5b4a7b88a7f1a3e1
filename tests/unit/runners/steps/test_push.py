from __future__ import annotations

from typing import Any

import pytest

from runners.steps import KINDS


def references(value: Any) -> tuple[str, ...]:
    parsed = KINDS["push"].parse(value)
    assert parsed.spec is not None, parsed.problems
    return parsed.spec.references


def test_latest_is_added_where_no_tag_is() -> None:
    assert references(["localhost:5000/x", "a/b:1"]) == ("localhost:5000/x:latest", "a/b:1")


def test_doubles_are_dropped_and_order_is_kept() -> None:
    assert references(["b", "a:1", "b:latest", "a:1"]) == ("b:latest", "a:1")


def test_a_single_text_is_a_list_of_one() -> None:
    assert references("x:1") == ("x:1",)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([], "empty-step"),
        (["Upper"], "bad-image-reference"),
        (["x:" + "t" * 129], "bad-image-reference"),
        (["x@sha256:" + "a" * 64], "bad-image-reference"),
        ([""], "bad-image-reference"),
        ({"a": 1}, "bad-type"),
    ],
)
def test_what_cannot_be_is_a_problem(value: Any, code: str) -> None:
    parsed = KINDS["push"].parse(value)
    assert parsed.spec is None
    assert parsed.problems[0].code == code


def test_all_bad_references_are_reported_at_once() -> None:
    assert len(KINDS["push"].parse(["A", "B", "c"]).problems) == 2
