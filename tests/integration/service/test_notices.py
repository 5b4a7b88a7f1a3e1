"""Notifications of a real service: receivers that fail, hang, drip, redirect and lie inside.

What can be told is told, later if need be; the rest is dead and shown; nothing
that is inside is reached.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_notifications import Sink, receiving
from tests.fakes.json_server import make_certificate
from tests.fakes.mail_server import LOGIN, MailServer, mail_server
from tests.faults.parts import await_that
from tests.integration.service.many import many
from tests.integration.service.up import Service, Up

RECEIVER = "127.0.0.1"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


@pytest.fixture
def mail(certificate: Path) -> Iterator[MailServer]:
    with mail_server(certificate=certificate) as found:
        yield found


@pytest.fixture(params=["up", "many"])
def service(
    request: pytest.FixtureRequest, tmp_path: Path, state_dir: Path, registry: str, mail: MailServer
) -> Iterator[Service]:
    folder = tmp_path / "service"
    folder.mkdir()
    # Plain http is taken, so that a receiver inside would see whoever came.
    more = {"allow_hosts": RECEIVER, "allow_http_sources": "true"}
    more["public_url"] = "https://tasks.example"
    if request.param == "many":
        with many(folder, state_dir, registry, **more) as found:
            yield found
        return
    with Up(folder, state_dir, "--registry", registry, **more) as found:
        yield found


@pytest.fixture
def sinks() -> Iterator[dict[str, Sink]]:
    with ExitStack() as stack:
        names = ("good", "down", "gone", "hung", "slow", "leads")
        found = {name: stack.enter_context(receiving()) for name in names}
        # At a port that is open to all, so that only its address keeps it from us.
        inside = (
            f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        )
        found["inside"] = stack.enter_context(receiving(inside, 80))
        yield found


def add(service: Service, name: str, url: str, **more: Any) -> str:
    body = {"kind": "webhook", "url": url, **more}
    return str(service.call("PUT", f"/notifications/{name}", json=body)["secret"])


def delivery(service: Service, name: str) -> dict[str, Any]:
    found = service.call("GET", f"/notifications/{name}/deliveries")["items"]
    assert len(found) <= 1, found
    return dict(found[0]) if found else {"status": ""}


def until(service: Service, name: str, *statuses: str) -> dict[str, Any]:
    await_that(lambda: delivery(service, name)["status"] in statuses)
    return delivery(service, name)


def test_every_receiver_is_told_or_its_message_is_dead_and_shown(
    service: Service, sinks: dict[str, Sink], mail: MailServer, base_image: str
) -> None:
    sinks["down"].code = 503
    sinks["gone"].code = 410
    sinks["hung"].hangs = True
    sinks["slow"].drips = True
    sinks["leads"].code = 307
    sinks["leads"].location = sinks["inside"].url
    secrets = {name: add(service, name, sinks[name].url) for name in sinks if name != "inside"}
    # An address in disguise: names are looked up when it is sent.
    add(service, "inside", f"http://{int(ip_address(sinks['inside'].host))}/hook")
    login = {"username": LOGIN[0].decode(), "password": LOGIN[1].decode()}
    people = {"from": "tasks@example.com", "to": ["ops@example.com"], **login}
    add(service, "mail", mail.url, kind="email", **people)
    body = {"name": "app", "command": f"{base_image} sh -c 'exit 3'"}
    service.call("POST", "/tasks", json=body)
    run = str(service.call("POST", "/tasks/app/runs")["id"])
    assert service.wait(run)["status"] == "Failed"

    # The good ones are told at once, whatever the others do.
    assert until(service, "good", "delivered")["attempts"] == 1
    ((headers, text),) = sinks["good"].got
    told = json.loads(text)
    assert told["type"] == "tasks-service.run.failed"
    assert told["data"]["url"] == f"https://tasks.example/api/v1/runs/{run}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{text}".encode()
    key = base64.b64decode(secrets["good"].removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert until(service, "mail", "delivered")["code"] == 250
    assert [(one.to, one.secure) for one in mail.got] == [(["ops@example.com"], True)]

    # One that is gone, and one that is inside: dead, shown, and not reached.
    assert until(service, "gone", "dead")["code"] == 410
    assert "not allowed" in until(service, "inside", "dead")["problem"]
    assert sinks["inside"].got == []

    # One that was down takes it at the next attempt, the same message.
    sinks["down"].code = 200
    assert until(service, "down", "delivered")["attempts"] == 2
    assert len({headers["webhook-id"] for headers, _ in sinks["down"].got}) == 1
    for name, problem in (("hung", "did not answer"), ("slow", "did not answer"),
                          ("leads", "redirects")):  # fmt: skip
        await_that(lambda name=name, problem=problem: problem in delivery(service, name)["problem"])
    assert sinks["inside"].got == []

    # What waits or is dead is sent again by hand.
    sinks["gone"].code = sinks["leads"].code = 204
    sinks["hung"].hangs = False
    for name in ("gone", "leads", "hung"):
        found = delivery(service, name)
        service.call("POST", f"/notifications/{name}/deliveries/{found['id']}/redeliver")
        assert until(service, name, "delivered")["problem"] == ""
    assert sinks["inside"].got == []
    assert LOGIN[1].decode() not in service.log()
