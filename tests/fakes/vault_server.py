"""Vault's KV version 2 read API, as its public documentation describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.json_server import JSONServer, Reply, Request

MOUNT = "secret"
DENIED = Reply(403, {"errors": ["permission denied"]})


class FakeVault(JSONServer):
    """One KV engine at ``secret/``; ``token`` reads all of it."""

    def __init__(self, token: str, namespace: str = "") -> None:
        self.token = token
        self.namespace = namespace
        self.mount = MOUNT
        self.sealed = False
        self._versions: dict[str, list[Mapping[str, Any] | None]] = {}
        super().__init__(self._answer)

    def put(self, path: str, data: Mapping[str, Any]) -> int:
        versions = self._versions.setdefault(path, [])
        versions.append(data)
        return len(versions)

    def delete(self, path: str, version: int) -> None:
        self._versions[path][version - 1] = None

    def _answer(self, request: Request) -> Reply:
        if self.sealed:
            return Reply(503, {"errors": ["Vault is sealed"]})
        prefix = f"/v1/{self.mount}/data/"
        if request.headers.get("x-vault-token") != self.token:
            return DENIED
        if request.headers.get("x-vault-namespace", "") != self.namespace:
            return DENIED
        if not request.path.startswith(prefix):
            return DENIED
        versions = self._versions.get(request.path.removeprefix(prefix), [])
        number = int(request.query.get("version", "0")) or len(versions)
        if not 0 < number <= len(versions):
            return Reply(404, {"errors": []})
        data = versions[number - 1]
        deleted = "" if data is not None else "2026-01-02T03:04:05.6Z"
        metadata = {"version": number, "destroyed": False, "deletion_time": deleted}
        body = {"request_id": "0", "data": {"data": data, "metadata": metadata}}
        return Reply(404 if data is None else 200, body)
