"""A small gRPC server over one byte stream: the client's side of a session.

In come a connected socket on which the daemon speaks HTTP/2 as the client,
and a handler for each method path; out go the handlers' answers. Called by
session.py. Protocol state is the ``h2`` library's; only the flood is not sent
through it: DATA frames are cut and built here, because at 60,000 packets a
transfer the library's work per frame would be the larger part of the time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.rpc import (
    CANCELLED,
    OK,
    UNIMPLEMENTED,
    UNKNOWN,
    CallAborted,
    RpcFailure,
)

Handler = Callable[[ServerStream], None]
"""Serve one call: read, send, return for OK or raise RpcFailure."""

_RECEIVE = 1 << 18
_STREAM_WINDOW = 8 << 20
_CONNECTION_WINDOW = 64 << 20
_CREDIT_STEP = 1 << 20
_PREFACE = 24
_HEADER = 9
_MAX_PARTS = 512
_HEALTH = "/grpc.health.v1.Health/Check"
# gRPC frame of HealthCheckResponse{status: SERVING}.
_SERVING = b"\x00\x00\x00\x00\x02\x08\x01"


class SessionServer:
    """Serve one session until the daemon or ``close`` ends it.

    Health checks are answered by the reading thread itself, so that no busy
    handler can starve them; every other call has a thread of its own.
    """

    def __init__(
        self, connection: socket.socket, received: bytes, handlers: Mapping[str, Handler]
    ) -> None:
        self._socket = connection
        self._received = received
        self._handlers = handlers
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._streams: dict[int, ServerStream] = {}
        self._out: deque[bytes | memoryview] = deque()
        self._checks: deque[int] = deque()
        self._flushing = False
        self._closed = False
        self._connection_credit = 0
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._threads: set[threading.Thread] = set()
        self._reader = threading.Thread(target=self._run, daemon=True, name="buildkit-session")

    def start(self) -> None:
        """Begin to serve; returns at once."""
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                codes.MAX_FRAME_SIZE: 1 << 20,
                codes.MAX_CONCURRENT_STREAMS: 1000,
                # A long .dockerignore comes as headers.
                codes.MAX_HEADER_LIST_SIZE: 16 << 20,
            },
        )
        self._h2.max_inbound_frame_size = 1 << 20
        self._h2.decoder.max_header_list_size = 16 << 20
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)
        self._queue_control()
        self._flush()
        self._reader.start()

    @property
    def alive(self) -> bool:
        """True until the connection has ended."""
        return not self._closed

    def close(self) -> None:
        """End the session and wait for its threads. Idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._reader.ident is not None:
            self._reader.join(timeout=10)
        self._end()
        for thread in list(self._threads):
            thread.join(timeout=10)
        self._socket.close()

    # Reading.

    def _run(self) -> None:
        buffer = bytearray(self._received)
        try:
            while len(buffer) < _PREFACE:
                buffer += self._read()
            self._slow(bytes(buffer[:_PREFACE]))
            del buffer[:_PREFACE]
            while True:
                self._frames(buffer)
                buffer += self._read()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            self._end()

    def _read(self) -> bytes:
        data = self._socket.recv(_RECEIVE)
        if not data:
            raise ConnectionResetError("the daemon ended the session")
        return data

    def _frames(self, buffer: bytearray) -> None:
        position = 0
        woken = False
        while len(buffer) - position >= _HEADER:
            head = int.from_bytes(buffer[position : position + 4], "big")
            end = position + _HEADER + (head >> 8)
            if len(buffer) < end:
                break
            stream = None
            # A DATA frame without flags of a call we serve: the flood.
            if head & 0xFF == 0 and buffer[position + 4] == 0:
                number = int.from_bytes(buffer[position + 5 : position + 9], "big")
                stream = self._streams.get(number)
            if stream is None:
                self._slow(bytes(buffer[position:end]))
            else:
                with self.lock:
                    stream._inbox.append(bytes(buffer[position + _HEADER : end]))  # noqa: SLF001
                self._connection_credit += head >> 8
                woken = True
            position = end
        del buffer[:position]
        if woken:
            if self._connection_credit >= _CREDIT_STEP:
                self.grant(0, self._connection_credit)
                self._connection_credit = 0
            with self.lock:
                self.changed.notify_all()

    def _slow(self, data: bytes) -> None:
        with self.lock:
            events = self._h2.receive_data(data)
            for event in events:
                self._handle(event)
            self._answer_checks()
            self._queue_control()
            self.changed.notify_all()
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._accept(event)
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if (stream := self._streams.get(event.stream_id)) and event.data:
                stream._inbox.append(event.data)  # noqa: SLF001
        elif isinstance(event, h2.events.StreamEnded):
            if stream := self._streams.get(event.stream_id):
                stream._ended = True  # noqa: SLF001
        elif isinstance(event, h2.events.StreamReset) and (
            stream := self._streams.get(event.stream_id)
        ):
            stream._reset = True  # noqa: SLF001

    def _accept(self, event: h2.events.RequestReceived) -> None:
        stream = ServerStream(self, event.stream_id, event.headers or [])
        path = stream.path
        if path == _HEALTH:
            self._answer(stream)
            self._checks.append(event.stream_id)
            return
        self._streams[event.stream_id] = stream
        handler = self._handlers.get(path, _unimplemented)
        thread = threading.Thread(
            target=self._serve, args=(stream, handler), daemon=True, name=f"buildkit{path}"
        )
        self._threads.add(thread)
        thread.start()

    def _answer_checks(self) -> None:
        # Bulk data may have used up the connection's window: then the answer goes out
        # with the next bytes the daemon allows, before any other sender gets them.
        while self._checks:
            number = self._checks[0]
            with contextlib.suppress(
                h2.exceptions.NoSuchStreamError, h2.exceptions.StreamClosedError
            ):
                if self._h2.local_flow_control_window(number) < len(_SERVING):
                    return
                self._h2.send_data(number, _SERVING)
                self._trailers(number, OK, "")
            self._checks.popleft()

    def _serve(self, stream: ServerStream, handler: Handler) -> None:
        status, text = OK, ""
        try:
            handler(stream)
        except RpcFailure as failure:
            status, text = failure.status, str(failure)
        except CallAborted:
            status, text = CANCELLED, "canceled"
        except Exception as error:  # noqa: BLE001 - a handler's bug must reach the user as text
            status, text = UNKNOWN, f"{type(error).__name__}: {error}"
        finally:
            self._finish(stream, status, text)
            self._threads.discard(threading.current_thread())

    def _finish(self, stream: ServerStream, status: int, text: str) -> None:
        with self.lock:
            self._streams.pop(stream._id, None)  # noqa: SLF001
            # The daemon may have reset the call or gone a moment before.
            if self._closed or stream._reset:  # noqa: SLF001
                return
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._answer(stream)
                self._trailers(stream._id, status, text)  # noqa: SLF001
            self._queue_control()
        self._flush()

    def _answer(self, stream: ServerStream) -> None:
        if not stream._answered:  # noqa: SLF001
            stream._answered = True  # noqa: SLF001
            self._h2.send_headers(
                stream._id,  # noqa: SLF001
                [(b":status", b"200"), (b"content-type", b"application/grpc")],
            )
            self._queue_control()

    def _trailers(self, stream_id: int, status: int, text: str) -> None:
        trailers = [(b"grpc-status", str(status).encode())]
        if text:
            quoted = quote(text.encode("utf-8", "replace"), safe=" !\"#$&'()*+,/:;<=>?@[]^`{|}~")
            trailers.append((b"grpc-message", quoted.encode()))
        self._h2.send_headers(stream_id, trailers, end_stream=True)

    def _end(self) -> None:
        with self.lock:
            self._closed = True
            for stream in self._streams.values():
                stream._reset = True  # noqa: SLF001
            self._out.clear()
            self.changed.notify_all()

    # Writing. Whoever adds to the queue empties it, unless somebody is at it.

    def grant(self, stream_id: int, amount: int) -> None:
        """Let the daemon send ``amount`` more bytes on a stream (0: the connection)."""
        with self.lock:
            self._out.append(struct.pack(">IBII", 4 << 8 | 8, 0, stream_id, amount))
        self._flush()

    def send_data(self, stream: ServerStream, data: bytes) -> None:
        """See ServerStream.send."""
        view = memoryview(data)
        number = stream._id  # noqa: SLF001
        while view:
            with self.lock:
                stream._check()  # noqa: SLF001
                self._answer(stream)
                while (window := self._h2.local_flow_control_window(number)) <= 0:
                    self.changed.wait()
                    stream._check()  # noqa: SLF001
                amount = min(window, len(view))
                self._queue_data(number, view[:amount])
            view = view[amount:]
            self._flush()

    def _queue_data(self, number: int, view: memoryview) -> None:
        size = self._h2.max_outbound_frame_size
        for start in range(0, len(view), size):
            part = view[start : start + size]
            self._out.append(struct.pack(">IBI", len(part) << 8, 0, number))
            self._out.append(part)
        # The library opens the windows when the daemon says so; we are the ones who use them.
        self._h2.outbound_flow_control_window -= len(view)
        self._h2.streams[number].outbound_flow_control_window -= len(view)

    def _queue_control(self) -> None:
        if data := self._h2.data_to_send():
            self._out.append(data)

    def _flush(self) -> None:
        while True:
            with self.lock:
                if self._flushing or not self._out:
                    return
                parts = [self._out.popleft() for _ in range(min(len(self._out), _MAX_PARTS))]
                self._flushing = True
            try:
                self._send_parts(parts)
            except OSError:
                self._end()
            finally:
                with self.lock:
                    self._flushing = False

    def _send_parts(self, parts: list[bytes | memoryview]) -> None:
        total = sum(len(part) for part in parts)
        sent = self._socket.sendmsg(parts)
        if sent < total:
            self._socket.sendall(b"".join(parts)[sent:])


def _unimplemented(stream: ServerStream) -> None:
    raise RpcFailure(UNIMPLEMENTED, f"unknown method {stream.path}")
