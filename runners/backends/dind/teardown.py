"""Removing the parts of a runner, whoever made them: used by close and by sweep.

Every function is idempotent and never raises: one part that can't be removed
must not keep the next.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from runners.backends.dind import cgroups, disk
from runners.backends.dind.engine_api import EngineApi, InConflict, NotFound
from runners.model.errors import RunnerError

_PATIENCE_S = 30


def remove_container(api: EngineApi, container: str) -> bool:
    """Kill and remove a container with its nameless volumes; return if it is gone."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            api.delete(f"/containers/{container}", {"force": True, "v": True}, timeout_s=20)
        except InConflict:
            # It removes itself at its end already; that is awaited below.
            pass
        except RunnerError:
            thaw_container(api, container)
        if not _exists(api, f"/containers/{container}/json"):
            return True
        time.sleep(0.01)
    return False


def thaw_container(api: EngineApi, container: str) -> None:
    """Wake all processes of a container, however deep they were paused."""
    with suppress(RunnerError, KeyError, TypeError):
        state = api.get(f"/containers/{container}/json")
        found = cgroups.directories(int(state["State"]["Pid"] or 0), state["Id"])
        cgroups.thaw(found)


def remove_network(api: EngineApi, network: str) -> None:
    """Remove a network; one that is still in use is tried for a while."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            api.delete(f"/networks/{network}")
        except RunnerError:
            time.sleep(0.05)
        else:
            return


def remove_run_directory(directory: Path) -> None:
    """Unmount and remove a run's disk and directory."""
    disk.remove(disk.Disk(directory))
    shutil.rmtree(directory, ignore_errors=True)


def _exists(api: EngineApi, path: str) -> bool:
    try:
        api.get(path)
    except NotFound:
        return False
    except RunnerError:
        return True
    return True
