"""Copying between two connected sockets, both ways, on threads of its own.

``splice`` moves bytes inside the kernel; Python sees only how many. Used by
the registry relay and by the exec dialer.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

_CHUNK = 1 << 20
_F_SETPIPE_SZ = 1031


def start(
    left: socket.socket, right: socket.socket, done: Callable[[], None] = lambda: None
) -> None:
    """Copy both ways until both are done; then close both sockets and call ``done``."""
    _pair(
        lambda: _splice(left, right),
        lambda: _splice(right, left),
        (left, right),
        done,
    )


def start_demultiplexed(plain: socket.socket, framed: socket.socket) -> None:
    """Copy ``plain`` to ``framed`` as it is, and standard output frames back.

    ``framed`` is an attached stream of the Docker API: what comes from it has
    an eight byte head that tells stream and length. Other streams than
    standard output are dropped.
    """
    _pair(lambda: _splice(plain, framed), lambda: _unframe(framed, plain), (plain, framed))


def _pair(
    there: Callable[[], None],
    back: Callable[[], None],
    sockets: tuple[socket.socket, ...],
    done: Callable[[], None] = lambda: None,
) -> None:
    # Whoever ends last closes; until then one direction may stay half open.
    left = threading.Semaphore(1)
    for sock in sockets:
        # splice takes the socket as the kernel has it: a default timeout, which
        # any library may set for the whole process, would make it not block.
        sock.setblocking(True)

    def work(copy: Callable[[], None]) -> None:
        with suppress(OSError):
            copy()
        if not left.acquire(blocking=False):
            for sock in sockets:
                sock.close()
            done()

    for copy in (there, back):
        threading.Thread(target=work, args=(copy,), name="pump", daemon=True).start()


def _splice(source: socket.socket, sink: socket.socket) -> None:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.fcntl(writer, _F_SETPIPE_SZ, _CHUNK)
        while moved := os.splice(source.fileno(), writer, _CHUNK):
            while moved:
                moved -= os.splice(reader, sink.fileno(), moved)
    except OSError:
        # The sink is gone: the source's peer must learn of it too.
        with suppress(OSError):
            source.shutdown(socket.SHUT_RD)
        raise
    finally:
        os.close(reader)
        os.close(writer)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _unframe(source: socket.socket, sink: socket.socket) -> None:
    try:
        for stream, data in frames(source):
            if stream == 1:
                sink.sendall(data)
    finally:
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def frames(source: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield (stream number, bytes) of an attached stream until it ends."""
    while head := _exactly(source, 8):
        stream, length = struct.unpack(">BxxxL", head)
        while length:
            data = source.recv(min(length, 65536))
            if not data:
                return
            length -= len(data)
            yield stream, data


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data
