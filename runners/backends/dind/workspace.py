"""Bringing a run's source into its runner: a tar stream in, files of the disk out.

The stream is unpacked by a process inside the runner, so whatever the source
holds (links, odd names) can only ever lie inside. Called by ``DindBackend``
while the engine in the runner starts.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from runners.backends.dind import levels, pump
from runners.backends.dind.engine_api import EngineApi
from runners.backends.dind.programs import environment
from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, SystemFault, Unavailable

_UNPACK = ("tar", "-x", "-f", "-", "-b", "128", "--no-same-owner", "-p", "-C", levels.WORKSPACE)
_PACK = ("tar", "-c", "-b", "128", "--owner=0", "--group=0", "--numeric-owner", "-f", "-", "-C")
# What a hostile `tar` prints is cut.
_MOST_SAID = 4096


def upload(outer: EngineApi, container: str, source: Path, cancel: Cancellation) -> None:
    """Copy all below ``source`` into the runner's workspace.

    Files belong to root there; modes, times and links are kept; sockets are
    left out. What changes meanwhile arrives in one of its states.

    Raises:
        InvalidInput: a file of the source can't be read.
        SystemFault: the runner could not take it, for example a full disk.
        RunnerError: the reason of ``cancel``.
    """
    if shutil.which("tar") is None:
        raise Unavailable("there is no `tar` on this machine", hint="install the package tar")
    made = outer.post(
        f"/containers/{container}/exec",
        {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": list(_UNPACK)},
    )
    stream = outer.hijack(f"/exec/{made['Id']}/start", {"Detach": False})
    forget = cancel.on_cancel(lambda: _shut(stream))
    try:
        _pack(source, stream, cancel)
        said = b""
        for _, data in pump.frames(stream):
            said = (said + data)[:_MOST_SAID]
    finally:
        forget()
        stream.close()
    cancel.check()
    if _exit_code(outer, made["Id"]) != 0:
        raise SystemFault(
            "the source could not be copied into the runner",
            hint="is the run's disk large enough? see --disk",
            detail=said.decode(errors="replace"),
        )


def _exit_code(outer: EngineApi, execution: str) -> int | None:
    # The stream may end a moment before the engine has noticed the exit.
    for _ in range(500):
        state = outer.get(f"/exec/{execution}/json")
        if not state.get("Running"):
            break
        time.sleep(0.01)
    code = state.get("ExitCode")
    return None if code is None else int(code)


def _pack(source: Path, stream: socket.socket, cancel: Cancellation) -> None:
    # tar writes into the socket itself: no byte passes through us.
    packing = subprocess.Popen(
        [*_PACK, str(source), "."],
        stdin=subprocess.DEVNULL,
        stdout=stream.fileno(),
        stderr=subprocess.PIPE,
        env=environment(),
    )
    forget = cancel.on_cancel(packing.kill)
    try:
        _, errors = packing.communicate()
    finally:
        forget()
        packing.kill()
        packing.wait()
    cancel.check()
    with suppress(OSError):
        stream.shutdown(socket.SHUT_WR)
    # 1: a file changed while it was read. A broken pipe is told by the other side.
    if packing.returncode == 2:
        text = errors.decode(errors="replace")
        raise InvalidInput(
            f"the source {source} can't be read", detail="\n".join(text.splitlines()[-10:])
        )


def _shut(stream: socket.socket) -> None:
    with suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
