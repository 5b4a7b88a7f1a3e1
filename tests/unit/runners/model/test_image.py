from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.model.errors import InvalidInput
from runners.model.image import ImageRef

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("alpine", ("", "alpine", "", "")),
        ("alpine:3", ("", "alpine", "3", "")),
        ("a/b", ("", "a/b", "", "")),
        ("localhost/b", ("localhost", "b", "", "")),
        ("localhost:5000/b", ("localhost:5000", "b", "", "")),
        ("host.io/a/b:1", ("host.io", "a/b", "1", "")),
        ("host:5000/b:1@" + DIGEST, ("host:5000", "b", "1", DIGEST)),
        ("[::1]:5000/b", ("[::1]:5000", "b", "", "")),
        ("Host.IO/b", ("Host.IO", "b", "", "")),
        ("a__b/c-d.e_f", ("", "a__b/c-d.e_f", "", "")),
    ],
)
def test_a_reference_is_taken_apart(text: str, parts: tuple[str, str, str, str]) -> None:
    found = ImageRef.parse(text)
    assert (found.registry, found.path, found.tag, found.digest) == parts
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("a b", "blanks"),
        ("Alpine", "lowercase"),
        ("a/B:1", "lowercase"),
        ("a:", "tag after"),
        ("a:-x", "not '.' or '-' first"),
        ("a:" + "t" * 129, "128"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("a.-b", "separated"),
        ("a$b", "may not stand"),
        ("a@sha256:123", "digest"),
        ("a@", "digest"),
        ("https://host/a", "scheme"),
        ("x" * 256, "longer"),
        ("0123456789abcdef" * 4, "image id"),
        ("ho_st.io:5000/a", "registry host"),
    ],
)
def test_a_wrong_reference_names_the_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        ImageRef.parse(text)


def test_the_hint_shows_the_lowercase_form() -> None:
    with pytest.raises(InvalidInput) as caught:
        ImageRef.parse("host.io/My/App")
    assert "my/app" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("a/b:1", "docker.io/a/b:1"),
        ("docker.io/alpine:3", "docker.io/library/alpine:3"),
        ("localhost:5000/a", "localhost:5000/a"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert ImageRef.parse(text).canonical == canonical


def test_the_default_tag_respects_digests_and_ports() -> None:
    assert str(ImageRef.parse("localhost:5000/a").with_default_tag()) == "localhost:5000/a:latest"
    assert str(ImageRef.parse(f"a@{DIGEST}").with_default_tag()) == f"a@{DIGEST}"


@given(st.text(max_size=80))
def test_what_parses_comes_back_as_it_was(text: str) -> None:
    try:
        reference = ImageRef.parse(text)
    except InvalidInput:
        return
    assert str(reference) == text
    assert ImageRef.parse(str(reference)) == reference
