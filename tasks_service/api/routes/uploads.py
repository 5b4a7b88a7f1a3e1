"""Uploads: archives of local directories by their digest; stored, never unpacked here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Path, Request, Response

from runners.model.errors import InvalidInput, RunnerError
from tasks_service.api.caller import Runner
from tasks_service.api.models.views import UploadView
from tasks_service.api.parts import Parts, Wired
from tasks_service.blobs import TooLarge
from tasks_service.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["uploads"])
Digest = Annotated[
    str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the archive, hexadecimal.")
]
_AHEAD = 8
_WAIT_S = 60.0


class IncompleteUpload(InvalidInput):
    """The connection ended before the body did."""

    code = "incomplete_upload"


@router.head("/uploads/{digest}", responses={404: {"description": "It is not there."}})
def exists(digest: Digest, caller: Runner, parts: Wired) -> Response:
    """Tell whether an upload is there; it is kept for a week from then on."""
    caller.require_quick_runs()
    size = _known(parts, digest)
    if size is None:
        raise NotFound("there is no such upload")
    return Response(headers={"X-Upload-Size": str(size)})


def _known(parts: Parts, digest: str) -> int | None:
    size = parts.store.uploads.use(digest)
    return size if size is not None and parts.uploads.stat(digest) is not None else None


@router.put(
    "/uploads/{digest}",
    status_code=201,
    responses={200: {"description": "It was there already."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def store(
    digest: Digest, caller: Runner, parts: Wired, request: Request, response: Response
) -> UploadView:
    """Store an archive under its digest. The same again stores nothing."""
    caller.require_quick_runs()
    most = parts.settings.max_upload
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_large(most)
    size = await anyio.to_thread.run_sync(_known, parts, digest)
    if size is not None:
        response.status_code = 200
        return UploadView(digest=digest, size=size)
    size = await _Transfer(parts, digest, most).receive(request)
    return UploadView(digest=digest, size=size)


class _Transfer:
    """Hands the body's blocks to a thread that writes them; a few wait in between."""

    def __init__(self, parts: Parts, digest: str, most: int) -> None:
        self._parts = parts
        self._digest = digest
        self._most = most
        self._blocks: queue.Queue[bytes | RunnerError | None] = queue.Queue(_AHEAD)
        self._ended = threading.Event()
        self._outcome: int | BaseException = 0

    async def receive(self, request: Request) -> int:
        """Store the body and return its size."""
        writer = threading.Thread(target=self._write, name="upload", daemon=True)
        writer.start()
        last: RunnerError | None = IncompleteUpload("the upload broke off")
        try:
            async for block in request.stream():
                if self._ended.is_set():
                    break
                if block:
                    await anyio.to_thread.run_sync(self._put, block)
            last = None
        finally:
            # Whatever ended it, the writer ends, too, and keeps nothing half.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._put, last)
                await anyio.to_thread.run_sync(writer.join)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def _put(self, block: bytes | RunnerError | None) -> None:
        while not self._ended.is_set():
            try:
                self._blocks.put(block, timeout=0.2)
            except queue.Full:
                continue
            return

    def _write(self) -> None:
        try:
            stat = self._parts.uploads.put(
                self._digest, self._taken(), digest=self._digest, max_bytes=self._most
            )
            self._parts.store.uploads.add(self._digest, stat.size)
            self._outcome = stat.size
        except BaseException as error:  # noqa: BLE001 - raised again where the request is
            self._outcome = error
        finally:
            self._ended.set()

    def _taken(self) -> Iterator[bytes]:
        while True:
            try:
                block = self._blocks.get(timeout=_WAIT_S)
            except queue.Empty:
                raise IncompleteUpload(f"no byte came for {_WAIT_S:.0f} s") from None
            if block is None:
                return
            if isinstance(block, RunnerError):
                raise block
            yield block


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"the upload is larger than {most >> 20} MiB",
        hint="leave files out by .dockerignore, or ask the operator to raise max_upload",
    )
