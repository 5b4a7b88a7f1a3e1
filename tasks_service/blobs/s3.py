"""Blobs in an S3-compatible bucket (extra ``s3``).

A blob that is checked is spooled to a file first: an object that appears in
the bucket is one whose digest was right.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runners.model.errors import InvalidInput, Unavailable
from tasks_service.blobs.base import BLOCK, BlobStat, check_key, missing
from tasks_service.blobs.measured import Measured
from tasks_service.config import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

SCHEME = "s3://"
_IN_MEMORY = 8 << 20


class S3Blobs:
    """Blobs as objects ``<prefix>/<key>`` of a bucket. See BlobStore."""

    def __init__(self, store: S3Store, name: str) -> None:
        self._store = store
        self._name = name

    def put(
        self,
        key: str,
        blocks: Iterable[bytes],
        *,
        digest: str = "",
        max_bytes: int | None = None,
    ) -> BlobStat:
        """See BlobStore."""
        import obstore

        check_key(key)
        measured = Measured(blocks, digest=digest, max_bytes=max_bytes)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            for block in measured:
                spool.write(block)
            spool.seek(0)
            with self._translated(key):
                obstore.put(self._store, key, spool, chunk_size=_IN_MEMORY, max_concurrency=2)
        return self.stat(key) or BlobStat(key, measured.size, 0.0)

    @contextmanager
    def open(self, key: str) -> Iterator[Iterator[bytes]]:
        """See BlobStore."""
        import obstore

        check_key(key)
        try:
            with self._translated(key):
                found = obstore.get(self._store, key)
        except FileNotFoundError:
            raise missing(key) from None
        yield self._blocks(key, found)

    def _blocks(self, key: str, found: Any) -> Iterator[bytes]:
        with self._translated(key):
            for block in found.stream(min_chunk_size=BLOCK):
                yield bytes(block)

    def stat(self, key: str) -> BlobStat | None:
        """See BlobStore."""
        import obstore

        check_key(key)
        try:
            with self._translated(key):
                found = obstore.head(self._store, key)
        except FileNotFoundError:
            return None
        return BlobStat(key, found["size"], found["last_modified"].timestamp())

    def delete(self, key: str) -> None:
        """See BlobStore."""
        import obstore

        check_key(key)
        try:
            with self._translated(key):
                obstore.delete(self._store, key)
        except FileNotFoundError:
            return

    def list(self) -> Iterator[BlobStat]:
        """See BlobStore."""
        import obstore

        with self._translated(""):
            for page in obstore.list(self._store, chunk_size=500):
                for found in page:
                    yield BlobStat(
                        found["path"].rpartition("/")[2],
                        found["size"],
                        found["last_modified"].timestamp(),
                    )

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
            raise Unavailable(
                f"the blob store {self._name} refused {key[:80]!r}: {reason}",
                hint="look at s3_endpoint, s3_region and the keys: `tasks config`",
            ) from error


def open_s3(location: str, folder: str, settings: Settings) -> S3Blobs:
    """Return the store ``folder`` of ``s3://bucket[/prefix]``; nothing is asked of it yet.

    Raises:
        InvalidInput: The location names no bucket, or the extra is not installed.
    """
    bucket, _, prefix = location.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise InvalidInput(f"{location[:80]!r} names no bucket", hint="write s3://bucket/prefix")
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "blobs in S3 need a package that is not installed",
            hint="install tasks-service[s3]",
        ) from error
    options: S3Config = {"region": settings.s3_region}
    if settings.s3_endpoint:
        options["endpoint"] = settings.s3_endpoint
        options["virtual_hosted_style_request"] = False
    if settings.s3_access_key:
        options["access_key_id"] = settings.s3_access_key
        options["secret_access_key"] = settings.s3_secret_key
    client: ClientConfig = {"timeout": "60s", "connect_timeout": "5s"}
    if settings.s3_endpoint.startswith("http://"):
        client["allow_http"] = True
    store = S3Store(
        bucket,
        prefix=f"{prefix.strip('/')}/{folder}".lstrip("/"),
        config=options,
        client_options=client,
        retry_config={"max_retries": 4},
    )
    return S3Blobs(store, location)
