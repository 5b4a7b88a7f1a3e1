"""Addresses of servers: one form for each, and never a token over plain http."""

from __future__ import annotations

import pytest

from runners.model.errors import InvalidInput
from tasks_service.client.address import Server, parse_server


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("https://Tasks.Example.com/", "https://tasks.example.com"),
        ("https://h:443/x/", "https://h/x"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        (" http://[::1]:80 ", "http://[::1]"),
    ],
)
def test_an_address_has_one_form(given: str, form: str) -> None:
    assert parse_server(given) == form


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "not an address"),
        ("tasks.example.com", "not an address"),
        ("ftp://h", "not an address"),
        ("https://", "not an address"),
        ("https://h:port", "not an address"),
        ("https://h:99999", "not an address"),
        ("https://a b", "not an address"),
        ("https://user:pass@h", "login"),
        ("https://h/?a=b", "no \\?"),
        ("http://tasks.example.com", "plain http"),
        ("http://10.0.0.7:8080", "plain http"),
    ],
)
def test_what_is_no_address_is_refused(given: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse_server(given)


def test_plain_http_may_be_allowed() -> None:
    assert parse_server("http://10.0.0.7:8080", allow_http=True) == "http://10.0.0.7:8080"


def test_only_this_machine_is_local() -> None:
    assert Server("http://127.0.0.1:1").local
    assert not Server("https://tasks.example.com").local
