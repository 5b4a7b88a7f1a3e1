"""Ways to reach a BuildKit daemon: a control channel and session byte streams.

In come dialers or addresses; out go a grpcio channel for the Control API and,
for each session, a connected socket on which the daemon is the HTTP/2 client.
Called by client.py. The sockets themselves come from the caller's dialer, so
an engine inside a runner is reached as easily as one on a path.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runners.model.errors import Unavailable

if TYPE_CHECKING:
    import grpc

Dialer = Callable[[], socket.socket]
"""Return a fresh, connected, blocking stream socket to the engine's API.

Called from several threads; each socket belongs to the one who called.
Raises OSError when the engine cannot be reached.
"""

_CHUNK = 1 << 18
_HEAD_LIMIT = 1 << 16
_UPGRADE_TIMEOUT_S = 20.0

# An error carries the whole Dockerfile in its trailers, and .dockerignore
# travels in headers: the defaults of 8 and 16 KiB turn both into a stream reset.
_METADATA_LIMIT = 16 << 20
CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_metadata_size", _METADATA_LIMIT),
    ("grpc.absolute_max_metadata_size", _METADATA_LIMIT),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.default_authority", "localhost"),
)


@dataclass(frozen=True, slots=True)
class SessionHeaders:
    """What a session tells about itself when it is opened."""

    session_id: str
    shared_key: str
    methods: Sequence[str]

    def pairs(self) -> list[tuple[str, str]]:
        """Return header pairs; each method is an entry of its own, never joined."""
        return [
            ("x-docker-expose-session-uuid", self.session_id),
            ("x-docker-expose-session-sharedkey", self.shared_key),
            *(("x-docker-expose-session-grpc-method", method) for method in self.methods),
        ]


class Transport(Protocol):
    """One daemon. Thread-safe after ``channel`` was called once."""

    def channel(self) -> grpc.Channel:
        """Return the control channel, connected on the first call.

        Raises:
            Unavailable: the daemon cannot be reached or refuses the protocol.
        """
        ...

    def open_session(self, headers: SessionHeaders) -> tuple[socket.socket, bytes]:
        """Open a session; return its socket and bytes that were read already.

        Raises:
            Unavailable: the daemon cannot be reached or refuses the session.
        """
        ...

    def close(self) -> None:
        """Close everything that was opened. Idempotent."""
        ...


def unix_dialer(path: str | Path) -> Dialer:
    """Return a dialer of the engine that listens at ``path``."""

    def dial() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return connection

    return dial


def tcp_dialer(host: str, port: int) -> Dialer:
    """Return a dialer of the engine that listens at ``host:port`` without TLS."""

    def dial() -> socket.socket:
        connection = socket.create_connection((host, port), timeout=_UPGRADE_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        return connection

    return dial


def upgrade(
    dial: Dialer, path: str, headers: Sequence[tuple[str, str]] = ()
) -> tuple[socket.socket, bytes]:
    """Dial and switch to raw HTTP/2; return the socket and what came behind the head.

    Raises:
        Unavailable: no connection, no answer within 20 s, or not a 101.
    """
    try:
        connection = dial()
    except OSError as error:
        raise Unavailable(
            f"The Docker Engine cannot be reached: {error.strerror or error}.",
            hint="Check that the engine runs and that its socket may be opened.",
        ) from error
    lines = [f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: h2c"]
    lines += ["Content-Length: 0", *(f"{name}: {value}" for name, value in headers), "", ""]
    try:
        connection.settimeout(_UPGRADE_TIMEOUT_S)
        connection.sendall("\r\n".join(lines).encode())
        rest = _switched(connection, path)
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise Unavailable(f"The Docker Engine broke off the upgrade of {path}: {error}.") from error
    except BaseException:
        connection.close()
        raise
    return connection, rest


def _switched(connection: socket.socket, path: str) -> bytes:
    head, rest = _read_head(connection)
    if not head.startswith(b"HTTP/1.1 101"):
        raise Unavailable(_refusal(path, head, rest, connection))
    return rest


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    received = bytearray()
    # The head comes in many small reads, and HTTP/2 bytes may be glued behind it.
    while (end := received.find(b"\r\n\r\n")) < 0:
        chunk = connection.recv(_CHUNK)
        if not chunk or len(received) > _HEAD_LIMIT:
            raise ConnectionResetError("the connection ended before an answer")
        received += chunk
    return bytes(received[:end]), bytes(received[end + 4 :])


def _refusal(path: str, head: bytes, rest: bytes, connection: socket.socket) -> str:
    with contextlib.suppress(OSError):
        connection.settimeout(1.0)
        rest += connection.recv(_CHUNK) if not rest else b""
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    text = rest.decode(errors="replace").strip()
    return f"The Docker Engine refused the upgrade of {path}: {status}: {text[:500]}"


class EngineTransport:
    """A Docker Engine, reached through its ``/grpc`` and ``/session`` upgrades.

    ``dial`` is the dialer it was made with.

    grpcio cannot take over a connected socket. So it connects to a private
    unix socket (in a directory of mode 0700), and bytes are pumped between
    each of its connections and one upgraded connection of the engine.
    """

    def __init__(self, dial: Dialer) -> None:
        self.dial = dial
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._bridge: _Bridge | None = None

    def channel(self) -> grpc.Channel:
        """See Transport."""
        import grpc

        with self._lock:
            if self._channel is None:
                self._bridge = _Bridge(lambda: upgrade(self.dial, "/grpc"))
                self._channel = grpc.insecure_channel(
                    f"unix:{self._bridge.path}", options=CHANNEL_OPTIONS
                )
            return self._channel

    def open_session(self, headers: SessionHeaders) -> tuple[socket.socket, bytes]:
        """See Transport."""
        return upgrade(self.dial, "/session", headers.pairs())

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            if self._bridge is not None:
                self._bridge.close()
            self._channel = self._bridge = None


def _private_directory() -> str:
    # As tempfile.mkdtemp, without the 5 ms its import takes.
    path = f"{os.environ.get('TMPDIR') or '/tmp'}/buildkit-{os.urandom(8).hex()}"  # noqa: S108
    os.mkdir(path, 0o700)  # noqa: PTH102
    return path


class _Bridge:
    """A private listener whose every connection becomes one upgraded connection."""

    def __init__(self, connect: Callable[[], tuple[socket.socket, bytes]]) -> None:
        self._connect = connect
        # The first upgrade happens here, so that its failure reaches the caller as it is.
        self._ready: tuple[socket.socket, bytes] | None = connect()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._directory = _private_directory()
        self.path = f"{self._directory}/control.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(4)
        self._spawn(self._accept)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True, name="buildkit-control")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                ready, self._ready = self._ready, None
                if self._closed:
                    local.close()
                    return
            try:
                remote, rest = ready or self._connect()
            except Unavailable:
                # grpcio sees its connection end and reports UNAVAILABLE.
                local.close()
                continue
            with self._lock:
                self._open |= {local, remote}
            self._spawn(self._pump, remote, local, rest)
            self._spawn(self._pump, local, remote, b"")

    def _pump(self, source: socket.socket, target: socket.socket, first: bytes) -> None:
        try:
            if first:
                target.sendall(first)
            while chunk := source.recv(_CHUNK):
                target.sendall(chunk)
        except OSError:
            pass
        # Either end gone ends both: HTTP/2 has no half-open connection.
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ends = [*self._open, *([self._ready[0]] if self._ready else [])]
        for end in [self._listener, *ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        for end in [self._listener, *ends]:
            end.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108
            os.rmdir(self._directory)  # noqa: PTH106


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM bytes for mutual TLS; without a certificate only the server proves itself."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    server_name: str = ""


class BuildkitdTransport:
    """A standalone buildkitd at ``unix:///path`` or ``tcp://host:port``.

    Sessions run inside the ``Control.Session`` call, as bytes in messages.
    """

    def __init__(self, address: str, tls: TLSFiles | None = None) -> None:
        self.address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    def channel(self) -> grpc.Channel:
        """See Transport."""
        with self._lock:
            if self._channel is None:
                self._channel = self._connect()
            return self._channel

    def _connect(self) -> grpc.Channel:
        import grpc

        target = self.address.removeprefix("tcp://").replace("unix://", "unix:", 1)
        options = [pair for pair in CHANNEL_OPTIONS if pair[0] != "grpc.default_authority"]
        if self._tls is None:
            if target.startswith("unix:"):
                options.append(("grpc.default_authority", "localhost"))
            channel = grpc.insecure_channel(target, options=options)
        else:
            if self._tls.server_name:
                options.append(("grpc.ssl_target_name_override", self._tls.server_name))
            credentials = grpc.ssl_channel_credentials(
                self._tls.ca, self._tls.key, self._tls.certificate
            )
            channel = grpc.secure_channel(target, credentials, options=options)
        try:
            grpc.channel_ready_future(channel).result(timeout=_UPGRADE_TIMEOUT_S)
        except grpc.FutureTimeoutError as error:
            channel.close()
            raise Unavailable(
                f"buildkitd at {self.address} does not answer.",
                hint="Check the address, that buildkitd runs, and the TLS files.",
            ) from error
        return channel

    def open_session(self, headers: SessionHeaders) -> tuple[socket.socket, bytes]:
        """See Transport."""
        from runners.clients.buildkit._pb import control_pb2

        ours, theirs = socket.socketpair()
        message = control_pb2.BytesMessage

        def outgoing() -> Iterator[control_pb2.BytesMessage]:
            # Ends when our side closes: nothing may block the interpreter's exit.
            with contextlib.suppress(OSError):
                while chunk := theirs.recv(_CHUNK):
                    yield message(data=chunk)

        call = self.channel().stream_stream(
            "/moby.buildkit.v1.Control/Session",
            request_serializer=message.SerializeToString,
            response_deserializer=message.FromString,
        )(outgoing(), metadata=headers.pairs())

        def incoming() -> None:
            import grpc

            try:
                for part in call:
                    theirs.sendall(part.data)
            except (grpc.RpcError, OSError):
                pass
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_RDWR)
            call.cancel()
            theirs.close()

        threading.Thread(target=incoming, daemon=True, name="buildkit-session").start()
        return ours, b""

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
            self._channel = None
