"""Tie a Git location to the addresses that were checked (N3).

In: a checked GitLocation and the policy. Out: the part of the request that
makes Git and ssh connect there and nowhere else. Redirects are not followed
by any of our fetches, so one check is all there is to make.
"""

from __future__ import annotations

from tasks_service.egress.addresses import parse_address
from tasks_service.egress.policy import PORTS, EgressPolicy, Target
from tasks_service.sources.confine import Request
from tasks_service.sources.location import GitLocation


def pin(location: GitLocation, policy: EgressPolicy | None) -> Request:
    """Return ``resolve`` (http) or ``ssh_options``; nothing without a policy.

    ``resolve`` is empty for a host that is an address.

    Raises:
        Denied, InvalidInput, Unavailable: See ``EgressPolicy.check``.
    """
    if policy is None:
        return {}
    target = policy.check(_url(location), what="source")
    if location.scheme == "ssh":
        return {"ssh_options": _ssh_options(target)}
    # An address that is written out needs no resolver.
    return {"resolve": "" if parse_address(target.host) else target.curl_resolve}


def _url(location: GitLocation) -> str:
    # ``user@host:path`` is no URL; only its host is looked at.
    return location.url if "://" in location.url else f"ssh://{location.host}/"


def _ssh_options(target: Target) -> list[str]:
    # The key is looked up under the name that the user gave, as without us.
    usual = target.port == PORTS["ssh"]
    alias = target.host if usual else f"[{target.host}]:{target.port}"
    return [
        f"HostName={target.addresses[0]}",
        f"HostKeyAlias={alias}",
        "CheckHostIP=no",
        "ProxyCommand=none",
    ]
