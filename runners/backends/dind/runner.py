"""One runner: a container with an engine of its own, from nothing to nothing.

``DindBackend`` starts one per run and destroys it after. Every part is
labelled with its owner, so that ``sweep`` finds what a killed process left;
and the container itself hangs on a stream we hold, so it goes with us even
before that.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runners.backends.base import Limits, SandboxRequest
from runners.backends.dind import cgroups, disk, firewall, levels, places, pump
from runners.backends.dind.bridge import uplink_mtu
from runners.backends.dind.config import DindConfig
from runners.backends.dind.dialer import ExecDialer, NotTheRunner, ProcRootDialer
from runners.backends.dind.engine_api import EngineApi, NotFound
from runners.backends.dind.outer import Outer
from runners.backends.dind.owner import labels
from runners.backends.dind.syscalls import STRICT, openat2
from runners.backends.dind.teardown import remove_container, remove_network, remove_run_directory
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerLost, Unavailable

READY_S = 60
_TAIL = 16384


@dataclass(slots=True)
class Parts:
    """What exists of a runner so far; ``destroy`` removes exactly that."""

    name: str
    directory: Path | None = None
    disk: disk.Disk | None = None
    network: str | None = None
    container: str | None = None
    pid: int = 0
    cgroups: list[Path] = field(default_factory=list)


class Runner:
    """A live runner. Thread-safe; ``destroy`` may come at any time after ``boot`` ended."""

    def __init__(self, config: DindConfig, outer: Outer, chosen: levels.Level) -> None:
        self._config = config
        self._outer = outer
        self._level = chosen
        self._parts = Parts(f"{config.bridge_prefix}-{secrets.token_hex(4)}")
        self._lock = threading.Lock()
        self._gone = False
        self._stream: socket.socket | None = None
        self._said = b""
        self._rooted = threading.Event()
        self._ended = threading.Event()
        self._servers: list[str] = []
        self._dialer: ProcRootDialer | ExecDialer | None = None
        self.timings: dict[str, float] = {}
        """Seconds each part of the start took, by name, in order."""

    @property
    def name(self) -> str:
        """Name of the container and of its network."""
        return self._parts.name

    @property
    def level(self) -> str:
        """Name of its isolation level."""
        return self._level.name

    @property
    def container(self) -> str:
        """Id of the container."""
        if self._parts.container is None:
            raise RunnerLost("the runner has not been started")
        return self._parts.container

    @property
    def dialer(self) -> ProcRootDialer | ExecDialer:
        """The way to the engine inside."""
        if self._dialer is None:
            raise RunnerLost("the runner has not been started")
        return self._dialer

    @property
    def engine(self) -> EngineApi:
        """The engine inside."""
        return EngineApi(self.dialer, "the runner's engine")

    def boot(self, request: SandboxRequest) -> None:
        """Make network, disk and container and start it; its engine is not awaited.

        Raises:
            Unavailable, SystemFault: a part could not be made; what was made
                stays for ``destroy``.
        """
        began = time.monotonic()
        directory = self._parts.directory = self._make_directory(request.run_id)
        # The engine takes the name of a network before there is such a network,
        # so it is made beside the rest.
        with ThreadPoolExecutor(2) as pool:
            network = pool.submit(self._timed, "network", self._make_network, request)
            self._make_disk(request, directory)
            self._timed("create", self._create, request)
            network.result()
        self._timed("start", self._start)
        self.timings["booted"] = time.monotonic() - began

    def await_root(self, cancel: Cancellation) -> None:
        """Return once programs can be started in the runner.

        Raises:
            Unavailable: it ended, or did not come so far in time.
            RunnerError: the reason of ``cancel``.
        """
        forget = cancel.on_cancel(self._rooted.set)
        reached = self._rooted.wait(READY_S)
        forget()
        cancel.check()
        if not reached or self._ended.is_set():
            raise self._did_not_start()

    def await_engine(self, cancel: Cancellation) -> None:
        """Return once the engine inside answers.

        Raises:
            Unavailable: it ended, or did not answer in time.
            RunnerError: the reason of ``cancel``.
        """
        began = time.monotonic()
        engine = self.engine
        while time.monotonic() - began < READY_S:
            cancel.check()
            with suppress(NotTheRunner):
                if engine.ping(timeout_s=5):
                    self.timings["ready"] = time.monotonic() - began
                    return
            if self._ended.wait(0.01):
                break
        raise self._did_not_start()

    def current(self) -> bool:
        """Return whether it lives and was made as it would be made now."""
        return not (self._ended.is_set() or self._gone) and self._servers == firewall.nameservers()

    def answers(self, timeout_s: float) -> bool:
        """Return whether the engine inside answers. Never raises."""
        with suppress(NotTheRunner, RunnerLost):
            return self.engine.ping(timeout_s=timeout_s)
        return False

    def adopt(self, run_id: str, limits: Limits | None) -> None:
        """Make a runner that waited one of a run: its name, its limits (the disk's apart).

        Its packet filter is seen to: it may have gone while the runner waited.

        Raises:
            Unavailable, SystemFault: a part was refused.
        """
        self._close_networks()
        path = f"/containers/{self.container}"
        if limits is not None:
            self._outer.api.post(f"{path}/update", levels.bounds(limits))
        # For people; labels can't be changed any more.
        self._outer.api.post(f"{path}/rename", query={"name": f"{self.name}-{run_id}"})

    def _close_networks(self) -> None:
        if self._outer.beside:
            firewall.install(
                self._config.chain, self._config.bridge_prefix, self._config.allowed_networks
            )

    def _did_not_start(self) -> Unavailable:
        return Unavailable(
            "the engine of the runner did not start",
            hint="`tasks doctor` shows what this machine can do",
            detail=self.said(),
        )

    def said(self) -> str:
        """Return the end of what the runner's own programs printed."""
        return self._said.decode(errors="replace").strip()

    def explain(self) -> str:
        """Return which limits of the run were hit so far, in words, or nothing."""
        hit = cgroups.limits_hit(self._parts.cgroups)
        return f"the run reached its limit of {' and '.join(hit)}" if hit else ""

    def open_workspace(self) -> int:
        """Return a descriptor of the workspace's directory, to be closed by the caller.

        Raises:
            RunnerLost: it is not there any more, or a link was put in its place.
        """
        try:
            if self._parts.disk is not None:
                root = os.open(self._parts.disk.point, os.O_PATH | os.O_CLOEXEC)
                place = str(Path(levels.WORKSPACE).relative_to(levels.DISK))
            elif isinstance(self._dialer, ProcRootDialer):
                root, place = self._dialer.root(), levels.WORKSPACE
            else:
                raise RunnerLost("the runner's workspace is on another machine")
            try:
                # The directory itself may have been replaced by code of the run.
                flags = os.O_RDONLY | os.O_DIRECTORY
                return openat2(root, place, flags, resolve=STRICT)
            finally:
                os.close(root)
        except OSError as exc:
            raise RunnerLost(f"the runner's workspace can't be opened: {exc.strerror}") from exc

    def destroy(self) -> None:
        """Remove all parts. Idempotent; never raises; about a third of a second."""
        with self._lock:
            if self._gone:
                return
            self._gone = True
        parts = self._parts
        cgroups.thaw(parts.cgroups)
        # Before the kill: the mounts that end with the runner would all write
        # out what they hold.
        if parts.disk is not None:
            disk.forget(parts.disk)
        if self._stream is not None:
            with suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)
        if parts.container is not None:
            remove_container(self._outer.api, parts.container)
        if self._dialer is not None:
            self._dialer.close()
        with ThreadPoolExecutor(1) as pool:
            if parts.network is not None:
                pool.submit(remove_network, self._outer.api, parts.network)
            if parts.directory is not None:
                remove_run_directory(parts.directory)

    def _timed(self, name: str, work: Any, *args: Any) -> None:
        began = time.monotonic()
        work(*args)
        self.timings[name] = time.monotonic() - began

    def _make_directory(self, run_id: str) -> Path:
        path = places.make(self._config.runs) / self.name
        path.mkdir(mode=0o711)
        path.chmod(0o711)
        owner = labels(run_id, self._config.state_dir)
        (path / "owner.json").write_text(json.dumps(owner))
        return path

    def _make_disk(self, request: SandboxRequest, directory: Path) -> None:
        problem = disk.available() if self._outer.beside else "the engine is not ours to reach"
        if problem:
            request.notice("warning", f"this run's disk use is not limited: {problem}")
            return
        # Known before it is whole, so that half of it is removed, too.
        self._parts.disk = disk.Disk(directory)
        size = request.limits.disk_bytes
        self._timed("disk", disk.create, directory, size, self._outer.base)

    def _make_network(self, request: SandboxRequest) -> None:
        interface = self._config.bridge_prefix + self.name[-8:]
        self._close_networks()
        self._parts.network = self.name
        self._outer.api.post(
            "/networks/create",
            {
                "Name": self.name,
                "CheckDuplicate": True,
                "Driver": "bridge",
                "EnableIPv6": False,
                "Labels": labels(request.run_id, self._config.state_dir),
                "Options": {
                    "com.docker.network.bridge.name": interface,
                    "com.docker.network.bridge.enable_icc": "false",
                    "com.docker.network.driver.mtu": str(uplink_mtu()),
                },
            },
        )
        if self._outer.beside:
            # The kernel gives every interface a link-local address otherwise.
            with suppress(OSError):
                Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")

    def _create(self, request: SandboxRequest) -> None:
        host = levels.host_config(self._level, request.limits, self._outer.security)
        host |= {
            "AutoRemove": True,
            "NetworkMode": self.name,
            "Tmpfs": {"/run": "mode=755,size=64m"},
            "LogConfig": {"Type": "none"},
            "Mounts": [self._data_mount(request)],
        }
        self._servers = firewall.nameservers()
        body = {
            "Image": self._config.image,
            "Hostname": "runner",
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Env": [f"RUNNER_DNS={' '.join(self._servers)}"],
            "Labels": labels(request.run_id, self._config.state_dir),
            "HostConfig": host,
        }
        # By name first: if we are stopped before the answer, it is removed all the same.
        self._parts.container = self.name
        try:
            made = self._outer.api.post("/containers/create", body, {"name": self.name})
        except NotFound as exc:
            raise Unavailable(
                f"the runner can't be made: {exc.message}", hint="`tasks setup` builds its image"
            ) from exc
        self._parts.container = made["Id"]

    def _data_mount(self, request: SandboxRequest) -> dict[str, Any]:
        if self._parts.disk is not None:
            return {"Type": "bind", "Source": str(self._parts.disk.point), "Target": levels.DISK}
        # Nameless, so it goes with the container.
        return {
            "Type": "volume",
            "Target": levels.DISK,
            "VolumeOptions": {"Labels": labels(request.run_id, self._config.state_dir)},
        }

    def _start(self) -> None:
        api = self._outer.api
        path = f"/containers/{self.container}"
        self._stream = api.hijack(f"{path}/attach?stream=1&stdin=1&stdout=1&stderr=1")
        threading.Thread(
            target=self._listen, args=(self._stream,), name="runner", daemon=True
        ).start()
        api.post(f"{path}/start")
        if not self._outer.beside:
            self._dialer = ExecDialer(api, self.container)
            self._stream.sendall(b"go\n")
            return
        pid = int(api.get(f"{path}/json")["State"]["Pid"] or 0)
        try:
            base = self._outer.base[0]
            ids = range(base, base + 65536) if self._outer.remaps else range(1)
            self._dialer = ProcRootDialer(pid, self.container, ids)
            self._parts.cgroups = cgroups.directories(pid, self.container)
            if self._outer.remaps:
                cgroups.delegate(self._parts.cgroups, self._outer.base)
            self._stream.sendall(b"go\n")
        except OSError as exc:
            raise Unavailable("the runner ended right after its start", detail=self.said()) from exc

    def _listen(self, stream: socket.socket) -> None:
        with suppress(OSError):
            for number, data in pump.frames(stream):
                if number == 1:
                    self._rooted.set()
                else:
                    self._said = (self._said + data)[-_TAIL:]
        self._ended.set()
        self._rooted.set()
        stream.close()
