"""HTTP under the egress rules: an httpx2 transport, and a client that has it.

Each request, a redirect's next hop as well, is checked by itself and sent to
an address that was checked; TLS still names and verifies the host.
"""

from __future__ import annotations

from typing import Any

import httpx2

from tasks_service.egress.policy import EgressPolicy, Target


class EgressTransport(httpx2.BaseTransport):
    """Sends requests where the policy lets them go.

    Connections are not kept: one that was made for a host must never serve
    another that shares its address. Proxy variables mean nothing here: a
    proxy would do the resolving.

    Raises:
        InvalidInput, Denied, Unavailable: See ``EgressPolicy.check``; from
            the request that is refused, before anything is sent.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        what: str = "URL",
        verify: Any = True,
        inner: httpx2.BaseTransport | None = None,
    ) -> None:
        self._policy = policy
        self._what = what
        self._inner = inner or httpx2.HTTPTransport(
            verify=verify,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Check, then send to the first checked address that takes a connection."""
        target = self._policy.check(str(request.url), what=self._what)
        refused: httpx2.ConnectError | httpx2.ConnectTimeout | None = None
        for address in target.addresses:
            try:
                return self._inner.handle_request(_redirected(request, target, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
                # Nothing was sent yet, so the next address may be tried.
                refused = exc
        assert refused is not None  # noqa: S101 - a target has an address
        raise refused

    def close(self) -> None:
        """Close all connections."""
        self._inner.close()


def _redirected(request: httpx2.Request, target: Target, address: str) -> httpx2.Request:
    sent = httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": target.host},
    )
    # Written by the client from the URL as it was given.
    sent.headers["Host"] = request.headers["Host"]
    return sent


def egress_client(policy: EgressPolicy | None, *, what: str = "URL", **more: Any) -> httpx2.Client:
    """Return a client under the policy, or a plain one where there is none.

    Args:
        policy: None means the caller's own machine and network: nothing is
            refused, and proxy variables count.
        what: The noun for messages.
        more: As ``httpx2.Client`` takes it; redirects are not followed unless
            asked for.
    """
    if policy is None:
        return httpx2.Client(**more)
    verify = more.pop("verify", True)
    transport = EgressTransport(policy, what=what, verify=verify)
    return httpx2.Client(transport=transport, trust_env=False, **more)
