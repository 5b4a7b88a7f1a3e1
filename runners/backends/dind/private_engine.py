"""An engine of our own for runners, beside whatever engine the machine has.

Started where the engine at hand lacks user-namespace remapping and we are
root. It has its own data root, sockets, bridge, address range and containerd;
nothing of the user's engine is read or changed. Called by the dev stack, by
``outer`` and by ``tasks doctor``.

Everything is found again by its place: a start after ``kill -9`` finds either
the running engine or its leftovers. A file lock makes two starts at once
safe.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runners.backends.base import silent
from runners.backends.dind import bridge, firewall, places, subids
from runners.backends.dind.engine_api import EngineApi, unix_dial
from runners.backends.dind.owner import process_start
from runners.backends.dind.programs import environment
from runners.model.errors import Denied, Unavailable

Notice = Callable[[str, str], None]

_START_S = 60
_STOP_S = 20


@dataclass(frozen=True, slots=True)
class PrivateEngine:
    """Where the parts of the engine of one state directory are."""

    state_dir: Path

    @property
    def data(self) -> Path:
        """Images, containers and volumes."""
        return places.data_root(self.state_dir) / "engine" / "data"

    @property
    def run(self) -> Path:
        """Sockets and the process id."""
        return places.run_root(self.state_dir) / "engine"

    @property
    def socket(self) -> Path:
        """The API's socket."""
        return self.run / "docker.sock"

    @property
    def address(self) -> str:
        """What ``DOCKER_HOST`` would be."""
        return f"unix://{self.socket}"

    @property
    def pid_file(self) -> Path:
        """Where dockerd writes its process id."""
        return self.run / "docker.pid"

    @property
    def log(self) -> Path:
        """What dockerd and its containerd say."""
        return places.data_root(self.state_dir) / "engine" / "log"

    @property
    def bridge(self) -> str:
        """The default bridge's interface name."""
        return "tsb" + places.identity(self.state_dir)[:4]

    def pid(self) -> int | None:
        """Return the process id of the running dockerd, or None.

        A number left by a dead engine may belong to any process by now, so
        only one that was started with our pid file counts.
        """
        with suppress(OSError, ValueError):
            pid = int(self.pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if os.fsencode(f"--pidfile={self.pid_file}") in words and process_start(pid):
                return pid
        return None

    def api(self) -> EngineApi:
        """Return a client of this engine."""
        return EngineApi(unix_dial(str(self.socket)), "the runners' engine")

    def tail(self, lines: int = 15) -> str:
        """Return the end of the log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def bridge_prefix(state_dir: Path) -> str:
    """Return how the names of all bridges of this state's runners begin."""
    return "tsk" + places.identity(state_dir)[:4]


def chain_name(state_dir: Path) -> str:
    """Return the name of this state's packet filter chain."""
    return "TASKS-" + places.identity(state_dir).upper()


def status(state_dir: Path) -> PrivateEngine | None:
    """Return the engine of this state if it runs and answers, else None."""
    engine = PrivateEngine(state_dir)
    if engine.pid() is not None and engine.api().ping():
        return engine
    return None


def start(state_dir: Path, *, notice: Notice = silent) -> PrivateEngine:
    """Start the engine, or find it running. Idempotent.

    Args:
        state_dir: Where its state goes; when user-namespaced processes can't
            pass through it, /var/lib/tasks-service and /run/tasks-service.
        notice: Told what happens.

    Raises:
        Denied: not root, or no dockerd here.
        Unavailable: it did not come up; the end of its log is in the detail.
    """
    if os.geteuid() != 0:
        raise Denied(
            "a private engine for runners needs root",
            hint="run as root, or give dockerd `userns-remap` and point DOCKER_HOST at it",
        )
    if shutil.which("dockerd") is None:
        raise Denied(
            "there is no dockerd on this machine",
            hint="install Docker Engine (Debian: apt-get install docker.io)",
        )
    engine = PrivateEngine(state_dir)
    for path in (engine.run, engine.data):
        places.make(path)
    with _locked(engine):
        if engine.pid() is not None and _answers(engine, 10):
            return engine
        notice("info", "starting a private engine for runners (user namespaces on)")
        _prepare(engine)
        try:
            _launch(engine)
        except BaseException:
            # A half started engine would look like ours to the next start.
            _halt(engine)
            raise
    return engine


def stop(state_dir: Path, *, notice: Notice = silent) -> bool:
    """Stop the engine and remove all it had, images included. Idempotent.

    Returns:
        False if there was nothing to stop.
    """
    engine = PrivateEngine(state_dir)
    if not engine.run.exists() and not engine.data.exists():
        return False
    places.make(engine.run)
    with _locked(engine):
        notice("info", "stopping the private engine for runners")
        _halt(engine)
        _unmount_below(places.data_root(state_dir))
        firewall.remove(chain_name(state_dir), bridge_prefix(state_dir))
        for name in (path.name for path in Path("/sys/class/net").iterdir()):
            if name == engine.bridge or name.startswith(bridge_prefix(state_dir)):
                bridge.remove(name)
        shutil.rmtree(engine.data.parent, ignore_errors=True)
        shutil.rmtree(engine.run, ignore_errors=True)
    return True


def _prepare(engine: PrivateEngine) -> None:
    pid = engine.pid()
    if pid is not None:
        _halt(engine)
    for leftover in (engine.pid_file, engine.socket):
        leftover.unlink(missing_ok=True)
    _unmount_below(engine.data)
    shutil.rmtree(engine.run / "exec", ignore_errors=True)
    # An engine with address pools of its own that finds its old default network
    # here removes the interface `docker0`, whoever's it is (moby's
    # removeDefaultBridgeInterface). Networks of runs don't outlive their runs.
    for networks in _network_stores(engine.data):
        networks.unlink(missing_ok=True)


def _network_stores(data: Path) -> list[Path]:
    # Beside the data itself, and below the folder of a remapped user.
    name = Path("network", "files", "local-kv.db")
    return [path for path in (data / name, *data.glob(f"*/{name}")) if path.exists()]


def _launch(engine: PrivateEngine) -> None:
    user = subids.ensure_user()
    mtu = bridge.uplink_mtu()
    # One left by an engine that was killed would keep its range from us.
    bridge.remove(engine.bridge)
    pool = bridge.free_pool()
    bridge.make(engine.bridge, str(pool[1]), 24, mtu)
    firewall.install(chain_name(engine.state_dir), bridge_prefix(engine.state_dir))
    # An empty one of its own, or it would read the user's engine's settings.
    config = engine.run / "daemon.json"
    config.write_text("{}\n")
    words = [
        "dockerd",
        f"--pidfile={engine.pid_file}",
        f"--userns-remap={user}",
        f"--data-root={engine.data}",
        f"--exec-root={engine.run / 'exec'}",
        f"--host={engine.address}",
        f"--bridge={engine.bridge}",
        f"--mtu={mtu}",
        f"--default-address-pool=base={pool},size=26",
        f"--config-file={config}",
        "--icc=false",
        "--userland-proxy=false",
        "--log-level=warn",
    ]
    with engine.log.open("ab") as log:
        # `--fork` makes it a child of init: it outlives us, and when it ends
        # nobody has to remember to reap it.
        subprocess.run(
            ["setsid", "--fork", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment(),
            check=True,
        )
    if not _answers(engine, _START_S):
        raise Unavailable(
            "the private engine for runners did not start",
            hint=f"its log is {engine.log}",
            detail=engine.tail(),
        )


def _answers(engine: PrivateEngine, seconds: float) -> bool:
    api = engine.api()
    deadline = time.monotonic() + seconds
    began = time.monotonic()
    while time.monotonic() < deadline:
        if api.ping(timeout_s=5):
            return True
        # It needs a moment to write its pid file; after that, no process means
        # that it gave up.
        if time.monotonic() - began > 5 and engine.pid() is None:
            return False
        time.sleep(0.02)
    return False


def _halt(engine: PrivateEngine) -> None:
    pid = engine.pid()
    if pid is None:
        return
    for number, patience in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if process_start(pid) is None:
                return
            time.sleep(0.02)


def _unmount_below(root: Path) -> None:
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if Path(point).is_relative_to(root):
            points.append(point)
    for point in reversed(points):
        subprocess.run(["umount", "-l", point], capture_output=True, env=environment(), check=False)


@contextmanager
def _locked(engine: PrivateEngine) -> Iterator[None]:
    # Beside the directory, which `stop` removes while it holds the lock.
    with engine.run.with_name("engine.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
