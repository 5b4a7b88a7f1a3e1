"""The transport of a standalone buildkitd: plain gRPC on unix and tcp, TLS on both sides.

Debian has no package of buildkitd. So the real BuildKit of the engines is put
behind a listener that speaks what buildkitd speaks: a connection here becomes
an upgraded connection there, and sessions have to run inside Control.Session.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.clients.buildkit.client import BuildKitClient
from runners.clients.buildkit.transport import BuildkitdTransport, TLSFiles, upgrade
from runners.model.errors import Unavailable
from tests.integration.buildkit.conftest import Builder, dialer


def _pump(source: socket.socket, target: socket.socket, first: bytes = b"") -> None:
    with contextlib.suppress(OSError):
        target.sendall(first)
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def front(engine: str, listener: socket.socket, tls: ssl.SSLContext | None) -> Iterator[None]:
    opened: list[socket.socket] = [listener]
    threads: list[threading.Thread] = []

    def run(target: object, *args: object) -> None:
        threads.append(threading.Thread(target=target, args=args, daemon=True))  # type: ignore[arg-type]
        threads[-1].start()

    def accept() -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            try:
                if tls is not None:
                    here = tls.wrap_socket(here, server_side=True)
            except OSError:
                here.close()
                continue
            there, rest = upgrade(dialer(engine), "/grpc")
            opened.extend((here, there))
            run(_pump, there, here, rest)
            run(_pump, here, there)

    listener.listen()
    run(accept)
    try:
        yield
    finally:
        for end in opened:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=10)
        for end in opened:
            end.close()


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    made = tmp_path / "tls"
    made.mkdir()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    _openssl(made, "req", "-x509", *curve, *authority)
    (made / "ext").write_text("subjectAltName=DNS:buildkitd.test\n")
    for name in ("server", "client"):
        _openssl(made, "req", *curve, "-keyout", f"{name}.key", "-out", "r", "-subj", f"/CN={name}")
        sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "ext")
        _openssl(made, "x509", "-req", "-in", "r", *sign, "-days", "2", "-out", f"{name}.pem")
    return made


def build(transport: BuildkitdTransport, root: Path, out: Path) -> None:
    root.mkdir()
    with BuildKitClient(transport, client_id="t") as client:
        builder = Builder(client, root, socket.socket, transport.address)
        content = b"0123456789" * 300_000
        builder.write({"Dockerfile": "FROM scratch\nCOPY f g /\n", "f": content, "g": "1"})
        builder.export(out)
        again = builder.solve()
    assert (out / "f").read_bytes() == content
    assert again.transferred.files <= 1


def test_a_build_over_a_unix_socket(engine: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "b.sock"))
        with front(engine, listener, None):
            address = f"unix://{tmp_path}/b.sock"
            build(BuildkitdTransport(address), tmp_path / "p", tmp_path / "o")


def test_a_build_over_tcp(engine: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, front(engine, listener, None):
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        build(BuildkitdTransport(address), tmp_path / "p", tmp_path / "o")


def test_a_build_over_tls_with_certificates_on_both_sides(
    engine_new: str, tmp_path: Path, certificates: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    tls.load_verify_locations(certificates / "ca.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["h2"])
    files = TLSFiles(
        ca=(certificates / "ca.pem").read_bytes(),
        certificate=(certificates / "client.pem").read_bytes(),
        key=(certificates / "client.key").read_bytes(),
        server_name="buildkitd.test",
    )
    with socket.create_server(("127.0.0.1", 0)) as listener, front(engine_new, listener, tls):
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        build(BuildkitdTransport(address, files), tmp_path / "p", tmp_path / "o")


def test_a_buildkitd_that_is_not_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.clients.buildkit.transport._UPGRADE_TIMEOUT_S", 0.5)
    with (
        BuildKitClient(BuildkitdTransport(f"unix://{tmp_path}/no.sock")) as client,
        pytest.raises(Unavailable, match="does not answer"),
    ):
        client.facts()
