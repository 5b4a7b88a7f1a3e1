"""The engines of the stack: found if the machine has one, started if not.

Two roles, often one engine: the *outer* one is where a person pulls and runs
the demo's image; *runners* live in one that remaps users, so that root in a
runner is nobody outside. The user's engine is never reconfigured or stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners.backends.dind import private_engine
from runners.backends.dind.engine_api import EngineApi, unix_dial
from runners.model.errors import Denied, RunnerError, Unavailable
from tasks_service.devstack import progress
from tasks_service.devstack.layout import Layout

DEFAULT_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Engine:
    """One Docker Engine on this machine.

    Attributes:
        address: As ``DOCKER_HOST`` would name it.
        ours: True if the stack started it and will remove it.
    """

    address: str
    ours: bool

    @property
    def api(self) -> EngineApi:
        """A client of it."""
        return EngineApi(unix_dial(self.address.removeprefix("unix://")), "the engine")


def users_engine() -> Engine | None:
    """Return the engine that DOCKER_HOST names, or the usual one; None without.

    Raises:
        Denied: DOCKER_HOST names an engine that the demo can't use.
    """
    named = os.environ.get("DOCKER_HOST", "")
    if named and not named.startswith("unix://"):
        raise Denied(
            f"DOCKER_HOST={named} is an engine behind a network",
            hint="the registry here listens on this machine only: unset DOCKER_HOST, "
            "or name a Unix socket (unix:///…)",
        )
    engine = Engine(named or f"unix://{DEFAULT_SOCKET}", ours=False)
    if engine.api.ping():
        return engine
    if named:
        progress.warn(f"DOCKER_HOST={named} does not answer; an engine of our own is used")
    return None


def remaps_users(engine: Engine) -> bool:
    """Tell whether root in the engine's containers is nobody outside."""
    options = engine.api.get("/info").get("SecurityOptions") or []
    return any("userns" in option for option in options)


def runners_engine(where: Layout, outer: Engine | None) -> Engine:
    """Return an engine that remaps users, starting one of our own if need be.

    Raises:
        Denied: there is none and we may not start one.
        Unavailable: ours did not come up.
    """
    if outer is not None and remaps_users(outer):
        return outer
    return Engine(private_engine.start(where.state, notice=notice).address, ours=True)


def load_tar(engine: Engine, tar: Path, repository: str, tag: str) -> None:
    """Make an image of a root file system; its old holder of the tag loses it.

    Raises:
        Unavailable: the engine refused it.
    """
    query = {"fromSrc": "-", "repo": repository, "tag": tag}
    with tar.open("rb") as file:
        lines = engine.api.stream(
            "/images/create", file, query, {"Content-Type": "application/x-tar"}
        )
        _follow(lines, f"importing {repository}:{tag}")


def pull(engine: Engine, reference: str, shown: progress.Step | None = None) -> None:
    """Pull ``repository:tag`` or ``repository@digest``.

    Raises:
        Unavailable: it can't be had.
    """
    name, _, digest = reference.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    query = {"fromImage": repository, "tag": digest or tag}
    lines = engine.api.stream("/images/create", b"", query, {})
    _follow(lines, f"pulling {reference}", shown)


def push_as(engine: Engine, source: str, target: str) -> None:
    """Tag ``source`` as ``target`` and push it, without a login.

    Raises:
        Unavailable: the registry did not take it.
    """
    repository, _, tag = target.rpartition(":")
    engine.api.post(f"/images/{source}/tag", query={"repo": repository, "tag": tag})
    # The engine wants a login; this one is the empty object.
    lines = engine.api.stream(
        f"/images/{repository}/push", b"", {"tag": tag}, {"X-Registry-Auth": "e30="}
    )
    _follow(lines, f"pushing {target}")


def digests(engine: Engine, reference: str) -> dict[str, str]:
    """Return the digests an image is known by, by repository; empty without image."""
    try:
        found: dict[str, Any] = engine.api.get(f"/images/{reference}/json")
    except RunnerError:
        return {}
    pairs = (entry.partition("@") for entry in found.get("RepoDigests") or [])
    return {repository: digest for repository, _, digest in pairs}


def remove_images(engine: Engine, prefixes: tuple[str, ...]) -> None:
    """Remove the images whose names begin with one of ``prefixes``, where unused."""
    for image in engine.api.get("/images/json"):
        names = [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]
        for name in names:
            if name.startswith(prefixes):
                # In use by a container that is not ours, or gone with an earlier name.
                with suppress(RunnerError):
                    engine.api.delete(f"/images/{name}")


def notice(level: str, text: str) -> None:
    """Show what a part of the runners says."""
    (progress.note if level == "info" else progress.warn)(text)


def _follow(
    lines: Iterator[dict[str, Any]], doing: str, shown: progress.Step | None = None
) -> None:
    for line in lines:
        if "error" in line:
            raise Unavailable(f"{doing} failed: {line['error']}")
        if shown is not None and line.get("status"):
            shown.update(f"{line['status']} {line.get('progress', '')}")
