"""YAML within limits: positions, tags, anchors, depth, size."""

from __future__ import annotations

import time

import pytest

from tasks_service.plans.yaml_nodes import MAX_DEPTH, YamlProblem, parse_yaml


def problem(text: str) -> YamlProblem:
    with pytest.raises(YamlProblem) as caught:
        parse_yaml(text)
    return caught.value


def test_nodes_know_where_they_stand() -> None:
    root = parse_yaml("a: 1\nb: [x, 'y z']\n")
    assert root is not None
    (_, one), (_, items) = root.value
    assert (one.start, one.end, one.plain) == (3, 4, True)
    assert [(n.value, n.start, n.plain) for n in items.value] == [
        ("x", 9, True),
        ("y z", 12, False),
    ]


def test_offsets_count_characters_not_bytes() -> None:
    root = parse_yaml("ä: 'ö€😀'\nb: x\n")
    assert root is not None
    assert root.value[1][1].start == 12


@pytest.mark.parametrize("text", ["", "\n", "# c\n", "---\n", "--- \n...\n", "~", "null"])
def test_nothing_is_none_or_null(text: str) -> None:
    root = parse_yaml(text)
    assert root is None or root.value in {"~", "null"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [1\n", "TF401"),
        ("a: b: c\n", "TF401"),
        ("\ta: 1\n", "TF402"),
        ("a:\n\tb: 1\n", "TF402"),
        ("a: 1\n---\nb: 1\n", "TF403"),
        ("a: *x\n", "TF405"),
        ("a: &x [*x]\n", "TF405"),
        ("a: !!python/name:os.system x\n", "TF406"),
        ("a: !local x\n", "TF406"),
        ("a: 'x\x07'\n", "TF401"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    assert problem(text).code == code


def test_an_empty_second_document_is_no_document() -> None:
    assert parse_yaml("a: 1\n---\n") is not None


def test_depth_is_bounded_without_recursion() -> None:
    assert parse_yaml("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)) is not None
    assert problem("a: " + "[" * 60_000).code == "TF404"
    assert problem("a: " + "{x: " * 5000).code == "TF404"
    assert problem("- " * 5000).code == "TF404"


def test_alias_bombs_end_where_they_start_to_explode() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    start = time.process_time()
    caught = problem("\n".join(lines))
    assert caught.code == "TF404"
    assert time.process_time() - start < 1


def test_merge_bombs_count_what_they_merge() -> None:
    lines = ["x: &x0 {k0: v}"]
    lines += [f"x{i}: &x{i}\n  <<: [*x{i - 1}, *x{i - 1}]\n  k{i}: v" for i in range(1, 40)]
    assert problem("\n".join(lines)).code == "TF404"


def test_core_tags_are_kept() -> None:
    root = parse_yaml("a: !!str 5\nb: ! 6\n")
    assert root is not None
    assert [(value.tag, value.plain) for _, value in root.value] == [("str", True), ("", False)]
