"""Owners of runs on a shared engine, and removal of what dead ones left.

Labels of this process out; an engine's leftovers in, nothing of them left.
Used by backends/local.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runners.clients.docker_containers import RUN_LABEL
from runners.clients.docker_reaper import remove_container
from runners.clients.docker_sdk import EngineClient
from runners.model.errors import SystemFault

OWNER_LABEL = "tasks.owner"


def owner_labels() -> dict[str, str]:
    """Return the labels that tell whose things are: this process's."""
    return {OWNER_LABEL: _identity(os.getpid())}


def remove_run(client: EngineClient, run_id: str) -> None:
    """Remove everything labelled with the run. Never raises."""
    _remove(client, f"{RUN_LABEL}={run_id}")


def remove_dead_runs(client: EngineClient) -> int:
    """Remove what runs of dead processes left and return how many runs there were.

    Things of other machines' processes count as alive.
    """
    dead: set[str] = set()
    for labels in _labels(client):
        owner, run_id = labels.get(OWNER_LABEL, ""), labels.get(RUN_LABEL, "")
        if run_id and owner and not _alive(owner):
            dead.add(run_id)
    for run_id in dead:
        remove_run(client, run_id)
    return len(dead)


def _labels(client: EngineClient) -> Iterator[dict[str, str]]:
    doing = "looking for leftovers"
    params = {"all": "1", "filters": _filter(OWNER_LABEL)}
    for container in client.call("GET", "/containers/json", doing, params=params) or []:
        yield dict(container.get("Labels") or {})
    params.pop("all")
    for network in client.call("GET", "/networks", doing, params=params) or []:
        yield dict(network.get("Labels") or {})
    volumes = client.call("GET", "/volumes", doing, params=params) or {}
    for volume in volumes.get("Volumes") or []:
        yield dict(volume.get("Labels") or {})


def _remove(client: EngineClient, label: str) -> None:
    doing = "removing leftovers"
    params = {"all": "1", "filters": _filter(label)}

    def listed(path: str) -> Any:
        with suppress(SystemFault):
            return client.call("GET", path, doing, params=params)
        return None

    def delete(path: str) -> None:
        with suppress(SystemFault):
            client.call("DELETE", path, doing)

    for container in listed("/containers/json") or []:
        remove_container(client, str(container.get("Id")))
    del params["all"]
    for network in listed("/networks") or []:
        delete(f"/networks/{quote(str(network.get('Id')))}")
    for volume in (listed("/volumes") or {}).get("Volumes") or []:
        delete(f"/volumes/{quote(str(volume.get('Name')))}?force=1")


def _filter(label: str) -> str:
    return json.dumps({"label": [label]})


def _identity(pid: int) -> str:
    """Return what tells this process from every other: machine's boot, number, start."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{pid}:{_started(pid)}"


def _started(pid: int) -> str:
    # The name in parentheses may itself hold blanks and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _alive(owner: str) -> bool:
    boot, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if boot != here or not pid.isdigit():
        return True
    try:
        return _started(int(pid)) == started
    except OSError:
        return False
