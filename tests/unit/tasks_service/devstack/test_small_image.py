"""The BusyBox image: its layer, and the requests of its push."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.devstack import small_image


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "busybox"
    path.write_text("#!/bin/sh\necho '[\nbusybox\nls\nsh'\n")
    path.chmod(0o755)
    return path


def test_the_layer_holds_the_program_and_a_link_for_each_command(program: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(small_image._layer(program))) as archive:
        entries = {entry.name: entry for entry in archive}
    assert entries["bin/busybox"].mode == 0o755
    assert {n for n, e in entries.items() if e.issym()} == {"bin/[", "bin/ls", "bin/sh"}
    assert entries["tmp"].mode == 0o1777
    assert {entry.mtime for entry in entries.values()} == {0}


def test_a_program_that_is_no_busybox_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "busybox"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    with pytest.raises(Unavailable, match="no BusyBox"):
        small_image._layer(other)


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.send_error(503)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_registry_that_refuses_is_named(program: Path, refusing: str) -> None:
    with pytest.raises(Unavailable, match="status 503"):
        small_image.push_busybox(program, refusing, "base/busybox", "1")


def test_a_registry_that_is_gone_is_named(program: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        small_image.push_busybox(program, "127.0.0.1:1", "base/busybox", "1")
