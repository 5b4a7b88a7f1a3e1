"""One POST under the egress rules: bounded in time, redirects never followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx2

from runners.model.errors import RunnerError, Unavailable
from tasks_service.egress.deadline import Deadline
from tasks_service.egress.policy import EgressPolicy
from tasks_service.egress.transport import egress_client
from tasks_service.model.notification import Receiver
from tasks_service.notifiers.base import Sent

TIMEOUT_S = 10.0
"""For the whole of it, from the first packet to the status."""
_CONNECT_S = 5.0


def url_problems(receiver: Receiver, policy: EgressPolicy) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a receiver that has a URL and nothing else."""
    if not receiver.url.lower().startswith(("https://", "http://")):
        yield "/url", "a receiver is an https URL"
    else:
        try:
            policy.check_text(receiver.url, what="receiver")
        except RunnerError as error:
            yield "/url", error.message
    for name, given in (
        ("to", receiver.to),
        ("from", receiver.sender),
        ("username", receiver.username),
        ("password", receiver.password),
    ):
        if given:
            yield f"/{name}", "belongs to e-mail"


def post(url: str, body: str, headers: Mapping[str, str], policy: EgressPolicy) -> Sent:
    """POST once. Never raises for what the receiver does."""
    limits = httpx2.Timeout(TIMEOUT_S, connect=min(_CONNECT_S, TIMEOUT_S))
    with Deadline(TIMEOUT_S) as deadline:
        try:
            with (
                egress_client(policy, what="receiver", timeout=limits) as client,
                client.stream(
                    "POST",
                    url,
                    content=body.encode(),
                    headers={"User-Agent": "tasks-service", **headers},
                    extensions={"trace": deadline.trace},
                ) as answer,
            ):
                code = answer.status_code
        except Unavailable as error:
            return Sent(False, 0, error.message)
        except RunnerError as error:
            return Sent(False, 0, error.message, final=True)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            if deadline.over or isinstance(error, httpx2.TimeoutException):
                return Sent(False, 0, f"the receiver did not answer within {TIMEOUT_S:.0f} s")
            return Sent(False, 0, f"the receiver can't be reached: {type(error).__name__}")
    if 200 <= code < 300:
        return Sent(True, code)
    if 300 <= code < 400:
        return Sent(False, code, "the receiver redirects, which is not followed")
    # 410 is how a receiver says that it is gone for good.
    return Sent(False, code, f"the receiver answered {code}", final=code == 410)
