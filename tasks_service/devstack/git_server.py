"""A real Git server over smart HTTP: bare repositories in a folder in, a URL out.

Used by the demo (as a process of its own: ``python -m
tasks_service.devstack.git_server ROOT``) and by tests (as a context manager).
Git's own ``git http-backend`` does the work; this module is the web server
around it, because a CGI program needs one.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import io
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self, cast
from urllib.parse import quote, unquote

_CHUNK = 64 * 1024


class GitServer:
    """Serves every ``*.git`` below ``root``, for reading, on a loopback port.

    Use as a context manager, or call ``start`` and ``stop``. Both are
    idempotent. Requests run in parallel, each in a ``git`` process of its own
    that is killed when its client goes away.

    Args:
        root: Folder of the bare repositories.
        port: Port of 127.0.0.1; 0 takes a free one.
        login: ``(user, password)`` that every request must carry (HTTP Basic),
            or None for open repositories.
        writable: Let clients push as well.
        certificate: File with a key and its certificate for 127.0.0.1; None
            serves plain HTTP.
    """

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        login: tuple[str, str] | None = None,
        writable: bool = False,
        certificate: Path | None = None,
    ) -> None:
        self._server = _Server(("127.0.0.1", port), root.resolve(), login, writable)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            # The handshake is for the thread that reads, not for the one that accepts.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"
        self._thread: threading.Thread | None = None
        self._serving = False

    @property
    def port(self) -> int:
        """The port, known before ``start``."""
        return int(self._server.server_address[1])

    def url(self, name: str = "") -> str:
        """Return the clone URL of ``name`` (``.git`` is added if missing)."""
        if name and not name.endswith(".git"):
            name += ".git"
        return f"{self._scheme}://127.0.0.1:{self.port}/{quote(name)}"

    def start(self) -> Self:
        """Serve in a background thread."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self.serve_forever, name="git-server", daemon=True
            )
            self._serving = True
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving; open transfers end with their ``git`` process."""
        if self._serving:
            self._serving = False
            self._server.shutdown()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def serve_forever(self) -> None:
        """Serve in this thread until ``stop`` is called from another."""
        self._serving = True
        self._server.serve_forever(poll_interval=0.05)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Tests stop the server with idle keep-alive connections open: nobody may
    # wait for their threads.
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        root: Path,
        login: tuple[str, str] | None,
        writable: bool,
    ) -> None:
        self.root = root
        self.writable = writable
        self.authorization = (
            b"Basic " + base64.b64encode(":".join(login).encode()) if login else None
        )
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tasks-git"
    sys_version = ""
    # An idle client must not hold its thread for ever.
    timeout = 120

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: the console belongs to the demo and to pytest."""

    def _answer(self) -> None:
        server = cast("_Server", self.server)
        if server.authorization and not hmac.compare_digest(
            self.headers.get("Authorization", "").encode(), server.authorization
        ):
            self._refuse(401, "login required\n", ("WWW-Authenticate", 'Basic realm="git"'))
            return
        with subprocess.Popen(
            ["git", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(self, server),
        ) as backend:
            sender = threading.Thread(target=self._send_body, args=(backend,), daemon=True)
            sender.start()
            try:
                self._relay(cast("io.BufferedReader", backend.stdout))
            except (OSError, ValueError):
                # The client went away in the middle of the answer.
                self.close_connection = True
            finally:
                backend.kill()
                sender.join(timeout=1)
                # A body that was not read to its end would be taken for the
                # next request.
                self.close_connection = self.close_connection or sender.is_alive()

    def _send_body(self, backend: subprocess.Popen[bytes]) -> None:
        stdin = cast("io.BufferedWriter", backend.stdin)
        try:
            for block in _body(self):
                stdin.write(block)
        except (OSError, ValueError):
            # Either side went away, or the framing was wrong: what is left of
            # the stream can't be read as a next request.
            self.close_connection = True
        finally:
            # The backend may have ended without reading all of it.
            with suppress(OSError):
                stdin.close()

    def _relay(self, output: io.BufferedReader) -> None:
        status, headers = _cgi_headers(output)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while block := output.read1(_CHUNK):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(text))), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())


def _body(handler: BaseHTTPRequestHandler) -> Iterator[bytes]:
    """Yield the request's body, of known length or chunked."""
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        while size := int(handler.rfile.readline(1024).split(b";")[0], 16):
            yield from _exactly(handler, size)
            handler.rfile.readline(1024)
        while handler.rfile.readline(1024).strip():
            pass
        return
    yield from _exactly(handler, int(handler.headers.get("Content-Length") or 0))


def _exactly(handler: BaseHTTPRequestHandler, size: int) -> Iterator[bytes]:
    while size:
        block = handler.rfile.read(min(size, _CHUNK))
        if not block:
            raise ValueError("the body ends early")
        size -= len(block)
        yield block


def _cgi_headers(output: io.BufferedReader) -> tuple[int, list[tuple[str, str]]]:
    status, headers = 200, []
    seen = False
    while line := output.readline().decode("latin-1").rstrip("\r\n"):
        seen = True
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name.lower() != "content-length":
            headers.append((name, value.strip()))
    return (status if seen else 500), headers


def _environment(handler: BaseHTTPRequestHandler, server: _Server) -> dict[str, str]:
    path, _, query = handler.path.partition("?")
    headers = handler.headers
    settings = {
        # The repositories may belong to another user than this process.
        "safe.directory": "*",
        "http.receivepack": "true" if server.writable else "false",
        # A commit that no branch names any more can still be asked for.
        "uploadpack.allowAnySHA1InWant": "true",
        "uploadpack.allowFilter": "true",
    }
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_PROJECT_ROOT": str(server.root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
        "GATEWAY_INTERFACE": "CGI/1.1",
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "REQUEST_METHOD": handler.command,
        "REMOTE_ADDR": str(handler.client_address[0]),
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
    }
    # Absent means "read to the end", which is how a chunked body arrives.
    if length := headers.get("Content-Length"):
        environment["CONTENT_LENGTH"] = length
    if server.authorization:
        environment["REMOTE_USER"] = "user"
    for index, (key, value) in enumerate(settings.items()):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 0 then."""
    parser = argparse.ArgumentParser(prog="git_server", description=__doc__)
    parser.add_argument("root", type=Path, help="folder of the bare repositories")
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 (0: a free one)")
    options = parser.parse_args(argv)
    server = GitServer(options.root, port=options.port)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for the serving loop, which this thread is in.
        threading.Thread(target=server.stop, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.stdout.write(f"{server.url()}\n")
    sys.stdout.flush()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
