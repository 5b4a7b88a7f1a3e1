"""What every kind of blob store does; the S3 kind against a server that speaks its protocol."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.model.errors import InvalidInput, Unavailable
from tasks_service.blobs import (
    LOGS,
    UPLOADS,
    BlobStore,
    DigestMismatch,
    TooLarge,
    open_blobs,
)
from tasks_service.config import Settings
from tasks_service.errors import NotFound


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(params=["files", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "files":
        return Settings(state_dir=tmp_path)
    endpoint = request.getfixturevalue("s3_server")
    import httpx2

    bucket = "b" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]
    assert httpx2.put(f"{endpoint}/{bucket}").status_code == 200
    return Settings(
        state_dir=tmp_path,
        upload_store=f"s3://{bucket}/deep/prefix",
        log_store=f"s3://{bucket}",
        s3_endpoint=endpoint,
        s3_access_key="key",
        s3_secret_key="secret",
    )


@pytest.fixture
def blobs(settings: Settings) -> BlobStore:
    return open_blobs(settings, UPLOADS)


def content(blobs: BlobStore, key: str) -> bytes:
    with blobs.open(key) as blocks:
        return b"".join(blocks)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_blob_comes_back_as_it_went_in(blobs: BlobStore) -> None:
    parts = [b"one", b"", b"two" * 1000, os.urandom(3 << 20)]
    data = b"".join(parts)
    stored = blobs.put("name.gz", iter(parts), digest=digest_of(data), max_bytes=len(data))
    assert (stored.key, stored.size) == ("name.gz", len(data))
    assert content(blobs, "name.gz") == data
    found = blobs.stat("name.gz")
    assert found is not None
    assert found.size == len(data)
    assert found.modified > 1_600_000_000


def test_a_large_blob_goes_in_parts(blobs: BlobStore) -> None:
    block = os.urandom(1 << 20)
    data = block * 20
    blobs.put("large", [block] * 20, digest=digest_of(data))
    assert digest_of(content(blobs, "large")) == digest_of(data)


def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    blobs.put("empty", [])
    assert content(blobs, "empty") == b""


def test_a_blob_is_replaced(blobs: BlobStore) -> None:
    blobs.put("name", [b"old"])
    blobs.put("name", [b"new!"])
    assert content(blobs, "name") == b"new!"


def test_wrong_bytes_change_nothing(blobs: BlobStore) -> None:
    blobs.put("name", [b"old"])
    with pytest.raises(DigestMismatch, match=digest_of(b"new")):
        blobs.put("name", [b"new"], digest=digest_of(b"other"))
    assert content(blobs, "name") == b"old"


def test_too_many_bytes_are_refused_before_all_came(blobs: BlobStore) -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield bytes(1000)

    with pytest.raises(TooLarge, match="10000"):
        blobs.put("name", endless(), max_bytes=10_000)
    assert len(taken) == 11
    assert blobs.stat("name") is None


def test_a_sender_that_breaks_off_leaves_nothing(blobs: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"begin"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        blobs.put("name", broken())
    assert blobs.stat("name") is None
    assert list(blobs.list()) == []


def test_what_is_not_there_is_told(blobs: BlobStore) -> None:
    assert blobs.stat("name") is None
    with pytest.raises(NotFound, match="name"), blobs.open("name"):
        pass
    blobs.delete("name")


def test_blobs_are_listed_and_deleted(blobs: BlobStore) -> None:
    for number in range(5):
        blobs.put(f"blob-{number}", [b"x" * number])
    assert {(b.key, b.size) for b in blobs.list()} == {(f"blob-{n}", n) for n in range(5)}
    blobs.delete("blob-3")
    assert {b.key for b in blobs.list()} == {f"blob-{n}" for n in (0, 1, 2, 4)}


@pytest.mark.parametrize(
    "key", ["", ".", "..", "../x", "/etc/x", "a/b", "a..b", ".x", "é", "x" * 129, "a\n"]
)
def test_keys_are_plain_names(blobs: BlobStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: blobs.put(key, [b""]),
        lambda: blobs.open(key).__enter__(),
        lambda: blobs.stat(key),
        lambda: blobs.delete(key),
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()


def test_uploads_and_logs_are_apart(settings: Settings) -> None:
    uploads, logs = open_blobs(settings, UPLOADS), open_blobs(settings, LOGS)
    uploads.put("same", [b"upload"])
    logs.put("same", [b"log"])
    assert (content(uploads, "same"), content(logs, "same")) == (b"upload", b"log")


def test_writers_of_one_key_leave_one_of_theirs(blobs: BlobStore) -> None:
    datas = [bytes([65 + number]) * 100_000 for number in range(6)]

    def write(data: bytes) -> None:
        blobs.put("name", [data])

    threads = [threading.Thread(target=write, args=(data,)) for data in datas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(blobs, "name") in datas
    assert [blob.key for blob in blobs.list()] == ["name"]


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    blobs = open_blobs(Settings(state_dir=tmp_path), UPLOADS)
    blobs.put("name", [b"x"])
    modes = {stat.filemode(path.stat().st_mode) for path in (tmp_path / "uploads").rglob("*")}
    assert modes == {"drwx------", "-rw-------"}


def test_a_part_that_a_dead_writer_left_goes_after_a_day(tmp_path: Path) -> None:
    blobs = open_blobs(Settings(state_dir=tmp_path), UPLOADS)
    blobs.put("name", [b"x"])
    folder = next((tmp_path / "uploads").iterdir())
    old, new = folder / ".part-old", folder / ".part-new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (1, 1))
    assert [blob.key for blob in blobs.list()] == ["name"]
    assert not old.exists()
    assert new.exists()


def test_a_bucket_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    settings = Settings(
        state_dir=tmp_path,
        upload_store="s3://bucket",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="key",
        s3_secret_key="hidden-secret",
    )
    with pytest.raises(Unavailable, match="s3://bucket") as raised:
        open_blobs(settings, UPLOADS).stat("name")
    assert "hidden-secret" not in str(raised.value)


@pytest.mark.parametrize("location", ["file", "files:/x", "gs://bucket", "s3://", ""])
def test_stores_that_are_not_known_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(InvalidInput, match=r"s3://|not known|bucket"):
        open_blobs(Settings(state_dir=tmp_path, upload_store=location), UPLOADS)
