"""Slack's incoming webhooks, and what takes the same: ``text``, one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from tasks_service.egress.policy import EgressPolicy
from tasks_service.model.notification import Receiver
from tasks_service.model.run import Run
from tasks_service.notifiers.base import Sent
from tasks_service.notifiers.message import headline, link
from tasks_service.notifiers.post import post, url_problems


class Slack:
    """See ``Notifier``."""

    key = "slack"
    signed = False

    def problems(self, receiver: Receiver, policy: EgressPolicy) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a receiver."""
        yield from url_problems(receiver, policy)
        if receiver.secret:
            yield "/secret", "only webhooks are signed"

    def place(self, receiver: Receiver) -> str:
        """Return the host: the path is the secret."""
        return urlsplit(receiver.url).hostname or ""

    def body(self, event: str, run: Run, *, message: str, public_url: str) -> str:
        """Return the sentence; nothing in it means anything to Slack but the link."""
        del message
        more = f" - {run.error_code}: {run.error}" if run.error_code else ""
        text = f"{headline(event, run)}{more}"[:2000]
        # The three letters that mean something to Slack.
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        url = link(run, public_url)
        return json.dumps({"text": f"{text} <{url}>" if url else text})

    def send(self, receiver: Receiver, message: str, body: str, policy: EgressPolicy) -> Sent:
        """POST it."""
        del message
        return post(receiver.url, body, {"Content-Type": "application/json"}, policy)


SLACK = Slack()
