"""Locations of secrets taken apart, and the map that sends key vaults elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_service.secrets import KINDS
from tasks_service.secrets.base import Location, parse_location
from tasks_service.secrets.errors import SecretRefused
from tasks_service.secrets.mapping import keyvault_name, mapped, read_mapping


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("env:NAME", ("env", "NAME", "")),
        ("ENV://NAME", ("env", "NAME", "")),
        ("vault:a/b#c%23d", ("vault", "a/b", "c#d")),
        ("vault://a/b?version=2#c", ("vault", "a/b?version=2", "c")),
        ("file:///x/y", ("file", "/x/y", "")),
        ("file:/x/y", ("file", "/x/y", "")),
    ],
)
def test_a_location_is_scheme_rest_and_key(text: str, parts: tuple[str, str, str]) -> None:
    found = parse_location(text)
    assert (found.scheme, found.rest, found.key) == parts


@pytest.mark.parametrize("text", ["", "name", "/x", "env:A B", "env:A\nB", ":x", "1a:x"])
def test_what_is_no_location_is_refused(text: str) -> None:
    with pytest.raises(SecretRefused):
        parse_location(text)


@given(st.text(max_size=200))
def test_any_text_is_a_location_or_refused(text: str) -> None:
    try:
        found = mapped(parse_location(text), {"a": "env:{NAME}"})
    except SecretRefused:
        return
    assert isinstance(found, Location)


def test_every_scheme_the_language_takes_has_a_provider_or_is_the_services() -> None:
    from tasks_service.plans.checks import SECRET_SCHEMES

    assert set(SECRET_SCHEMES) - {"store"} == set(KINDS)


def test_a_mapped_vaults_secret_is_read_where_configuration_says() -> None:
    mapping = read_mapping("corp.vault.azure.net=env:CI_{NAME}, two.example:8443=file:/run/{name}")
    first = mapped(parse_location("https://Corp.vault.azure.net/secrets/db-pass/00ff"), mapping)
    assert (first.scheme, first.rest, first.trusted) == ("env", "CI_DB_PASS", True)
    second = mapped(parse_location("https://two.example:8443/secrets/x"), mapping)
    assert (second.scheme, second.rest) == ("file", "/run/x")


def test_other_places_are_not_mapped() -> None:
    mapping = read_mapping("corp.vault.azure.net=env:{NAME}")
    for text in ("https://other.vault.azure.net/secrets/x", "env:corp.vault.azure.net", "https:x"):
        location = parse_location(text)
        assert mapped(location, mapping) == location


@pytest.mark.parametrize("entry", ["corp", "corp=", "=env:{NAME}", "corp=env:FIXED"])
def test_a_map_that_cannot_be_is_refused(entry: str) -> None:
    with pytest.raises(SecretRefused, match="TASKS_KEYVAULT_MAP"):
        read_mapping(f"good.example=env:{{NAME}},{entry}")


@pytest.mark.parametrize(
    "path",
    ["", "/", "/secrets", "/secrets/", "/keys/x", "/secrets/../x", "/secrets/a/b/c", "/secrets/a.b",
     "/secrets/a%2Fb", "/secrets//b", "/secrets/ä"],
)  # fmt: skip
def test_what_is_no_secrets_path_is_refused(path: str) -> None:
    with pytest.raises(SecretRefused):
        keyvault_name(path)


def test_a_name_cannot_leave_the_mapped_folder() -> None:
    mapping = read_mapping("corp.example=file:/run/{name}")
    with pytest.raises(SecretRefused):
        mapped(parse_location("https://corp.example/secrets/..%2fetc"), mapping)
