"""What every secret provider promises, on every kind; servers are real, on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, RunnerError
from tasks_service.secrets import KINDS
from tasks_service.secrets.base import MAX_VALUE_BYTES, Provider, parse_location
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable
from tests.contract.secret_places import LOGIN, Place, make_place
from tests.fakes.json_server import Reply, Request, make_certificate

SERVERS = ("vault", "https")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=list(KINDS))
def place(request: pytest.FixtureRequest, tmp_path: Path, certificate: Path) -> Iterator[Place]:
    made = make_place(request.param, tmp_path, certificate)
    yield made
    made.close()


@pytest.fixture
def provider(place: Place) -> Iterator[Provider]:
    opened = place.open()
    yield opened
    opened.close()


def fetch(provider: Provider, location: str, cancel: Cancellation | None = None) -> str:
    return provider.fetch(parse_location(location), cancel or Cancellation())


def everything(error: RunnerError) -> str:
    """Return all that could be shown of an error, causes and contexts too."""
    texts = []
    current: BaseException | None = error
    while current is not None:
        texts.append(f"{current!r} {current} {vars(current)}")
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return "\n".join(texts)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "",
        " spaces and\ttab ",
        "line\nline",
        "-----\nPEM\n-----\r\nend",
        "quo'te\"s `$(x)` ${y} {{.Run.ID}} %20 #a",
        "ünïcödé ✓ 🔑",
        "x" * MAX_VALUE_BYTES,
    ],
    ids=lambda value: value[:8] or "empty",
)
def test_a_value_comes_back_as_it_was_kept(place: Place, provider: Provider, value: str) -> None:
    assert fetch(provider, place.put(value)) == value


def test_each_location_has_its_own_value(place: Place, provider: Provider) -> None:
    kept = {place.put(f"value {number}"): f"value {number}" for number in range(5)}
    assert {location: fetch(provider, location) for location in kept} == kept


def test_many_threads_may_fetch_at_once(place: Place, provider: Provider) -> None:
    kept = {place.put(f"value {number}"): f"value {number}" for number in range(24)}
    with ThreadPoolExecutor(12) as pool:
        assert dict(zip(kept, pool.map(lambda at: fetch(provider, at), kept), strict=True)) == kept


def test_what_is_not_there_is_refused(place: Place, provider: Provider) -> None:
    place.put("another secret's value")
    with pytest.raises(SecretRefused) as raised:
        fetch(provider, place.missing())
    assert "another secret's value" not in everything(raised.value)


def test_what_may_not_be_read_is_refused_with_a_hint(place: Place) -> None:
    location = place.put("locked-away")
    place.lock()
    provider = place.open()
    with pytest.raises(SecretRefused) as raised:
        fetch(provider, location)
    provider.close()
    assert raised.value.hint
    assert "locked-away" not in everything(raised.value)
    assert LOGIN not in everything(raised.value)


def test_a_value_that_is_too_large_is_refused(place: Place, provider: Provider) -> None:
    with pytest.raises(SecretRefused, match=f"{MAX_VALUE_BYTES} (bytes|are)") as raised:
        fetch(provider, place.put("y" * (MAX_VALUE_BYTES + 100)))
    assert "yyyy" not in everything(raised.value)


def test_values_and_logins_are_never_logged(
    place: Place, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    location = place.put("should-stay-hidden")
    assert fetch(provider, location) == "should-stay-hidden"
    with pytest.raises(SecretRefused):
        fetch(provider, place.missing())
    logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert "should-stay-hidden" not in logged
    assert LOGIN not in logged
    assert "token-for-" not in logged


@pytest.mark.parametrize("rest", ["", "//", "/", "#key"])
def test_a_location_that_names_nothing_is_refused(
    place: Place, provider: Provider, rest: str
) -> None:
    with pytest.raises(SecretRefused) as raised:
        fetch(provider, f"{place.kind}:{rest}")
    assert raised.value.hint


def test_closing_twice_is_fine(place: Place) -> None:
    provider = place.open()
    fetch(provider, place.put("x"))
    provider.close()
    provider.close()


# What follows is about servers only.

on_servers = pytest.mark.parametrize("place", SERVERS, indirect=True)


def answering(place: Place, *replies: Reply) -> None:
    """Make the server answer with ``replies`` first, then as usual."""
    assert place.server is not None
    left = list(replies)

    def override(request: Request) -> Reply | None:
        return left.pop(0) if left else None

    place.server.override = override


@on_servers
def test_opening_asks_nobody(place: Place) -> None:
    place.open().close()
    assert place.server is not None
    assert place.server.requests == []


@on_servers
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(place: Place, provider: Provider, status: int) -> None:
    location = place.put("patience")
    answering(place, Reply(status, {"errors": ["later"]}, {"Retry-After": "0"}))
    assert fetch(provider, location) == "patience"


@on_servers
def test_a_server_that_is_gone_is_unavailable(place: Place, provider: Provider) -> None:
    location = place.put("x")
    place.close()
    with pytest.raises(SecretUnavailable, match="reached"):
        fetch(provider, location)


@on_servers
def test_a_redirect_is_not_followed(place: Place, provider: Provider) -> None:
    location = place.put("x")
    elsewhere = make_place("vault", Path(), Path())
    assert elsewhere.server is not None
    answering(place, Reply(307, {}, {"Location": f"{elsewhere.server.url}/v1/x"}))
    with pytest.raises(SecretRefused, match="redirects"):
        fetch(provider, location)
    elsewhere.close()
    assert elsewhere.server.requests == []


@on_servers
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[" * 100_000, b"null", b'{"data": []}', b'{"value": 5}', b"\xff\xfe"],
    ids=["empty", "html", "deep", "null", "list", "number", "bytes"],
)
def test_an_answer_that_makes_no_sense_is_refused(
    place: Place, provider: Provider, body: bytes
) -> None:
    location = place.put("x")
    answering(place, Reply(200, body))
    with pytest.raises(SecretRefused):
        fetch(provider, location)


@on_servers
def test_a_flood_is_cut_off(place: Place, provider: Provider) -> None:
    location = place.put("x")
    answering(place, *[Reply(200, b"z" * 2_000_000)] * 4)
    with pytest.raises(SecretRefused, match="more than"):
        fetch(provider, location)


@on_servers
def test_a_cancel_ends_the_waiting_for_a_busy_server(place: Place, provider: Provider) -> None:
    assert place.server is not None
    cancel = Cancellation()

    def override(request: Request) -> Reply:
        cancel.cancel(Canceled("enough"))
        return Reply(503, {}, {"Retry-After": "3600"})

    place.server.override = override
    with pytest.raises(Canceled, match="enough"):
        fetch(provider, place.put("x"), cancel)
