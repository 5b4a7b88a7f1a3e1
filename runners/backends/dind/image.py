"""The runner image, made of ``runners/image/`` and a Debian base.

Called by the dev stack when it sets up a machine; ``DindBackend`` only names
the result. The tag tells the content: the same files on the same base are
never built twice.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import tarfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runners.backends.base import silent
from runners.backends.dind.bridge import uplink_mtu
from runners.backends.dind.engine_api import EngineApi, NotFound
from runners.backends.dind.owner import PREFIX
from runners.model.errors import RunnerError, Unavailable

REPOSITORY = "tasks-service/runner"
_FOLDER = Path(__file__).parents[2] / "image"
_FILES = ("Dockerfile", "entry")
_TAIL = 20
_OWNER = PREFIX + "image-of"
# Git and the engine's client print colours and progress into the log.
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")


def reference(api: EngineApi, base: str, owner: str, *, target: str = "runner") -> str:
    """Return the reference that an installation's image on ``base`` has, built or not.

    Raises:
        Unavailable: the engine has no such base image.
    """
    try:
        base_id = str(api.get(f"/images/{base}/json")["Id"])
    except NotFound as exc:
        raise Unavailable(f"the runner image's base {base!r} is not in the engine") from exc
    # Installations that share an engine have an image each, so that one can
    # remove its own; the engine keeps their layers once.
    digest = hashlib.sha256(f"{base_id}\0{target}\0{owner}\0".encode())
    for name in _FILES:
        digest.update((_FOLDER / name).read_bytes() + b"\0")
    return f"{_repository(target)}:{digest.hexdigest()[:16]}"


def build_runner_image(
    api: EngineApi,
    base: str,
    owner: str,
    apt_files: Mapping[str, bytes] | None = None,
    notice: Callable[[str, str], None] = silent,
    *,
    target: str = "runner",
) -> str:
    """Build the runner image in an engine unless it is there; return its reference.

    Args:
        api: The outer engine.
        base: Reference of a Debian image in it.
        owner: The installation, such as its state folder.
        apt_files: Files to lay over ``/etc/apt`` of the base, by relative
            path, for machines that reach their packages in their own way.
        notice: Told every line of progress.
        target: ``runner``, or ``bench`` with the command-line client in it.

    Raises:
        Unavailable: the base is missing, or a build step failed; the last
            lines are in the detail.
    """
    name = reference(api, base, owner, target=target)
    if _present(api, name):
        return name
    network = f"tasks-build-{secrets.token_hex(4)}"
    options = {"com.docker.network.driver.mtu": str(uplink_mtu())}
    api.post(
        "/networks/create",
        {"Name": network, "Options": options, "Labels": {PREFIX + "build": "1"}},
    )
    try:
        labels = {PREFIX + "image": target, _OWNER: owner}
        _build(api, name, base, target, network, _context(apt_files or {}), labels, notice)
    finally:
        api.delete(f"/networks/{network}")
    _remove_older(api, name, target, owner)
    return name


def _build(
    api: EngineApi,
    name: str,
    base: str,
    target: str,
    network: str,
    context: bytes,
    labels: Mapping[str, str],
    notice: Callable[[str, str], None],
) -> None:
    query = {
        "t": name,
        "target": target,
        "networkmode": network,
        "buildargs": {"BASE": base},
        "rm": True,
        "forcerm": True,
        "labels": dict(labels),
    }
    last: list[str] = []
    for line in api.stream("/build", context, query, {"Content-Type": "application/x-tar"}):
        text = _CONTROL.sub("", str(line.get("stream") or line.get("error") or "")).strip()
        if text:
            last = [*last[1 - _TAIL :], text]
            notice("info", text)
        if "error" in line:
            raise Unavailable(
                "the runner image can't be built",
                hint="its packages come from the machine's own sources: does apt-get work here?",
                detail="\n".join(last),
            )
    if not _present(api, name):
        raise Unavailable("the runner image can't be built: the engine stopped in the middle")


def _context(apt_files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder = tarfile.TarInfo("apt")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name in _FILES:
            mode = 0o755 if name == "entry" else 0o644
            _add(tar, name, (_FOLDER / name).read_bytes(), mode)
        for name, data in sorted(apt_files.items()):
            _add(tar, f"apt/{name}", data, 0o644)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def _remove_older(api: EngineApi, keep: str, target: str, owner: str) -> None:
    with suppress(RunnerError):
        labels = [f"{PREFIX}image={target}", f"{_OWNER}={owner}"]
        found: list[dict[str, Any]] = api.get("/images/json", {"filters": {"label": labels}})
        for image in found:
            for tag in image.get("RepoTags") or []:
                if tag != keep and tag.startswith(_repository(target) + ":"):
                    # In use, or the parent of another: then it stays.
                    with suppress(RunnerError):
                        api.delete(f"/images/{tag}")


def _repository(target: str) -> str:
    return REPOSITORY if target == "runner" else f"{REPOSITORY}-{target}"


def _present(api: EngineApi, name: str) -> bool:
    try:
        api.get(f"/images/{name}/json")
    except NotFound:
        return False
    return True
