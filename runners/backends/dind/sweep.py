"""Destroying what dead runs left: containers, networks, volumes, disks.

Only what carries this state directory's label and an owner that is known to
be gone is touched. Called before each run and by ``make down``.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from runners.backends.dind import owner, teardown
from runners.backends.dind.engine_api import EngineApi
from runners.model.errors import RunnerError


def sweep(api: EngineApi, runs: Path, state_dir: Path, *, everything: bool = False) -> int:
    """Destroy all that dead owners left and return how many runs that were.

    Args:
        api: The outer engine.
        runs: The directory of run directories.
        state_dir: Whose things are looked at.
        everything: Also take what has a living owner (the stack goes down).

    Raises:
        Unavailable: the engine does not answer.
    """
    mine = {"label": [f"{owner.STATE}={state_dir}"]}
    swept: set[str] = set()

    def dead(found: dict[str, Any]) -> bool:
        labels = found.get("Labels") or {}
        if not (everything or owner.is_dead(labels)):
            return False
        swept.add(str(labels.get(owner.RUN)))
        return True

    for container in filter(dead, api.get("/containers/json", {"all": True, "filters": mine})):
        teardown.thaw_container(api, container["Id"])
        teardown.remove_container(api, container["Id"])
    for network in filter(dead, api.get("/networks", {"filters": mine})):
        teardown.remove_network(api, network["Id"])
    volumes = api.get("/volumes", {"filters": mine}).get("Volumes") or []
    for volume in filter(dead, volumes):
        with suppress(RunnerError):
            api.delete(f"/volumes/{volume['Name']}", {"force": True})
    for directory in _directories(runs):
        labels = _labels(directory)
        if dead({"Labels": labels}) or (labels is None and _is_old(directory)):
            teardown.remove_run_directory(directory)
    return len(swept)


def _directories(runs: Path) -> list[Path]:
    try:
        return [path for path in runs.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _labels(directory: Path) -> dict[str, str] | None:
    try:
        labels = json.loads((directory / "owner.json").read_text())
    except (OSError, ValueError):
        return None
    return labels if isinstance(labels, dict) else None


def _is_old(directory: Path) -> bool:
    # Its maker marks it at once; without a mark after a minute, the maker was
    # killed in between, or a removal was.
    try:
        return time.time() - directory.stat().st_mtime > 60
    except FileNotFoundError:
        return False
