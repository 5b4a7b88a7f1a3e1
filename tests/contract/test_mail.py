"""E-mail on a real SMTP server: taken, refused, put off; nothing of a run becomes a header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.model.notification import Delivery, Notification, Receiver
from tasks_service.notifiers import mail as mailing
from tasks_service.scheduler import notices
from tasks_service.store import Store
from tests.contract.api_server import api
from tests.contract.stores import opened
from tests.contract.test_notifications import duty, ended, work
from tests.fakes.json_server import make_certificate
from tests.fakes.mail_server import LOGIN, MailServer, mail_server

TO = ("ops@example.com", "dev@example.com")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened("sqlite", tmp_path) as found:
        yield found


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def told(store: Store, server: MailServer, *, password: bool = True, host: str = "") -> None:
    url = server.url.replace("127.0.0.1", host) if host else server.url
    login = tuple(part.decode() for part in LOGIN) if password else ("", "")
    receiver = Receiver(url, "", *login, sender="tasks@example.com", to=TO)
    store.notifications.create(Notification("ops", "email", "", ("failed", "recovered")), receiver)


def only(store: Store) -> Delivery:
    (found,) = store.notifications.deliveries("ops")
    return found


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "TLS"])
def test_a_failure_is_told_over_tls_with_a_login(
    store: Store, tmp_path: Path, certificate: Path, implicit: bool
) -> None:
    with mail_server(certificate=certificate, implicit=implicit) as server:
        told(store, server)
        ended(store, "r1", RunStatus.FAILED)
        work(duty(store, tmp_path, "127.0.0.1"))
    (got,) = server.got
    assert (got.sender, got.to, got.login) == ("tasks@example.com", list(TO), "tasks")
    assert got.secure
    assert got.mail["Subject"] == "task app failed (run r1)"
    assert got.mail["From"] == "tasks@example.com"
    assert got.mail["To"] == "ops@example.com, dev@example.com"
    assert got.mail["Auto-Submitted"] == "auto-generated"
    assert got.mail["Message-ID"] == f"<{only(store).id}@example.com>"
    text = got.mail.get_content()
    assert "Error:    step_failed: <broken>" in text
    assert "tasks runs show r1" in text
    assert (only(store).status, only(store).code) == ("delivered", 250)


def test_words_of_a_run_become_no_header_and_no_recipient(
    store: Store, tmp_path: Path, certificate: Path
) -> None:
    evil = (
        "x\r\nBcc: victim@example.net\r\n.\r\nRCPT TO:<victim@example.net>\r\n\ud800é" + "y" * 2000
    )
    with mail_server(certificate=certificate) as server:
        told(store, server)
        ended(store, "r1", RunStatus.FAILED)
        one = duty(store, tmp_path, "127.0.0.1")
        run = store.runs.find("r1")
        from dataclasses import replace

        changed = replace(run, task=evil, error=evil, branch=evil, hint=evil)
        body = mailing.MAIL.body("failed", changed, message="m", public_url="")
        store.notifications.plan("r1", [("msg_1", "ops", "failed", body)])
        work(one)
    (got,) = server.got
    assert got.to == list(TO)
    assert set(got.mail.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert "Bcc: victim@example.net" in got.mail.get_content()


def test_a_server_that_is_busy_gets_it_later_with_the_same_id(
    store: Store, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "BACK_OFF_S", (0.0,) * 3)
    with mail_server(certificate=certificate) as server:
        told(store, server)
        server.answer = "451 try later"
        ended(store, "r1", RunStatus.FAILED)
        one = duty(store, tmp_path, "127.0.0.1")
        while one.plan():
            pass
        one.deliver()
        one.rest(30)
        assert (only(store).status, only(store).code) == ("waiting", 451)
        server.answer = "250 OK"
        work(one)
    (got,) = server.got
    assert got.mail["Message-ID"] == f"<{only(store).id}@example.com>"
    assert (only(store).status, only(store).attempts) == ("delivered", 2)


def test_refused_addresses_are_shown_and_all_of_them_refused_is_dead(
    store: Store, tmp_path: Path, certificate: Path
) -> None:
    with mail_server(certificate=certificate) as server:
        told(store, server)
        server.refused = [TO[1]]
        ended(store, "r1", RunStatus.FAILED)
        work(duty(store, tmp_path, "127.0.0.1"))
        first = only(store)
        server.refused = list(TO)
        ended(store, "r2", RunStatus.FAILED)
        work(duty(store, tmp_path, "127.0.0.1"))
    assert (first.status, first.problem) == ("delivered", f"refused for {TO[1]}")
    dead = next(one for one in store.notifications.deliveries("ops") if one.run_id == "r2")
    assert (dead.status, dead.code) == ("dead", 550)
    assert len(server.got) == 1


def test_without_tls_no_password_is_sent_and_nothing_to_servers_nobody_listed(
    store: Store, tmp_path: Path
) -> None:
    with mail_server() as server:
        told(store, server)
        ended(store, "r1", RunStatus.FAILED)
        work(duty(store, tmp_path, "127.0.0.1"))
        assert (only(store).status, server.logins, server.got) == ("dead", [], [])
        assert "STARTTLS" in only(store).problem
        store.notifications.delete("ops")
        told(store, server, password=False)
        ended(store, "r2", RunStatus.FAILED)
        work(duty(store, tmp_path, "127.0.0.1"))
        assert only(store).status == "delivered"
    with mail_server(host="127.71.5.9", port=2525) as other:
        store.notifications.delete("ops")
        told(store, other, password=False)
        ended(store, "r3", RunStatus.FAILED)
        work(duty(store, tmp_path, networks=("127.0.0.0/8",)))
        assert (only(store).status, other.got) == ("dead", [])
        assert other.connections == 1


def test_a_certificate_that_nobody_trusts_ends_the_conversation(
    store: Store, tmp_path: Path
) -> None:
    for implicit in (False, True):
        with mail_server(certificate=make_certificate(tmp_path), implicit=implicit) as server:
            told(store, server)
            ended(store, f"r{implicit}", RunStatus.FAILED)
            work(duty(store, tmp_path, "127.0.0.1"))
            assert (only(store).status, server.got, server.logins) == ("waiting", [], [])
            assert "self-signed" in only(store).problem
            store.notifications.delete("ops")


def test_a_wrong_login_is_told_without_the_password(
    store: Store, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server(certificate=certificate) as server:
        receiver = Receiver(server.url, "", "tasks", "canary-wrong", "tasks@example.com", TO)
        store.notifications.create(Notification("ops", "email", "", ("failed",)), receiver)
        ended(store, "r1", RunStatus.FAILED)
        work(duty(store, tmp_path, "127.0.0.1"))
        assert (only(store).status, only(store).code, server.got) == ("waiting", 535, [])
        assert only(store).problem == "the mail server refused the login"


def test_nothing_inside_is_reached(store: Store, tmp_path: Path) -> None:
    with mail_server() as server:
        told(store, server, host="localhost")
        ended(store, "r1", RunStatus.FAILED)
        work(duty(store, tmp_path))
        assert (only(store).status, server.connections) == ("dead", 0)
        assert "not allowed" in only(store).problem


def test_over_the_api_the_password_is_sealed_and_bad_fields_are_told_together(
    tmp_path: Path,
) -> None:
    good = {
        "kind": "email",
        "url": "smtps://mail.example",
        "from": "tasks@example.com",
        "to": ["ops@example.com"],
        "username": "tasks",
        "password": "canary-of-mail",
    }
    with api("sqlite", tmp_path) as service:
        made = service.call("PUT", "/api/v1/notifications/mail", json=good)
        assert made.status_code == 201, made.text
        assert made.json()["host"] == "ops@example.com by mail.example"
        assert made.json()["secret"] == ""
        assert "canary" not in service.call("GET", "/api/v1/notifications").text
        for name in ("tasks.db", "tasks.db-wal"):
            assert b"canary" not in (tmp_path / name).read_bytes()
        bad = {
            "kind": "email",
            "url": "smtp://u:p@mail.example/x",
            "from": "tasks@example.com\r\nBcc: x@example.com",
            "to": ["ops@example.com", "a@b, c@d"],
            "username": "tasks",
        }
        refused = service.call("PUT", "/api/v1/notifications/other", json=bad)
        assert refused.status_code == 422
        pointers = {error["pointer"] for error in refused.json()["errors"]}
        assert pointers == {"/url", "/from", "/to/1", "/username"}
        for url in ("https://mail.example", "smtp://127.0.0.1", "smtp://mail.example:22"):
            refused = service.call("PUT", "/api/v1/notifications/other", json={**good, "url": url})
            assert [error["pointer"] for error in refused.json()["errors"]] == ["/url"], url
