"""Webhooks: a CloudEvent (1.0, JSON), signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from runners.model.errors import InvalidInput
from tasks_service.egress.policy import EgressPolicy
from tasks_service.model.notification import Receiver
from tasks_service.model.run import Run
from tasks_service.notifiers.base import Sent
from tasks_service.notifiers.message import link
from tasks_service.notifiers.post import post, url_problems

PREFIX = "whsec_"


def new_secret() -> str:
    """Return a fresh secret of Standard Webhooks."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_key(secret: str) -> bytes:
    """Return the key of a secret.

    Raises:
        InvalidInput: It is none of Standard Webhooks.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise InvalidInput("a webhook secret is 'whsec_' and 24 to 64 bytes in base64")
    return key


def signature(secret: str, message: str, timestamp: int, body: str) -> str:
    """Return the value of ``webhook-signature``."""
    signed = f"{message}.{timestamp}.{body}".encode()
    digest = hmac.new(secret_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class Webhook:
    """See ``Notifier``."""

    key = "webhook"
    signed = True

    def problems(self, receiver: Receiver, policy: EgressPolicy) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a receiver."""
        yield from url_problems(receiver, policy)
        if receiver.secret:
            try:
                secret_key(receiver.secret)
            except InvalidInput as error:
                yield "/secret", error.message

    def place(self, receiver: Receiver) -> str:
        """Return the host: paths and queries of webhooks are secrets."""
        return urlsplit(receiver.url).hostname or ""

    def body(self, event: str, run: Run, *, message: str, public_url: str) -> str:
        """Return the event."""
        finished = datetime.fromtimestamp(run.finished or run.updated, UTC)
        found = {
            "specversion": "1.0",
            "id": message,
            "source": public_url or "urn:tasks-service",
            "type": f"tasks-service.run.{event}",
            "subject": f"runs/{run.id}",
            "time": finished.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {
                "event": event,
                "run": run.id,
                "task": run.task,
                "status": str(run.status),
                "cause": run.cause.kind,
                "commit": run.commit,
                "branch": run.branch,
                "error": {"code": run.error_code, "message": run.error, "hint": run.hint},
                "images": list(run.images),
                "url": link(run, public_url),
            },
        }
        return json.dumps(found, separators=(",", ":"))

    def send(self, receiver: Receiver, message: str, body: str, policy: EgressPolicy) -> Sent:
        """POST it, signed anew: the time of the attempt is signed too."""
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(receiver.secret, message, timestamp, body),
        }
        return post(receiver.url, body, headers, policy)


WEBHOOK = Webhook()
