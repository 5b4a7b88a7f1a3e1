"""Results that come to us: archives into a file, ``type=local`` into a directory.

The daemon's FileSend call in, files out; called by session handlers that
attach.py registers. One method carries two kinds of payload: plain bytes for
archives, file packets for a directory. Which one it is, only the requested
output tells.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Protocol

from runners.clients.buildkit._pb import fsutil_pb2, session_pb2
from runners.clients.buildkit.contextfs import (
    MODE_DEVICE,
    MODE_DIR,
    MODE_PIPE,
    MODE_SETGID,
    MODE_SETUID,
    MODE_STICKY,
    MODE_SYMLINK,
    MODE_TYPE,
)
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.options import Output
from runners.clients.buildkit.rpc import UNKNOWN, RpcFailure, frame
from runners.model.errors import InvalidInput, SystemFault

_PACKET = fsutil_pb2.Packet
_FIN = frame(_PACKET(type=_PACKET.PACKET_FIN).SerializeToString())
_ARCHIVES = ("tar", "oci", "docker")
_GRACE_S = 60.0


class Receiver(Protocol):
    """Takes the result of one build."""

    def diff_copy(self, stream: ServerStream) -> None:
        """Serve ``FileSend/DiffCopy``."""
        ...

    def check(self) -> None:
        """Wait for the last bytes; raise SystemFault if nothing whole arrived."""
        ...

    def close(self) -> None:
        """Remove what is unfinished. Idempotent."""
        ...


def receiver_for(output: Output) -> Receiver | None:
    """Return the receiver an output needs, None where nothing comes to us.

    Raises:
        InvalidInput: no destination, or one that cannot be written.
    """
    if output.type in _ARCHIVES:
        return ArchiveReceiver(_destination(output))
    if output.type == "local":
        return DirectoryReceiver(_destination(output))
    return None


def _destination(output: Output) -> Path:
    if not output.destination:
        raise InvalidInput(
            f"The output type={output.type} needs a destination.", hint="Add dest=PATH."
        )
    return Path(output.destination)


class ArchiveReceiver:
    """Writes an archive beside its destination and moves it there when it is whole."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self._partial = destination.with_name(f"{destination.name}.partial")
        self._ended = threading.Event()
        self._done = False
        try:
            self._partial.touch()
        except OSError as error:
            raise InvalidInput(f"Cannot write {destination}: {error.strerror}.") from error

    def diff_copy(self, stream: ServerStream) -> None:
        """See Receiver."""
        try:
            with self._partial.open("wb") as file:
                while (messages := stream.receive()) is not None:
                    for message in messages:
                        file.write(session_pb2.BytesMessage.FromString(message).data)
            self._partial.replace(self._destination)
        except OSError as error:
            raise RpcFailure(UNKNOWN, f"cannot write {self._destination}: {error}") from error
        else:
            self._done = True
        finally:
            self._ended.set()

    def check(self) -> None:
        """See Receiver."""
        self._ended.wait(_GRACE_S)
        if not self._done:
            raise SystemFault(f"The engine sent no whole archive for {self._destination}.")

    def close(self) -> None:
        """See Receiver."""
        self._partial.unlink(missing_ok=True)


class DirectoryReceiver:
    """Writes files below a directory; nothing outside of it, whatever the names say."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self._ended = threading.Event()
        self._done = False
        try:
            destination.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"Cannot write to {destination}: {error.strerror}.") from error

    def diff_copy(self, stream: ServerStream) -> None:
        """See Receiver."""
        root = os.open(self._destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _Directory(stream, root).run()
        except OSError as error:
            raise RpcFailure(UNKNOWN, f"cannot write the result: {error}") from error
        else:
            self._done = True
        finally:
            os.close(root)
            self._ended.set()

    def check(self) -> None:
        """See Receiver."""
        self._ended.wait(_GRACE_S)
        if not self._done:
            raise SystemFault(f"The engine sent no whole result for {self._destination}.")

    def close(self) -> None:
        """See Receiver."""


class _Directory:
    def __init__(self, stream: ServerStream, root: int) -> None:
        self._stream = stream
        self._root = root
        self._count = 0
        self._files: dict[int, tuple[int, fsutil_pb2.Stat]] = {}
        self._stats: list[fsutil_pb2.Stat] = []
        self._listed = False

    def run(self) -> None:
        finished = False
        while not finished:
            messages = self._stream.receive()
            if messages is None:
                raise RpcFailure(UNKNOWN, "the result ended early")
            for message in messages:
                finished |= self._packet(_PACKET.FromString(message))
            if self._listed and not self._files and not finished:
                self._listed = False
                self._stream.send(_FIN)
        # Directories last: what is written into them changes their times.
        for info in reversed(self._stats):
            self._finish_directory(info)

    def _packet(self, packet: fsutil_pb2.Packet) -> bool:
        if packet.type == _PACKET.PACKET_STAT:
            if packet.HasField("stat"):
                self._entry(packet.stat)
            else:
                self._listed = True
        elif packet.type == _PACKET.PACKET_DATA:
            self._data(packet)
        elif packet.type == _PACKET.PACKET_ERR:
            raise RpcFailure(UNKNOWN, packet.data.decode("utf-8", "replace"))
        return packet.type == _PACKET.PACKET_FIN

    def _entry(self, info: fsutil_pb2.Stat) -> None:
        number = self._count
        self._count += 1
        parent, name = self._parent(info.path)
        try:
            self._remove(parent, name, keep_directory=bool(info.mode & MODE_DIR))
            if info.mode & MODE_DIR:
                if not _exists(parent, name):
                    os.mkdir(name, 0o700, dir_fd=parent)
                self._stats.append(info)
            elif info.mode & MODE_SYMLINK:
                os.symlink(info.linkname, name, dir_fd=parent)
            elif info.linkname:
                self._hard_link(info, parent, name)
            elif info.mode & MODE_PIPE:
                os.mkfifo(name, info.mode & 0o777, dir_fd=parent)
            elif not info.mode & (MODE_TYPE | MODE_DEVICE):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
                self._files[number] = (os.open(name, flags, 0o600, dir_fd=parent), info)
                self._close_after_request(number)
        finally:
            os.close(parent)

    def _close_after_request(self, number: int) -> None:
        request = _PACKET(type=_PACKET.PACKET_REQ, ID=number)
        self._stream.send_message(request.SerializeToString())

    def _hard_link(self, info: fsutil_pb2.Stat, parent: int, name: bytes) -> None:
        source, source_name = self._parent(info.linkname)
        try:
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _data(self, packet: fsutil_pb2.Packet) -> None:
        descriptor, info = self._files[packet.ID]
        if packet.data:
            data = memoryview(packet.data)
            while data:
                data = data[os.write(descriptor, data) :]
            return
        del self._files[packet.ID]
        os.fchmod(descriptor, _posix_permissions(info.mode))
        os.utime(descriptor, ns=(info.modTime, info.modTime))
        os.close(descriptor)

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """Open the directory that holds ``path``, following no link on the way."""
        parts = path.split(b"/")
        if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
            raise RpcFailure(UNKNOWN, f"the engine sent a path outside: {path!r}")
        current = os.dup(self._root)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        for part in parts[:-1]:
            try:
                following = os.open(part, flags, dir_fd=current)
            finally:
                os.close(current)
            current = following
        return current, parts[-1]

    def _remove(self, parent: int, name: bytes, *, keep_directory: bool) -> None:
        try:
            found = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
        elif not keep_directory:
            shutil.rmtree(name, dir_fd=parent)

    def _finish_directory(self, info: fsutil_pb2.Stat) -> None:
        parent, name = self._parent(info.path)
        try:
            os.chmod(name, _posix_permissions(info.mode), dir_fd=parent)
            os.utime(name, ns=(info.modTime, info.modTime), dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)


def _exists(parent: int, name: bytes) -> bool:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return False
    return True


def _posix_permissions(mode: int) -> int:
    permissions = mode & 0o777
    for go, posix in (
        (MODE_SETUID, stat.S_ISUID),
        (MODE_SETGID, stat.S_ISGID),
        (MODE_STICKY, stat.S_ISVTX),
    ):
        if mode & go:
            permissions |= posix
    return permissions
