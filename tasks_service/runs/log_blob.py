"""The log of a finished run as one blob: gzipped lines of JSON, a chunk each.

Written by the scheduler some time after the end; from then on the database
holds no chunk of the run.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from runners.model.errors import SystemFault
from tasks_service.blobs import BLOCK, BlobStore
from tasks_service.model.log import LogChunk

_SUFFIX = ".ndjson.gz"
_MAX_LINE = 1 << 20


def blob_key(run_id: str) -> str:
    """Return the key of a run's log."""
    return f"{run_id}{_SUFFIX}"


def write_chunks(chunks: Iterable[LogChunk]) -> Iterator[bytes]:
    """Yield the blob's bytes in blocks; memory stays flat."""
    spool = io.BytesIO()
    # No file name and no time: the same log is the same blob.
    with gzip.GzipFile(fileobj=spool, mode="wb", filename="", mtime=0, compresslevel=5) as packed:
        for chunk in chunks:
            packed.write(_line(chunk))
            if spool.tell() >= BLOCK:
                yield spool.getvalue()
                spool.seek(0)
                spool.truncate()
    yield spool.getvalue()


def read_chunks(blobs: BlobStore, key: str) -> Iterator[LogChunk]:
    """Yield the chunks of a blob in order.

    Raises:
        NotFound: It is not there.
        SystemFault: It is damaged.
    """
    try:
        with (
            _Opened(blobs.open(key)) as raw,
            gzip.GzipFile(fileobj=io.BufferedReader(raw, BLOCK)) as packed,
        ):
            while line := packed.readline(_MAX_LINE):
                yield _chunk(line)
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, KeyError, TypeError) as error:
        raise SystemFault(
            f"the stored log {key!r} is damaged", hint="restore it from a backup of the log store"
        ) from error


def _line(chunk: LogChunk) -> bytes:
    body: dict[str, object] = {
        "number": chunk.number,
        "step": chunk.step,
        "stream": chunk.stream,
        "time": chunk.time,
    }
    try:
        body["text"] = chunk.data.decode()
    except UnicodeDecodeError:
        body["data"] = base64.b64encode(chunk.data).decode()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _chunk(line: bytes) -> LogChunk:
    body = json.loads(line)
    data = base64.b64decode(body["data"]) if "data" in body else body["text"].encode()
    return LogChunk(body["step"], body["stream"], body["time"], data, body["number"])


class _Opened(io.RawIOBase):
    """Blocks of an open blob as a raw stream."""

    def __init__(self, opened: AbstractContextManager[Iterator[bytes]]) -> None:
        self._opened = opened
        self._blocks: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")

    def __enter__(self) -> Self:
        self._blocks = self._opened.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._opened.__exit__(kind, error, trace)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # io's stub wants its private Buffer type
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
