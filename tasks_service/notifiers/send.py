"""Send one message over HTTP, under the egress rules; redirects are never followed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

import httpx2

from runners.model.errors import InvalidInput, RunnerError, Unavailable
from tasks_service.egress.policy import EgressPolicy
from tasks_service.egress.transport import egress_client
from tasks_service.model.notification import Receiver

TIMEOUT_S = 10.0
PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Sent:
    """How it went; ``final`` means trying again can't help."""

    taken: bool
    code: int = 0
    problem: str = ""
    final: bool = False


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


def send(receiver: Receiver, message: str, body: str, policy: EgressPolicy) -> Sent:
    """POST a message once. Never raises for what the receiver does."""
    headers = {"Content-Type": "application/json", "User-Agent": "tasks-service"}
    if receiver.secret:
        timestamp = int(time.time())
        headers |= {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(receiver.secret, message, timestamp, body),
        }
    try:
        with (
            egress_client(policy, what="receiver", timeout=TIMEOUT_S) as client,
            client.stream("POST", receiver.url, content=body.encode(), headers=headers) as answer,
        ):
            code = answer.status_code
    except Unavailable as error:
        return Sent(False, 0, error.message)
    except RunnerError as error:
        return Sent(False, 0, error.message, final=True)
    except httpx2.TimeoutException:
        return Sent(False, 0, f"the receiver did not answer within {TIMEOUT_S:.0f} s")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return Sent(False, 0, f"the receiver can't be reached: {type(error).__name__}")
    if 200 <= code < 300:
        return Sent(True, code)
    if 300 <= code < 400:
        return Sent(False, code, "the receiver redirects, which is not followed")
    # 410 is how a receiver says that it is gone for good.
    return Sent(False, code, f"the receiver answered {code}", final=code == 410)
