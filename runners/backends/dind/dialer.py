"""Ways to a fresh connection with the engine inside a runner (threat A10).

The engine's socket lies in a file system that hostile code may own. Nothing
of it is shared with the host, and no path in it is ever followed by name:

* ``ProcRootDialer``, as root on the same machine, opens the socket beneath
  the runner's root without following any link, and then asks the kernel who
  is at the other end;
* ``ExecDialer`` asks the outer engine to start a relay inside the runner.

Both are thread-safe callables that return a connected socket, or raise OSError.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

from runners.backends.dind import pump
from runners.backends.dind.engine_api import EngineApi
from runners.backends.dind.syscalls import STRICT, openat2
from runners.model.errors import RunnerError

SOCKET = "run/docker.sock"
RELAY = ("socat", "-t", "3600", "STDIO", f"UNIX-CONNECT:/{SOCKET}")


class NotTheRunner(ConnectionError):
    """What stands at the socket's place is not the runner's engine."""


class ProcRootDialer:
    """Dials a Unix socket beneath the root of a container on this machine.

    Args:
        pid: First process of the container.
        container: Its id; the listener must be in its control group.
        ids: The range of user ids the container is mapped to.
        path: The socket, relative to the container's root.
    """

    def __init__(self, pid: int, container: str, ids: range, path: str = SOCKET) -> None:
        self._container = container
        self._ids = ids
        self._path = path
        # Held open: once the process is gone this answers nothing, whoever
        # gets its number next.
        self._proc = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __call__(self) -> socket.socket:
        """Return a connection to the engine.

        Raises:
            NotTheRunner: a link, a file of another kind, or a listener that
                is not of this container.
            OSError: nothing listens there.
        """
        entry = self._open()
        try:
            found = os.fstat(entry)
            if not stat.S_ISSOCK(found.st_mode):
                raise NotTheRunner(f"/{self._path} in the runner is not a socket")
            if found.st_uid not in self._ids:
                raise NotTheRunner(f"/{self._path} in the runner belongs to {found.st_uid}")
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # Names the very inode that was checked, not a path.
                sock.connect(f"/proc/self/fd/{entry}")
                self._check_peer(sock)
            except BaseException:
                sock.close()
                raise
            return sock
        finally:
            os.close(entry)

    def root(self) -> int:
        """Return a descriptor of the container's root directory, to be closed by the caller."""
        return os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._proc)

    def namespace(self, kind: str) -> int:
        """Return a descriptor of one of its namespaces, to be closed by the caller."""
        return os.open(f"ns/{kind}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)

    def close(self) -> None:
        """Let go of the process. Idempotent."""
        if self._proc >= 0:
            os.close(self._proc)
            self._proc = -1

    def _open(self) -> int:
        root = self.root()
        try:
            return openat2(root, self._path, os.O_PATH | os.O_NOFOLLOW, resolve=STRICT)
        except OSError as exc:
            if exc.errno in (40, 18):  # ELOOP, EXDEV: a link stands in the way
                raise NotTheRunner(f"/{self._path} in the runner is a link") from exc
            raise
        finally:
            os.close(root)

    def _check_peer(self, sock: socket.socket) -> None:
        # Credentials of whoever called listen(), kept by the kernel.
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", raw)
        if uid not in self._ids:
            raise NotTheRunner(f"the listener at /{self._path} runs as {uid}, outside the runner")
        try:
            groups = Path(f"/proc/{pid}/cgroup").read_text()
        except OSError as exc:
            raise NotTheRunner(f"the listener at /{self._path} is gone") from exc
        if self._container not in groups:
            raise NotTheRunner(f"the listener at /{self._path} is not in the runner")


class ExecDialer:
    """Dials through a relay that the outer engine starts inside the container.

    For engines on another machine and for users who are not root. Slower: each
    connection costs a process in the runner.
    """

    def __init__(self, outer: EngineApi, container: str) -> None:
        self._outer = outer
        self._container = container

    def __call__(self) -> socket.socket:
        """Return one end of a socket pair whose other end the relay serves."""
        try:
            made = self._outer.post(
                f"/containers/{self._container}/exec",
                {
                    "AttachStdin": True,
                    "AttachStdout": True,
                    "AttachStderr": True,
                    "Cmd": list(RELAY),
                },
            )
            stream = self._outer.hijack(f"/exec/{made['Id']}/start", {"Detach": False})
        except RunnerError as exc:
            raise ConnectionError(exc.message) from exc
        ours, theirs = socket.socketpair()
        pump.start_demultiplexed(theirs, stream)
        return ours

    def close(self) -> None:
        """Hold nothing, let nothing go."""
