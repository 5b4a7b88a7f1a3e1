"""What the scheduler and the API both know of base images: digests, wishes, notifications.

In: the store, or the body of a registry's notification. Out: plain values.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

from tasks_service.cascades.graph import Graph
from tasks_service.model.cascade import Change, Member
from tasks_service.model.task import BASES_NONE, BASES_RUNTIME
from tasks_service.store import Store
from tasks_service.triggers.policies import Policies, Policy
from tasks_service.triggers.windows import Windows

KIND = "baseimage"
"""Kind of the cause of a wave's runs."""
_MAX_HINTS = 500
_MAX_NAME = 400
_RESTART_S = 60.0
_MAX_INSTANCES = 1000
_HISTORY = 200


def triggers(
    store: Store, graph: Graph, policies: Policies, *, soaking: Collection[str] = ()
) -> Callable[[str, str], bool]:
    """Return what tells whether a task is to be rebuilt because of a reference.

    Args:
        store: Knows what tasks wish.
        graph: Who stands on whom.
        policies: What an installation wishes.
        soaking: References whose new digest is too young.
    """
    why_not = objections(store, graph, policies)

    def wants(task: str, reference: str) -> bool:
        return reference not in soaking and not why_not(task, reference)

    return wants


def objections(store: Store, graph: Graph, policies: Policies) -> Callable[[str, str], str]:
    """Return what tells why a reference is no reason to rebuild a task; empty if it is one."""
    wishes = store.cascades.wishes()

    def why_not(task: str, reference: str) -> str:
        kind = wishes.get(task)
        if kind is None:
            return "the task is not stored any more"
        if kind == BASES_NONE:
            return "the task is disabled, or does not follow base images"
        edges = graph.edges_of.get(task, ())
        roles = frozenset(e.role for e in edges if e.reference == reference)
        if kind == BASES_RUNTIME and "runtime" not in roles:
            return "the task follows only the base of its final stage"
        if kind == BASES_RUNTIME:
            roles &= {"runtime"}
        policy = policies.of(task, reference)
        if policy.triggers(reference, roles):
            return ""
        used = ", ".join(sorted(roles))
        return f"policy {policy.name} does not take {reference} as {used}"

    return why_not


def delays(
    graph: Graph, reference: str, members: Iterable[Member], policies: Policies
) -> dict[str, str]:
    """Return what would have to wait if a reference moved now, and for what.

    Returns:
        By task, and by the reference where its new digest would have to soak.
    """
    found: dict[str, str] = {}
    now = datetime.now(UTC)
    policy = policies.of_image(reference)
    if policy.soak_s and reference not in graph.producer:
        found[reference] = f"a new digest soaks {policy.soak_s / 3600:g} h by policy {policy.name}"
    opens: dict[Policy, str] = {}
    moved = {reference}
    for member in members:
        edges = graph.edges_of.get(member.task, ())
        policy = policies.of(
            member.task, next((e.reference for e in edges if e.reference in moved), reference)
        )
        moved |= {output.reference for output in graph.outputs_of.get(member.task, ())}
        if policy not in opens:
            begins = Windows(policy.windows).opens(now) if policy.windows else now
            when = f"not before {begins:%Y-%m-%d %H:%M %Z}" if begins else "no window ever opens,"
            opens[policy] = "" if begins == now else f"{when} by policy {policy.name}"
        if opens[policy]:
            found[member.task] = opens[policy]
    return found


def soaking_until(
    store: Store, changes: Iterable[Change], graph: Graph, policies: Policies
) -> dict[str, float]:
    """Return when the newest digest of each changed reference may be used, where that is later.

    What is built here does not soak: it is made of what has. A digest that the
    reference had before may never be used (``inf``) where a policy holds downgrades.
    """
    until: dict[str, float] = {}
    first: dict[str, str] = {}
    for change in changes:
        name = change.reference
        if name in graph.producer:
            continue
        if change.new == first.setdefault(name, change.old):
            # It is again what it was before all of this: there is nothing to wait for.
            until.pop(name, None)
            continue
        policy = policies.of_image(name)
        if policy.soak_s:
            until[name] = max(until.get(name, 0.0), change.seen + policy.soak_s)
        if policy.holds_downgrades:
            if _had_before(store, change):
                until[name] = inf
            elif until.get(name) == inf:
                # It has moved on since.
                until[name] = change.seen + policy.soak_s
    return until


def _had_before(store: Store, change: Change) -> bool:
    before = store.cascades.changes_of(change.reference, limit=_HISTORY)
    return any(change.new in (one.old, one.new) for one in before if one.number < change.number)


def known_digests(store: Store, graph: Graph) -> dict[str, str]:
    """Return what references are; a task's own good run knows sooner than a poll."""
    watched = {watch.reference: watch for watch in store.cascades.watches()}
    found = {name: watch.digest for name, watch in watched.items()}
    times = store.cascades.output_times()
    for output in graph.outputs:
        watch = watched.get(output.reference)
        if watch is None or not output.digest or watch.digest == output.digest:
            continue
        ended = times.get(output.run_id)
        if ended is not None and ended >= (watch.changed or 0.0):
            found[output.reference] = output.digest
    return found


def hints_of(body: object) -> dict[str, str]:
    """Return what a registry's notification names: ``repository:tag`` → digest, or ``""``.

    Read are the shapes of Distribution, Harbor, Azure, GitHub, Docker Hub,
    Quay and ECR. What is none of them, is no push or names no tag is left
    out: a notification is never an error.
    """
    found: dict[str, str] = {}
    for name, tag, digest in _pushes(body):
        key = f"{name}:{tag}"
        if name and tag and len(key) <= _MAX_NAME and ":" not in tag and len(found) < _MAX_HINTS:
            found[key] = digest
    return found


class Restarts:
    """Notices that a registry's process began: what an earlier one had queued is lost.

    Thread-safe. Distribution names its process in every event. Says so once a
    minute at most, whatever is sent.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, None] = {}
        self._said = -_RESTART_S

    def seen(self, body: object) -> bool:
        """Return whether all should be asked for, because an event is of a new process."""
        with self._lock:
            new = [name for name in _instances(body) if name not in self._known]
            if not new or self._clock() - self._said < _RESTART_S:
                return False
            self._known |= dict.fromkeys(new)
            while len(self._known) > _MAX_INSTANCES:
                del self._known[next(iter(self._known))]
            self._said = self._clock()
            return True


def _instances(body: object) -> list[str]:
    events = body.get("events") if isinstance(body, Mapping) else None
    found = [
        _text(_map(event, "source"), "instanceID")[:_MAX_NAME]
        for event in (events if isinstance(events, list) else [])[:_MAX_HINTS]
        if isinstance(event, Mapping)
    ]
    return [name for name in dict.fromkeys(found) if name]


def _pushes(body: object) -> Iterator[tuple[str, str, str]]:
    if not isinstance(body, Mapping):
        return
    events = body.get("events")
    for event in events if isinstance(events, list) else [body]:
        if isinstance(event, Mapping):
            yield from _of_target(event)
    yield from _of_harbor(body)
    yield from _of_github(body)
    yield from _of_hub_and_quay(body)
    yield from _of_ecr(body)


def _of_target(event: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Distribution and Azure."""
    if event.get("action") == "push":
        target = _map(event, "target")
        yield _text(target, "repository"), _text(target, "tag"), _text(target, "digest")


def _of_harbor(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if body.get("type") not in ("PUSH_ARTIFACT", "harbor.artifact.pushed"):
        return
    data = _map(body, "event_data") or _map(body, "data")
    name = _text(_map(data, "repository"), "repo_full_name")
    resources = data.get("resources")
    for one in resources if isinstance(resources, list) else []:
        if isinstance(one, Mapping):
            yield name, _text(one, "tag"), _text(one, "digest")


def _of_github(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    package = _map(body, "package") or _map(body, "registry_package")
    version = _map(package, "package_version")
    tag = _map(_map(version, "container_metadata"), "tag")
    name = f"{_text(package, 'namespace')}/{_text(package, 'name')}".strip("/").lower()
    if tag:
        yield name, _text(tag, "name"), _text(tag, "digest")


def _of_hub_and_quay(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    tag = _text(_map(body, "push_data"), "tag")
    if tag:
        yield _text(_map(body, "repository"), "repo_name"), tag, ""
    tags = body.get("updated_tags")
    if isinstance(tags, list):
        name = _text(body, "docker_url").partition("/")[2]
        for one in tags[:_MAX_HINTS]:
            if isinstance(one, str):
                yield name, one, ""


def _of_ecr(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if body.get("detail-type") == "ECR Image Action":
        detail = _map(body, "detail")
        if detail.get("action-type") == "PUSH" and detail.get("result") == "SUCCESS":
            yield (
                _text(detail, "repository-name"),
                _text(detail, "image-tag"),
                _text(detail, "image-digest"),
            )


def _map(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
