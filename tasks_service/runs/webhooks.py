"""Webhooks at Git servers, made and removed through their APIs with a trigger's token.

In: a trigger, and the address of its deliveries. Out: nothing, or why it could
not be done. Called by the API; the egress rules hold, and what a server answers is
not trusted.
"""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2

from runners.model.errors import RunnerError, Unavailable
from tasks_service.egress.policy import EgressPolicy
from tasks_service.egress.transport import egress_client
from tasks_service.model.commit import Hook
from tasks_service.triggers.provider import Call, Conversation, Webhook
from tasks_service.triggers.providers import PROVIDERS

_TIMEOUT_S = 10.0
_WHOLE_S = 30.0
_MOST_CALLS = 20
_MOST_BYTES = 4 << 20
_SHOWN = 200


class Webhooks:
    """Makes and removes webhooks. Thread-safe.

    Args:
        policy: Whom it may talk to.
        public_url: Where Git servers reach the service, or empty.
    """

    def __init__(self, policy: EgressPolicy, public_url: str) -> None:
        self._policy = policy
        self._base = public_url.rstrip("/")

    def connect(self, hook: Hook) -> str:
        """Have the repository tell this trigger of its pushes; idempotent.

        Returns:
            Why it could not be done, or an empty text.
        """
        if not hook.secrets.token:
            return "the trigger has no token for its Git server"
        if not self._base:
            return "public_url is not set: the Git server could not reach the service"
        provider = PROVIDERS[hook.trigger.provider]
        api = (hook.trigger.api_url or provider.API).rstrip("/")
        return self._talk(hook, provider.connect(api, hook.secrets.token, self._webhook(hook)))

    def disconnect(self, hook: Hook) -> str:
        """Remove the webhook of a trigger, if the repository has it; as ``connect``."""
        if not (hook.secrets.token and self._base):
            return ""
        provider = PROVIDERS[hook.trigger.provider]
        api = (hook.trigger.api_url or provider.API).rstrip("/")
        return self._talk(hook, provider.disconnect(api, hook.secrets.token, self._webhook(hook)))

    def _webhook(self, hook: Hook) -> Webhook:
        trigger = hook.trigger
        url = f"{self._base}/hooks/{hook.id}"
        return Webhook(trigger.repository, url, hook.secrets.secret, trigger.pull_requests)

    def _talk(self, hook: Hook, talk: Conversation) -> str:
        answer: Any = None
        ends = time.monotonic() + _WHOLE_S
        try:
            with egress_client(self._policy, what="status API", timeout=_TIMEOUT_S) as client:
                for _ in range(_MOST_CALLS):
                    call = talk.send(answer)
                    status, text = _sent(client, call, ends)
                    if not 200 <= status < 300:
                        return _refusal(status, _clean(text, hook))
                    answer = _json(text) if call.method == "GET" else None
        except StopIteration:
            return ""
        except RunnerError as error:
            return error.message
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return f"the Git server was not reached: {type(error).__name__}"
        return f"the Git server needs more than {_MOST_CALLS} calls: it has many such webhooks"


def _sent(client: httpx2.Client, call: Call, ends: float) -> tuple[int, bytes]:
    found = b""
    with client.stream(call.method, call.url, json=call.body, headers=dict(call.headers)) as answer:
        for block in answer.iter_bytes():
            found += block
            if len(found) > _MOST_BYTES:
                raise Unavailable("the Git server answered with more than 4 MiB")
            if time.monotonic() > ends:
                raise Unavailable(f"the Git server took more than {_WHOLE_S:g} s")
        return answer.status_code, found


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unavailable("the Git server answered with something else than JSON") from None


def _clean(text: bytes, hook: Hook) -> str:
    shown = text[:4096].decode(errors="replace")
    for secret in (hook.secrets.token, hook.secrets.secret):
        shown = shown.replace(secret, "***")
    return "".join(c if c.isprintable() else " " for c in shown)[:_SHOWN]


def _refusal(status: int, text: str) -> str:
    reason = {
        401: "it does not know the token",
        403: "the token may not administer webhooks",
        404: "there is no such repository, or the token may not administer its webhooks",
    }.get(status, text)
    return f"the Git server answered {status}" + (f": {reason}" if reason else "")
