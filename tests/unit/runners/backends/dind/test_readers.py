"""What may go to a registry from a run that must change nothing there."""

from __future__ import annotations

import pytest

from runners.backends.dind.readers import reads_only

HOST = b"\r\nHost: registry:5000\r\nAccept: */*"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2/ HTTP/1.1" + HOST,
        b"HEAD /v2/app/manifests/1 HTTP/1.1" + HOST,
        b"GET /v2/app/blobs/sha256:00?x=1 HTTP/1.1" + HOST + b"\r\nRange: bytes=0-99",
    ],
)
def test_what_reads_goes_through(head: bytes) -> None:
    assert reads_only(head)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v2/app/blobs/uploads/ HTTP/1.1" + HOST,
        b"PUT /v2/app/manifests/latest HTTP/1.1" + HOST,
        b"PATCH /v2/ HTTP/1.1" + HOST,
        b"DELETE /v2/app/manifests/latest HTTP/1.1" + HOST,
        b"get /v2/ HTTP/1.1" + HOST,
        b"GET http://other/v2/ HTTP/1.1" + HOST,
        b"GET /v2/ HTTP/1.1" + HOST + b"\r\nContent-Length: 30",
        b"GET /v2/ HTTP/1.1" + HOST + b"\r\ncontent-length : 30",
        b"GET /v2/ HTTP/1.1" + HOST + b"\r\nTransfer-Encoding: chunked",
        b"GET /v2/ HTTP/1.1\r\n Transfer-Encoding: chunked" + HOST,
        b"GET /v2/ HTTP/1.1" + HOST + b"\nTransfer-Encoding: chunked",
        b"GET /v2/ HTTP/1.1\r\nX: a\rTransfer-Encoding: chunked" + HOST,
        b"GET /v2/ HTTP/1.1" + HOST + b"\r\nUpgrade: h2c",
        b"GET /v2/ HTTP/2.0" + HOST,
        b"GET  /v2/ HTTP/1.1" + HOST,
        b"PRI * HTTP/2.0",
        b"",
    ],
)
def test_what_changes_or_hides_something_does_not(head: bytes) -> None:
    assert not reads_only(head)
