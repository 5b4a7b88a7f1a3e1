"""What a Dockerfile names; the corpus against real builders is in tests/integration/buildkit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.clients.buildkit.dockerfile import Use, read_uses

DIGEST = "sha256:" + "a" * 64
ALPINE = "docker.io/library/alpine"
SYNTAX = "# syntax=a.example/b:1\nFROM scratch\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM alpine\n", Use(f"{ALPINE}:latest", "runtime")),
        (f"FROM me/app:1@{DIGEST}\n", Use("docker.io/me/app:1", "runtime", DIGEST)),
        (SYNTAX, Use("a.example/b:1", "frontend")),
        (f"#!/usr/bin/env x\n{SYNTAX}", Use("a.example/b:1", "frontend")),
        ("FROM scratch\nCOPY --from=alpine /a /a\n", Use(f"{ALPINE}:latest", "copy")),
        ("ARG V\nFROM alpine:${V-3}\n", Use(f"{ALPINE}:3", "runtime")),
    ],
)  # fmt: skip
def test_names_are_full_and_roles_told(text: str, expected: Use) -> None:
    assert read_uses(text).uses == (expected,)
    assert read_uses(text).complete


def test_the_syntax_can_be_given_as_an_argument() -> None:
    arguments = {"BUILDKIT_SYNTAX": "a.example/f:2"}
    assert read_uses("FROM scratch\n", arguments=arguments).uses[0].reference == "a.example/f:2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RUN true\n",
        "FROM\n",
        "FROM $NOTHING\n",
        "FROM ${BASE%x}\n",
        "FROM NOT/A/name\n",
        "FROM alpine\nCOPY --from=$X / /\n",
    ],
)
def test_what_cannot_be_read_is_no_complete_reading(text: str) -> None:
    assert not read_uses(text).complete


def test_a_target_that_is_not_there_is_no_complete_reading() -> None:
    assert not read_uses("FROM alpine AS one\n", target="two").complete


_PIECES = [
    *("FROM ", "COPY ", "RUN ", "ARG ", "--from=", "--mount=", "$", "${", "}", ":-", "<<", "EOF"),
    *("\\", "\n", "\r", "#", "`", '"', "'", "=", ",", " ", "AS ", "scratch", "a/b:1", "@", "0"),
]


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=40).map("".join))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_uses(text, target="x", contexts={"a": "docker-image://b", "c": "local"})
    read_uses(text)
