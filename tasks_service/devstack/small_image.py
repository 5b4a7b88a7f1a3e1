"""A small base image without an engine: BusyBox's program in, an image in a registry out.

The same program gives the same digest every time, so pushing it again
changes nothing. Used where Docker Hub can't be reached.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runners.model.errors import Unavailable

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_EPOCH = "1970-01-01T00:00:00Z"
_FOLDERS = {"bin": 0o755, "etc": 0o755, "home": 0o755, "root": 0o700, "tmp": 0o1777}
_MORE_FOLDERS = {"usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "sbin": 0o755, "var": 0o755}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def push_busybox(
    program: Path,
    registry: str,
    repository: str,
    tag: str,
    *,
    files: Mapping[str, str] | None = None,
) -> str:
    """Push an image of a static BusyBox with all its commands.

    Args:
        program: The statically linked ``busybox``, of this machine's
            architecture.
        registry: ``host:port`` that speaks plain HTTP.
        files: More files: path from the root, without a slash first → text.

    Returns:
        The digest the registry holds.

    Raises:
        Unavailable: the registry does not take it.
    """
    plain = _layer(program, files)
    # No time and no name in the header: the same bytes each time.
    packed = gzip.compress(plain, mtime=0)
    config = json.dumps(_config(plain), sort_keys=True).encode()
    manifest = json.dumps(_manifest(config, packed), sort_keys=True).encode()
    client = _Registry(registry, repository)
    for blob in (packed, config):
        client.put_blob(blob)
    client.put_manifest(tag, manifest)
    return _digest(manifest)


def _layer(program: Path, more: Mapping[str, str] | None = None) -> bytes:
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=False)
    commands = sorted(set(listed.stdout.split()) - {"busybox"})
    if listed.returncode != 0 or "sh" not in commands:
        raise Unavailable(
            f"{program} is no BusyBox that can be asked for its commands",
            hint="apt-get install --reinstall busybox-static",
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode in (_FOLDERS | _MORE_FOLDERS).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        texts = _texts(_FILES | dict(more or {}))
        for name, content in (("bin/busybox", program.read_bytes()), *texts):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for command in commands:
            entry = tarfile.TarInfo(f"bin/{command}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return buffer.getvalue()


def _texts(files: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in files.items()]


def _config(layer: bytes) -> dict[str, Any]:
    return {
        "architecture": _architecture(),
        "os": "linux",
        "created": _EPOCH,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created": _EPOCH, "created_by": "busybox-static"}],
    }


def _architecture() -> str:
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True)
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
    return names.get(machine.stdout.strip(), machine.stdout.strip())


def _manifest(config: bytes, layer: bytes) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(config), "digest": _digest(config)},
        "layers": [{"mediaType": _LAYER, "size": len(layer), "digest": _digest(layer)}],
    }


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class _Registry:
    """The four requests of a push."""

    def __init__(self, registry: str, repository: str) -> None:
        self._registry = registry
        self._base = f"/v2/{repository}"

    def put_blob(self, content: bytes) -> None:
        digest = _digest(content)
        if self._ask("HEAD", f"{self._base}/blobs/{digest}")[0] == http.client.OK:
            return
        status, headers = self._ask("POST", f"{self._base}/blobs/uploads/")
        self._expect(status, http.client.ACCEPTED, "an upload")
        target = urlsplit(headers["location"])
        query = f"{target.query}&digest={digest}" if target.query else f"digest={digest}"
        octets = {"Content-Type": "application/octet-stream"}
        status, _ = self._ask("PUT", f"{target.path}?{query}", content, octets)
        self._expect(status, http.client.CREATED, "a layer")

    def put_manifest(self, tag: str, manifest: bytes) -> None:
        path = f"{self._base}/manifests/{tag}"
        status, _ = self._ask("PUT", path, manifest, {"Content-Type": _MANIFEST})
        self._expect(status, http.client.CREATED, "a manifest")

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(self._registry, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the registry {self._registry} does not answer: {error}") from error
        finally:
            connection.close()

    def _expect(self, status: int, wanted: int, what: str) -> None:
        if status != wanted:
            raise Unavailable(f"the registry {self._registry} refused {what} with status {status}")
