"""What ``git ls-remote`` prints, read."""

from __future__ import annotations

from tasks_service.sources.git_look import parse

A, B = "a" * 40, "b" * 40


def test_default_branch_branches_and_tags_with_the_commits_behind_them() -> None:
    text = (
        f"ref: refs/heads/trunk\tHEAD\n{A}\tHEAD\n{A}\trefs/heads/trunk\n"
        f"{B}\trefs/tags/v1\n{A}\trefs/tags/v1^{{}}\n{A}\trefs/tags/light\n"
    )
    assert parse(text) == (
        "refs/heads/trunk",
        {"refs/heads/trunk": [A], "refs/tags/v1": [B, A], "refs/tags/light": [A]},
    )


def test_an_empty_repository_has_none() -> None:
    assert parse("") == ("", {})


def test_names_that_no_delivery_may_hold_are_left_out() -> None:
    names = ("refs/heads/" + "x" * 500, "refs/heads/a\u2028b", "refs/heads/\ufffd", "refs/heads/ok")
    assert list(parse("".join(f"{A}\t{name}\n" for name in names))[1]) == ["refs/heads/ok"]
