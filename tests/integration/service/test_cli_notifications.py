"""``tasks notification`` against a real server; what is sent is planned by hand."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from tasks_service.config import Settings
from tasks_service.model.notification import Notification, Receiver
from tasks_service.notifiers.webhook import new_secret
from tasks_service.scheduler import NoticeDuty, Scheduler
from tests.contract.test_notifications import receiving
from tests.integration.service.conftest import CommandLine, Service


def test_a_webhook_is_added_with_a_secret_that_is_shown_once(
    cli: CommandLine, service: Service
) -> None:
    made = cli.json("notification", "add", "ops", "--url", "https://ops.example/canary-path")
    assert re.fullmatch(r"whsec_\S{40,}", made["secret"])
    listed = cli("notification", "list").out
    assert "ops.example" in listed
    assert made["secret"] not in listed
    assert "already" in cli("notification", "add", "ops", "--url", "https://x.example", code=2).err

    messages = [("msg_1", "ops", "failed", "{}"), ("msg_2", "gone", "failed", "{}")]
    service.store.notifications.plan("r1", messages)
    (taken,) = [one for one in service.store.notifications.take(hold_s=60) if one.id == "msg_1"]
    service.store.notifications.failed(taken, 410, "the receiver answered 410", retry_s=None)
    said = cli("notification", "deliveries", "ops", "--status", "dead").out
    assert re.search(r"msg_1 +r1 +failed +dead +1 +the receiver answered 410", said)
    cli("notification", "redeliver", "ops", "msg_1")
    assert cli.json("notification", "deliveries", "ops")[0]["status"] == "waiting"
    assert "no delivery" in cli("notification", "redeliver", "ops", "msg_9", code=3).err
    cli("notification", "remove", "ops")
    assert cli.json("notification", "list") == []


def test_a_test_message_tells_whether_it_arrives(
    cli: CommandLine, service: Service, tmp_path: Path
) -> None:
    duty = NoticeDuty(service.store, Settings(state_dir=tmp_path, allow_hosts=("127.0.0.1",)))
    scheduler = Scheduler([duty.group()])
    scheduler.start()
    try:
        with receiving() as sink:
            receiver = Receiver(sink.url, new_secret())
            service.store.notifications.create(
                Notification("probe", "webhook", "127.0.0.1", ("failed",)), receiver
            )
            assert "was taken (answer 200)" in cli("notification", "test", "probe").err
            ((_, text),) = sink.got
            assert json.loads(text)["type"] == "tasks-service.run.test"
            sink.code = 500
            said = cli("notification", "test", "probe", code=1).err
            assert "was not taken: the receiver answered 500" in said
        assert "no notification" in cli("notification", "test", "nobody", code=3).err
    finally:
        scheduler.stop()
        duty.close()
    cli("notification", "remove", "probe")


def test_passwords_of_mail_servers_come_by_other_ways_than_arguments(
    cli: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["notification", "add", "mail", "--kind", "email", "--url", "smtps://mail.example"]
    words += ["--from", "tasks@example.com", "--to", "ops@example.com", "-u", "tasks"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert "TASKS_NOTIFICATION_PASSWORD" in cli(*words, code=2).err
    monkeypatch.setenv("TASKS_NOTIFICATION_PASSWORD", "canary-of-mail")
    said = cli(*words)
    assert "ops@example.com by mail.example" in said.out
    assert "canary" not in said.out + said.err
    receiver = service.store.notifications.receiver("mail")
    assert receiver is not None
    assert receiver.password == "canary-of-mail"
    refused = cli("notification", "add", "bad", "--kind", "email", "--url", "smtp://10.0.0.1",
                  "--to", "nobody", "-o", "json", code=2)  # fmt: skip
    assert "private" in refused.err
