"""A real registry (CNCF Distribution) on a free loopback port.

The port is remembered: references that a demo printed stay right after the
next one. Storage lies below the stack's state and goes with ``make down``.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import time
from pathlib import Path

from runners.model.errors import Unavailable
from tasks_service.devstack import processes
from tasks_service.devstack.layout import Layout, load, save

NAME = "registry"
_START_TIMEOUT_S = 20


def program() -> str | None:
    """Return the path of the registry's program, or None."""
    return shutil.which("docker-registry") or shutil.which("registry")


def running(where: Layout, name: str = NAME) -> str | None:
    """Return ``host:port`` of the stack's registry if it answers, else None."""
    port = load(where.state / "ports.json").get(name)
    if port is None or processes.find(name, where.run) is None:
        return None
    return f"127.0.0.1:{port}" if _answers(port) else None


def start(where: Layout, name: str = NAME, *, tells: tuple[str, str] | None = None) -> str:
    """Start a registry unless it runs; return its ``host:port``.

    Args:
        where: The stack.
        name: Which of the stack's registries.
        tells: Where it tells of pushes, and the token for that.

    Raises:
        Unavailable: its program is missing, or it does not answer.
    """
    address = running(where, name)
    if address is not None:
        return address
    processes.stop(name, where.run)
    argv0 = program()
    if argv0 is None:
        raise Unavailable(
            "the program docker-registry is missing", hint="apt-get install docker-registry"
        )
    port = free_port(where, name)
    config = where.state / name / "config.yml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.touch(mode=0o600)
    config.write_text(_config(where.state / name / "storage", port, tells))
    log = where.logs / f"{name}.log"
    processes.start(name, [argv0, "serve", str(config)], run=where.run, log=log)
    _wait(where, name, port, log)
    return f"127.0.0.1:{port}"


def stop(where: Layout) -> bool:
    """Stop the registry; tell whether it ran. Its storage stays."""
    return processes.stop(NAME, where.run)


def free_port(where: Layout, name: str) -> int:
    """Return the port ``name`` had last time if it is free, else a new one."""
    path = where.state / "ports.json"
    ports = load(path)
    port = ports.get(name)
    if port is None or not _bindable(port):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        save(path, {**ports, name: port})
    return int(port)


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of an earlier one may still linger.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _config(storage: Path, port: int, tells: tuple[str, str] | None = None) -> str:
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if tells is not None:
        url, token = tells
        endpoint = {
            "name": "tasks",
            "url": url,
            "headers": {"Authorization": [f"Bearer {token}"]},
            "timeout": "2s",
            "threshold": 10,
            "backoff": "1s",
            "ignore": {"actions": ["pull", "mount"]},
        }
        config["notifications"] = {"endpoints": [endpoint]}
    # JSON is YAML, and quotes whatever the paths hold.
    return json.dumps(config, indent=2)


def _wait(where: Layout, name: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(port):
        ended = processes.find(name, where.run) is None
        if ended or time.monotonic() > deadline:
            what = "ended at once" if ended else f"did not answer in {_START_TIMEOUT_S} s"
            raise Unavailable(
                f"the registry {what}", hint=f"its log: {log}", detail=processes.tail(log)
            )
        time.sleep(0.05)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
