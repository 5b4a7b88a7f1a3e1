"""Volumes of secret files, in memory and bytes exact; trees copied into volumes.

Plan volumes and directories in, filled volumes out. Used by
clients/docker_sandbox.py and backends/local.py.

A volume on tmpfs lives only while a container has it mounted, and an engine
that belongs to one run has no image to make a container of. So a holder is
made of an image of our own: one static program of a few bytes that waits.
"""

from __future__ import annotations

import io
import posixpath
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from urllib3.exceptions import HTTPError

from runners.clients.docker_containers import Names
from runners.clients.docker_reaper import remove_container
from runners.clients.docker_sdk import EngineClient, EngineError, translated
from runners.model.errors import InvalidInput, SystemFault
from runners.model.plan import Volume

HOLDER_IMAGE = "tasks-holder:1"
_MOUNT = "/v"
_SECRET_BYTES = 64 << 20
# pause(2) for ever: `mov eax,34; syscall; jmp 0` and `mov x8,#73 (ppoll on nothing); …`.
_CODE = {
    "amd64": (62, bytes.fromhex("b8220000000f05ebf7")),
    "arm64": (
        183,
        # movz x0..x4 = 0; movz x8 = 73 (ppoll); svc 0; b to the start.
        struct.pack(
            "<8I",
            0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004,
            0xD2800928, 0xD4000001, 0x17FFFFF9,
        ),
    ),
}  # fmt: skip


class Volumes:
    """Makes and fills volumes on one engine. Thread-safe."""

    def __init__(self, client: EngineClient, names: Names) -> None:
        self._client = client
        self._names = names
        self._lock = threading.Lock()
        self._holders: dict[str, str] = {}

    @property
    def known(self) -> frozenset[str]:
        """Plan names of the volumes made so far."""
        return frozenset(self._holders)

    def create_secret(self, volume: Volume) -> None:
        """Create the volume on tmpfs with exactly the given files. Idempotent."""
        with self._lock:
            if volume.name in self._holders:
                return
            name = self._names.of(volume.name)
            options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={_SECRET_BYTES},mode=755"}
            self.create(name, options)
            holder = self._holder(name)
            self._holders[volume.name] = holder
            self._client.call(
                "POST", f"/containers/{holder}/start", f"making volume '{volume.name}'"
            )
            self._put(holder, _files_tar(volume.files))

    def create(self, name: str, options: Mapping[str, str] | None = None) -> None:
        """Create a volume by its name on the engine."""
        self._client.call(
            "POST",
            "/volumes/create",
            f"creating volume '{name}'",
            body={
                "Name": name,
                "Driver": "local",
                "DriverOpts": dict(options or {}),
                "Labels": self._names.labels,
            },
        )

    def fill(self, name: str, source: Path) -> None:
        """Copy the contents of the directory ``source`` into the volume ``name``."""
        holder = self._holder(name)
        try:
            self._put(holder, _tree_tar(source))
        finally:
            remove_container(self._client, holder)

    def archive(self, name: str, path: str) -> BinaryIO:
        """Return a tar stream of the directory ``path`` of the volume; close it.

        Raises:
            InvalidInput: there is no such directory.
        """
        holder = self._holder(name)
        try:
            with translated(f"reading {path or 'the root'} of volume '{name}'"):
                response = self._client.open_stream(
                    "GET",
                    f"/containers/{holder}/archive",
                    params={"path": posixpath.join(_MOUNT, path, ".")},
                )
        except EngineError as error:
            remove_container(self._client, holder)
            if error.status not in (400, 404):
                raise
            raise InvalidInput(
                f"there is no directory {path!r} in the workspace",
                hint="paths are relative to the step's workingDirectory; is it in the source?",
            ) from error
        return _Archive(response, lambda: remove_container(self._client, holder))

    def mountpoint(self, name: str) -> Path:
        """Return where the engine keeps the volume, on its own machine."""
        answer = self._client.call("GET", f"/volumes/{quote(name)}", "looking at a volume")
        return Path(str((answer or {}).get("Mountpoint", "")))

    def _holder(self, volume: str) -> str:
        body = {
            "Image": HOLDER_IMAGE,
            "Cmd": ["/hold"],
            "Labels": self._names.labels,
            "HostConfig": {
                "NetworkMode": "none",
                "ReadonlyRootfs": False,
                "CapDrop": ["ALL"],
                "LogConfig": {"Type": "none", "Config": {}},
                "Mounts": [{"Type": "volume", "Source": volume, "Target": _MOUNT}],
            },
        }
        doing = "making the container that holds a volume"
        try:
            answer = self._client.call("POST", "/containers/create", doing, body=body)
        except EngineError as error:
            if error.status != 404:
                raise
            self._import_holder_image()
            answer = self._client.call("POST", "/containers/create", doing, body=body)
        container = str((answer or {}).get("Id", ""))
        if not container.isalnum():
            raise SystemFault("the engine gave no container to hold a volume")
        return container

    def _import_holder_image(self) -> None:
        architecture = str((self._client.call("GET", "/version", "asking") or {}).get("Arch"))
        if architecture not in _CODE:
            raise SystemFault(
                f"volumes of secret files do not work on {architecture!r} engines yet"
            )
        name, _, tag = HOLDER_IMAGE.partition(":")
        with translated("importing the image that holds volumes"):
            response = self._client.open_stream(
                "POST",
                "/images/create",
                params={"fromSrc": "-", "repo": name, "tag": tag},
                headers={"Content-Type": "application/x-tar"},
                data=_tar_of({"hold": waiting_program(architecture)}, 0o755),
            )
            try:
                # The answer ends when the image is there.
                while response.raw.read(65536):
                    pass
            finally:
                response.close()

    def _put(self, container: str, data: Any) -> None:
        with translated("writing files into a volume"):
            response = self._client.open_stream(
                "PUT", f"/containers/{container}/archive", params={"path": _MOUNT}, data=data
            )
            response.close()


class _Archive(io.BufferedReader):
    """The body of an answer as a file; whatever breaks it is an OSError."""

    def __init__(self, response: Any, on_close: Callable[[], None]) -> None:
        super().__init__(_Body(response), 1 << 18)
        self._response = response
        self._on_close = on_close

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._response.close()
            self._on_close()


class _Body(io.RawIOBase):
    def __init__(self, response: Any) -> None:
        self._response = response

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data: bytes = self._response.raw.read(len(buffer))
        except (HTTPError, ValueError) as error:
            raise OSError(f"the archive breaks off: {error}") from error
        buffer[: len(data)] = data
        return len(data)


def waiting_program(architecture: str) -> bytes:
    """Return a static ELF program that does nothing, for ever."""
    machine, code = _CODE[architecture]
    base, offset = 0x400000, 64 + 56
    header = struct.pack(
        "<4sBBBBB7xHHIQQQIHHHHHH",
        b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, base + offset, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    size = offset + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code


def _files_tar(files: Mapping[str, bytes]) -> bytes:
    return _tar_of(files, 0o444)


def _tar_of(files: Mapping[str, bytes], mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


class _Chunks(io.RawIOBase):
    """A file to write to whose pieces are taken out again."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def take(self) -> Iterator[bytes]:
        pieces, self.pieces = self.pieces, []
        yield from pieces


def _tree_tar(source: Path) -> Iterator[bytes]:
    """Yield a tar of the directory, owners left out, without holding it in memory."""
    sink = _Chunks()
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(source.rglob("*")):
            entry = tar.gettarinfo(path, path.relative_to(source).as_posix())
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)
            yield from sink.take()
    yield from sink.take()
