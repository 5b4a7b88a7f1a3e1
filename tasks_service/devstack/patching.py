"""The end of ``make demo``: a base image moves, and all that stands on it is rebuilt.

Starts the service, and a registry that tells it of pushes; stores the four
tasks of ``examples/patching`` and runs each once; pushes a new base image and
shows the wave that follows. Both processes end with the demo.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runners.model.errors import SystemFault, Unavailable
from runners.model.status import RunStatus
from tasks_service.client.address import Server
from tasks_service.client.answers import JSON
from tasks_service.client.service import ServiceClient
from tasks_service.devstack import (
    containers,
    demo,
    engines,
    processes,
    progress,
    registry,
    small_image,
)
from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.stack import DEMO_REGISTRY, DEMO_SERVICE, Stack

REPOSITORY = "patching.git"
TASKS = ("lib", "shop", "news", "portal")
"""In an order in which each can be built."""
_EVENTS = "/api/v1/events/registry"
_START_S = 60
_WAVE_S = 150
_SETTINGS = {
    # The stack's Git server is on this machine.
    "TASKSD_ALLOW_HOSTS": "127.0.0.1",
    # Nobody else pushes here: there is nothing to wait for.
    "TASKSD_BASE_DEBOUNCE": "1",
}


@dataclass(frozen=True, slots=True)
class Patching:
    """The running parts.

    Attributes:
        registry: ``host:port``; it tells the service of every push.
        client: Of the service.
        environment: What makes ``tasks`` ask it.
    """

    stack: Stack
    registry: str
    client: ServiceClient
    environment: Mapping[str, str]

    def tasks(self, *words: str, show: bool = True) -> str:
        """Run ``tasks`` against the service and return what it prints.

        Raises:
            Unavailable: It ends badly.
        """
        if show:
            sys.stderr.write(f"$ tasks {' '.join(words)}\n")
        done = subprocess.run(
            [demo.tasks_program(self.stack), *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"`tasks {words[0]}` failed", detail=done.stderr[-2000:])
        return done.stdout

    def image(self, name: str) -> str:
        """Return an image's reference."""
        return f"{self.registry}/demo/{name}:1"


def run(stack: Stack) -> int:
    """Show it on a stack that is up; return the exit code.

    Raises:
        RunnerError: a part of it failed, with what to do.
    """
    sys.stderr.write("\nImages that patch themselves\n\n")
    with _parts(stack) as parts:
        _push_base(parts, "1")
        _first_builds(parts)
        sys.stderr.write("\n")
        sys.stdout.write(parts.tasks("graph") + "\n")
        _save(parts, "graph.svg", "graph", "-o", "svg")
        sys.stdout.write(parts.tasks("impact", parts.image("base")) + "\n")
        sys.stdout.flush()
        pushed = time.time()
        _push_base(parts, "2")
        wave = _follow(parts, pushed)
        runs = _check(parts, wave)
        _prove(parts, runs["portal"])
        sys.stdout.write("\n" + parts.tasks("waves", "show", str(wave["number"])) + "\n")
        sys.stdout.write(parts.tasks("why", parts.image("portal")) + "\n")
        took = max(_moment(run["finishTime"]) for run in runs.values()) - pushed
        sys.stdout.write(f"From the push of the base to the last image: {took:.1f} s\n")
        sys.stdout.flush()
    return 0


@contextmanager
def _parts(stack: Stack) -> Iterator[Patching]:
    where = stack.where
    folder = where.state / DEMO_SERVICE
    stop(stack)
    # Tasks and waves of an earlier demo are of no use: its registry is empty now.
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(where.state / DEMO_REGISTRY, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    url = f"http://127.0.0.1:{registry.free_port(where, DEMO_SERVICE)}"
    address = f"127.0.0.1:{registry.free_port(where, DEMO_REGISTRY)}"
    try:
        with progress.step("The service (tasks up)"):
            token = _start_service(stack, folder, url, address)
        environment = {"TASKS_SERVER": url, "TASKS_TOKEN": token}
        with ServiceClient(Server(url, token)) as client:
            parts = Patching(stack, address, client, environment)
            with progress.step("A registry that tells it of every push"):
                teller = parts.tasks("token", "create", "registry", "--role", "runner", show=False)
                registry.start(where, DEMO_REGISTRY, tells=(f"{url}{_EVENTS}", teller.strip()))
            yield parts
    finally:
        with progress.step("The end of both"):
            stop(stack)


def stop(stack: Stack) -> None:
    """Stop both processes, if they run. Idempotent."""
    for name in (DEMO_SERVICE, DEMO_REGISTRY):
        processes.stop(name, stack.where.run)


def _start_service(stack: Stack, folder: Path, url: str, address: str) -> str:
    """Start the service and return its first token."""
    where, file = stack.where, folder / "admin-token"
    words = [
        demo.tasks_program(stack),
        "up",
        f"--state-dir={folder}",
        f"--listen={url.removeprefix('http://')}",
        f"--registry={address}",
        f"--runner-state-dir={where.state}",
        f"--admin-token-file={file}",
    ]
    log = where.logs / f"{DEMO_SERVICE}.log"
    log.unlink(missing_ok=True)
    processes.start(DEMO_SERVICE, words, run=where.run, log=log, environment=_SETTINGS)
    deadline = time.monotonic() + _START_S
    while "Serving" not in log.read_text(errors="replace"):
        if processes.find(DEMO_SERVICE, where.run) is None or time.monotonic() > deadline:
            raise Unavailable(
                "the service did not start", hint=f"its log: {log}", detail=processes.tail(log)
            )
        time.sleep(0.05)
    return file.read_text().strip()


def _push_base(parts: Patching, release: str) -> None:
    with progress.step(f"Push of {parts.image('base')}, release {release}"):
        program = shutil.which("busybox")
        if program is None:
            raise Unavailable("busybox is missing", hint="apt-get install busybox-static")
        files = {"etc/base-release": f"base release {release}\n"}
        small_image.push_busybox(Path(program), parts.registry, "demo/base", "1", files=files)


def _first_builds(parts: Patching) -> None:
    stack = parts.stack
    source = stack.where.checkout / "examples" / "patching"
    publish(source, stack.git_root / REPOSITORY)
    for name in TASKS:
        place = f"{stack.git_url}{REPOSITORY}#main:{name}"
        words = ["create", "-n", name, "-c", place, "-f", "Dockerfile", "-t", f"demo/{name}:1"]
        parts.tasks(*words, "--build-arg", f"REGISTRY={parts.registry}")
    for names in (("lib",), ("shop", "news"), ("portal",)):
        runs = [parts.tasks("run", "-n", name, "--no-wait").strip() for name in names]
        with progress.step(f"First run of {' and '.join(names)}"):
            for run in runs:
                _await_run(parts, run)


def _await_run(parts: Patching, run: str) -> None:
    deadline = time.monotonic() + _WAVE_S
    while not (found := parts.client.run(run)).status.finished:
        if time.monotonic() > deadline:
            raise Unavailable(f"run {run} takes too long", hint=_log_hint(parts))
        time.sleep(0.2)
    if found.status is not RunStatus.SUCCEEDED:
        raise SystemFault(f"run {run} ended as {found.status}", hint=_log_hint(parts))


def _follow(parts: Patching, pushed: float) -> JSON:
    """Show the wave until it ends, and return it."""
    deadline = time.monotonic() + _WAVE_S
    shown: dict[str, str] = {}
    drawn = False
    with progress.step("A wave of rebuilds") as step:
        while True:
            wave = next(iter(parts.client.waves(1)), None)
            members = wave["members"] if wave else []
            for member in members:
                if shown.get(member["task"]) != member["status"]:
                    shown[member["task"]] = member["status"]
                    progress.note(_told(member, time.time() - pushed))
            step.update(", ".join(f"{task} {status}" for task, status in shown.items()))
            if wave and not drawn and {"Built", "Running", "Waiting"} <= set(shown.values()):
                _save(parts, "wave.svg", "waves", "show", str(wave["number"]), "-o", "svg")
                drawn = True
            if wave is not None and wave["finishTime"]:
                return wave
            if time.monotonic() > deadline:
                raise Unavailable("the wave does not end", hint=_log_hint(parts))
            time.sleep(0.1)


def _told(member: JSON, since_s: float) -> str:
    after = f" (after {', '.join(member['parents'])})" if member["parents"] else ""
    return f"{since_s:5.1f} s  {member['task']:7} {member['status']}{after}"


def _check(parts: Patching, wave: JSON) -> dict[str, JSON]:
    """Return the wave's runs by task, if each ran once, in order, on what was new.

    Raises:
        SystemFault: That is not so.
    """
    members = {member["task"]: member for member in wave["members"]}
    statuses = {task: member["status"] for task, member in members.items()}
    if statuses != dict.fromkeys(TASKS, "Built"):
        raise SystemFault(f"the wave ended with {statuses}", hint=_log_hint(parts))
    runs = {task: parts.client.run(member["run"]).body for task, member in members.items()}
    for task, member in members.items():
        for parent in member["parents"]:
            if runs[parent]["finishTime"] > runs[task]["createTime"]:
                raise SystemFault(f"{task} was started before {parent} was done")
    count = len(list(parts.client.runs({}, limit=100)))
    if count != 2 * len(TASKS):
        raise SystemFault(f"{count} runs, expected a first one and a second of each task")
    return runs


def _prove(parts: Patching, run: JSON) -> None:
    image = run["outputImages"][0]
    pinned = f"{image['reference'].rpartition(':')[0]}@{image['digest']}"
    with progress.step("Run the last image in the outer engine") as shown:
        engines.pull(parts.stack.outer, pinned, shown)
        output = containers.output_of(parts.stack.outer, pinned, [])
    sys.stdout.write(f"\n{output}")
    wanted = "shop on base release 2\nnews on base release 2\n"
    if output != wanted:
        raise SystemFault(f"the last image says {output!r}, not {wanted!r}")


def _save(parts: Patching, name: str, *words: str) -> None:
    path = parts.stack.where.state / name
    path.write_text(parts.tasks(*words, show=False))
    progress.note(f"drawn: {path.name} in .tasks")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _log_hint(parts: Patching) -> str:
    return f"the service's log: {parts.stack.where.logs / DEMO_SERVICE}.log"
