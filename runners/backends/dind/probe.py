"""The escape probe: known ways out of a container, tried for real in a fresh runner.

``tasks doctor`` and the tests start a runner, run ``probe.sh`` as root in it
and in a container of its engine, and read the verdicts. A single accepted one
means that the level does not hold on this machine.
"""

from __future__ import annotations

import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runners.backends.base import SandboxRequest
from runners.backends.dind import levels, outer, pump
from runners.backends.dind.config import DindConfig
from runners.backends.dind.engine_api import EngineApi
from runners.backends.dind.runner import Runner
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError, SystemFault

METADATA = "169.254.169.254:80"
_SCRIPT = (Path(__file__).parent / "probe.sh").read_text
_MOST = 1 << 20
_IMAGE = "probe:1"
# What the script uses, taken out of the runner with the libraries it needs.
_PROGRAMS = "sh cat rm mkdir mktemp mknod dd find grep mount umount timeout bash perl"  # one a word
_PACK = f"""
set -e
for name in {_PROGRAMS}; do
  path=$(command -v $name); echo "$path"
  ldd "$path" 2>/dev/null | grep -o '/[^ ]*' || true
done | sed -E 's#^/(bin|sbin|lib|lib64)/#/usr/\\1/#' | sort -u | tar -c -h -f - -T - 2>/dev/null
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was tried.

    Attributes:
        where: ``runner`` or ``nested``.
        name: Which way out.
        refused: True as it should be.
        detail: What was touched.
    """

    where: str
    name: str
    refused: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What a fresh runner told.

    Attributes:
        verdicts: Everything that was tried, in the runner and nested.
        timings: Seconds each part of the start took.
        engine: Version of the engine inside.
        buildkit: Version of the builder inside, empty if it does not tell.
    """

    verdicts: tuple[Verdict, ...]
    timings: dict[str, float]
    engine: str
    buildkit: str

    @property
    def accepted(self) -> tuple[Verdict, ...]:
        """The ways out that are open."""
        return tuple(verdict for verdict in self.verdicts if not verdict.refused)


def examine(
    config: DindConfig, cancel: Cancellation, addresses: tuple[str, ...] = ()
) -> Examination:
    """Start a runner, try everything in it, destroy it.

    Args:
        config: How the runner is started; its level is what is tried.
        cancel: Ends the examination early.
        addresses: Further ``address:port`` that must not answer.

    Raises:
        Denied: the level can't be had here.
        Unavailable, SystemFault: the runner did not start, or the probe did
            not run to its end.
    """
    found = outer.describe(config.address)
    chosen = levels.level(config.level)
    outer.require(found, chosen)
    runner = Runner(config, found, chosen)
    try:
        runner.boot(SandboxRequest("probe"))
        runner.await_engine(cancel)
        with _listener_beside(found.api, runner) as beside:
            targets = " ".join((METADATA, *beside, *addresses))
            arguments = ["probe", "runner", targets]
            said = execute(found.api, runner.container, ["bash", "-c", _SCRIPT(), *arguments])
            verdicts = parse("runner", said)
            verdicts += parse("nested", _nested(found.api, runner, targets))
        version = str(runner.engine.get("/version")["Version"])
        return Examination(tuple(verdicts), runner.timings, version, _buildkit(runner))
    finally:
        runner.destroy()


def _buildkit(runner: Runner) -> str:
    from runners.clients.buildkit.client import BuildKitClient
    from runners.clients.buildkit.transport import EngineTransport

    with suppress(RunnerError), BuildKitClient(EngineTransport(runner.dialer)) as client:
        version = client.version()
        # Distributions build it without its version.
        return "" if version.startswith("v0.0.0") else version
    return ""


def execute(api: EngineApi, container: str, command: list[str], limit: int = _MOST) -> bytes:
    """Run a program in a container and return what it prints, cut at ``limit`` bytes."""
    made = api.post(
        f"/containers/{container}/exec",
        {"AttachStdout": True, "AttachStderr": True, "Cmd": command},
    )
    return _collect(api.hijack(f"/exec/{made['Id']}/start", {"Detach": False}), limit)


def parse(where: str, said: bytes) -> list[Verdict]:
    """Read the script's lines.

    Raises:
        SystemFault: it did not run to its end.
    """
    verdicts = []
    for line in said.decode(errors="replace").splitlines():
        name, bar, rest = line.partition("|")
        verdict, _, detail = rest.partition("|")
        if bar and verdict in ("refused", "accepted"):
            verdicts.append(Verdict(where, name, verdict == "refused", detail))
    if not verdicts or verdicts.pop().name != "end":
        raise SystemFault(
            f"the escape probe did not run to its end in the {where}",
            detail=said[-2000:].decode(errors="replace"),
        )
    return verdicts


def _nested(api: EngineApi, runner: Runner, targets: str) -> bytes:
    engine = runner.engine
    root = execute(api, runner.container, ["bash", "-c", _PACK], 256 << 20)
    _import(engine, root)
    body = {
        "Image": _IMAGE,
        "Cmd": ["/bin/sh", "-c", _SCRIPT(), "probe", "nested", targets],
        "AttachStdout": True,
        "AttachStderr": True,
    }
    container = engine.post("/containers/create", body)["Id"]
    stream = engine.hijack(f"/containers/{container}/attach?stream=1&stdout=1&stderr=1")
    engine.post(f"/containers/{container}/start")
    return _collect(stream, _MOST)


def _import(engine: EngineApi, root: bytes) -> None:
    buffer = io.BytesIO(root)
    # The programs were packed with their links resolved; they look for these
    # directories by their short names.
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for link in ("bin", "sbin", "lib", "lib64"):
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{link}"
            tar.addfile(entry)
        for name in ("tmp", "proc", "sys", "dev", "run"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    name, _, tag = _IMAGE.partition(":")
    query = {"fromSrc": "-", "repo": name, "tag": tag}
    headers = {"Content-Type": "application/x-tar"}
    for _ in engine.stream("/images/create", buffer.getvalue(), query, headers):
        pass


def _collect(stream: socket.socket, limit: int) -> bytes:
    said = bytearray()
    with stream:
        stream.settimeout(120)
        for number, data in pump.frames(stream):
            if number == 1 and len(said) < limit:
                said += data
    return bytes(said)


@contextmanager
def _listener_beside(api: EngineApi, runner: Runner) -> Iterator[list[str]]:
    """Yield an address of this machine that listens on the runner's own bridge."""
    configuration = api.get(f"/networks/{runner.name}")["IPAM"]["Config"]
    gateway = str(configuration[0].get("Gateway") or "")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((gateway, 0))
        listener.listen(8)
    except OSError:
        # Not our machine's bridge: then there is nothing to be reached on it.
        listener.close()
        yield []
        return
    thread = threading.Thread(target=_greet, args=(listener,), daemon=True)
    thread.start()
    try:
        yield [f"{gateway}:{listener.getsockname()[1]}"]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _greet(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.close()
