"""The version line scan (Y-004 to Y-007) and comment lines (Y-008)."""

from __future__ import annotations

import pytest

from tasks_service.plans.version import aliases_on, find_version, without_comments


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("version: v1.1.0\n", "v1.1.0"),
        ("\n# c\nversion: 'v1.1.0'\n", "v1.1.0"),
        ('"version": "v1.1.0"\n', "v1.1.0"),
        ("version:v1.1.0\n", "v1.1.0"),
        ("version : v1.1.0\n", "v1.1.0"),
        (" version: v1.1.0\n", ""),
        ("steps: []\nversion: v1.1.0\r\n", "v1.1.0"),
        ("versions: x\nversion: v1.0.0\n", "v1.0.0"),
        ("version: v1.0.0\nversion: v1.1.0\n", "v1.0.0"),
        ("version: v1.1.0 # new\n", "v1.1.0 # new"),
        ("version: {{.Values.v}}\n", "{{.Values.v}}"),
        ("#version: v1.1.0\n", ""),
        ("steps: []\n", ""),
    ],
)
def test_version_scan(text: str, version: str) -> None:
    assert find_version(text) == version


@pytest.mark.parametrize(
    ("version", "on"),
    [
        ("v1.1.0", True), ("v1.0.0", False), ("V1.1.0", False), ("1.0-preview-1", False),
        ("", False), ("v2", True), ("{{.Values.v}}", True), ("v1.1.0 # new", True), ("zzz", True),
    ],
)  # fmt: skip
def test_aliases_follow_the_version_as_text(version: str, on: bool) -> None:
    assert aliases_on(version) is on


def kept(text: str) -> str:
    return without_comments(text)[0]


def test_comment_lines_go_and_trailing_comments_stay() -> None:
    assert kept("# a\nx: 1 # b\n  # c\ny: 2\n") == "x: 1 # b\ny: 2\n"
    assert kept("# a\r\nx: 1\r\n") == "x: 1\r\n"
    assert kept("# only") == ""


@pytest.mark.parametrize(
    "block",
    [
        "cmd: |\n  #!/bin/sh\n  # hi\n  echo\n",
        "- cmd: >-\n    a\n    # b\n\n    # c\n",
        "- |\n  # b\n",
        "a:\n  - b: |2-\n        # deep\n       # less\n",
        "cmd: | # why\n  # b\n",
        "cmd: |\n  a\n{{ if .x }}\n  # b\n{{ end }}\n",
        "- - |\n    # b\n",
        "? |\n  # b\n: x\n",
    ],
)
def test_block_scalars_keep_their_hash_lines(block: str) -> None:
    assert kept(block) == block


def test_a_block_ends_where_the_indent_does() -> None:
    text = "a: |\n  # in\n# out\nb: |\n   x\n  # out\nc: 1\n"
    assert kept(text) == "a: |\n  # in\nb: |\n   x\nc: 1\n"


def test_the_map_leads_back_to_the_line() -> None:
    text = "# one\nkey: v\n# two\nlast: w\n"
    short, segments = without_comments(text)
    for word in ("key", "v\n", "last", "w"):
        assert text[segments.origin(short.index(word)) :].startswith(word)
