"""A Git server that has Git LFS as well: the batch API, and a store for its files.

Git's own client of LFS takes files from it; see ``test_lfs``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from tasks_service.devstack.git_server import GitServer, _body, _Handler

KIND = "application/vnd.git-lfs+json"


def pointer(data: bytes) -> bytes:
    """Return what a repository holds in place of a file."""
    oid = hashlib.sha256(data).hexdigest()
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n"
    return text.encode()


class LfsServer(GitServer):
    """Serves repositories and files; ``requests`` holds what was asked for of LFS.

    Attributes:
        files: Contents by SHA-256.
        store: Address that downloads are sent to; empty is this server.
        header: What a download must carry.
        failures: So many requests are answered by 503 first.
        moved: Downloads are redirected so many times.
    """

    def __init__(self, root: Path, **more: Any) -> None:
        super().__init__(root, **more)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.store = ""
        self.header = {"X-Ticket": "granted"}
        self.failures = 0
        self.moved = 0
        server = cast("Any", self._server)
        server.lfs = self
        server.RequestHandlerClass = _LfsHandler

    def add(self, data: bytes) -> bytes:
        """Keep a file; return its pointer."""
        self.files[hashlib.sha256(data).hexdigest()] = data
        return pointer(data)


class _LfsHandler(_Handler):
    def _answer(self) -> None:
        lfs: LfsServer = cast("Any", self.server).lfs
        wants = "/info/lfs/objects/batch" in self.path or self.path.startswith("/store/")
        if not wants:
            super()._answer()
            return
        body = b"".join(_body(self))
        login = self.headers.get("Authorization", "")
        lfs.requests.append((f"{self.command} {self.path}", login))
        if lfs.failures:
            lfs.failures -= 1
            self._say(503, b"{}")
        elif self.path.startswith("/store/"):
            self._download(lfs)
        elif (key := cast("Any", self.server).authorization) and login.encode() != key:
            self._say(401, b"{}", ("LFS-Authenticate", 'Basic realm="git"'))
        elif self.headers.get("Content-Type", "").split(";")[0] != KIND:
            self._say(415, b"{}")
        else:
            objects = [self._offer(lfs, one) for one in json.loads(body)["objects"]]
            answer = {"transfer": "basic", "objects": objects}
            self._say(200, json.dumps(answer).encode(), ("Content-Type", KIND))

    def _offer(self, lfs: LfsServer, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] not in lfs.files:
            return wanted | {"error": {"code": 404, "message": "Object does not exist"}}
        href = f"{lfs.store or lfs.url()}store/{wanted['oid']}"
        return wanted | {"actions": {"download": {"href": href, "header": lfs.header}}}

    def _download(self, lfs: LfsServer) -> None:
        if lfs.moved:
            lfs.moved -= 1
            self._say(302, b"", ("Location", self.path))
        elif lfs.header and self.headers.get("X-Ticket") != "granted" and not self._was_moved(lfs):
            self._say(403, b"")
        else:
            self._say(200, lfs.files[self.path.rpartition("/")[2]])

    def _was_moved(self, lfs: LfsServer) -> bool:
        return [path for path, _ in lfs.requests].count(f"GET {self.path}") > 1

    def _say(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
