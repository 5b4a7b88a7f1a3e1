"""A daemon for the session server: h2's own client, driven by hand."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import h2.config
import h2.connection
import h2.events

from runners.clients.buildkit.h2server import Handler, SessionServer
from runners.clients.buildkit.rpc import frame, split_messages


@dataclass
class Call:
    """What has come back on one call."""

    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    @property
    def messages(self) -> list[bytes]:
        return split_messages(self.data)[0]

    @property
    def status(self) -> int:
        return int(self.headers["grpc-status"])


class Peer:
    """The daemon's end of a session."""

    def __init__(self, handlers: Mapping[str, Handler], *, acknowledge: bool = True) -> None:
        ours, theirs = socket.socketpair()
        self.server = SessionServer(theirs, b"", handlers)
        self.server.start()
        self._socket = ours
        self._socket.settimeout(10)
        self._acknowledge = acknowledge
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        self._h2.initiate_connection()
        self._calls: dict[int, Call] = {}
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self.server.close()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def open(self, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> int:
        number = self._h2.get_next_available_stream_id()
        self._calls[number] = Call()
        headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
        self._h2.send_headers(number, [*headers, ("te", "trailers"), *metadata])
        self._flush()
        return number

    def send(self, number: int, *messages: bytes, end: bool = False) -> None:
        data = b"".join(map(frame, messages))
        while data:
            size = min(len(data), 16384, self._h2.local_flow_control_window(number))
            if not size:
                self.step()
                continue
            self._h2.send_data(number, data[:size])
            data = data[size:]
            self._flush()
        if end:
            self._h2.end_stream(number)
            self._flush()

    def reset(self, number: int) -> None:
        self._h2.reset_stream(number)
        self._flush()

    def allow(self, amount: int, number: int | None = None) -> None:
        self._h2.increment_flow_control_window(amount, number)
        self._flush()

    def step(self) -> None:
        received = self._socket.recv(1 << 16)
        if not received:
            raise EOFError
        for event in self._h2.receive_data(received):
            number = getattr(event, "stream_id", None)
            call = self._calls.get(number) if number else None
            if isinstance(event, h2.events.DataReceived) and call:
                call.data += event.data
                if self._acknowledge:
                    self._h2.acknowledge_received_data(event.flow_controlled_length, number)
            elif (
                isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)) and call
            ):
                call.headers |= dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded) and call:
                call.ended = True
        self._flush()

    def until_end(self, number: int) -> Call:
        call = self._calls[number]
        while not call.ended:
            self.step()
        return call

    def until_messages(self, number: int, count: int) -> list[bytes]:
        call = self._calls[number]
        while len(call.messages) < count and not call.ended:
            self.step()
        return call.messages

    def unary(self, path: str, request: bytes = b"", *metadata: tuple[str, str]) -> Call:
        number = self.open(path, metadata)
        self.send(number, request, end=True)
        return self.until_end(number)
