"""Copying between a client and a registry that lets through only what reads.

In: two connected sockets. Requests are looked at one by one: each must be a GET
or HEAD without a body, so that nothing but heads ever goes to the registry.
Anything else, TLS too, is answered by 403 and ends the connection. Answers are
copied as they are.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_MOST_HEAD = 64 << 10
_CHUNK = 256 << 10
_REQUEST = re.compile(rb"(?:GET|HEAD) /[!-~]* HTTP/1\.[01]")
_BODY = re.compile(
    rb"\r\n(?:content-length|transfer-encoding|upgrade|expect)[ \t]*:", re.IGNORECASE
)
_STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_REFUSAL = b'{"errors":[{"code":"DENIED","message":"push denied: untrusted run","detail":null}]}\n'
_ANSWER = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Docker-Distribution-Api-Version: registry/2.0\r\nContent-Length: %d\r\n\r\n%s"
    % (len(_REFUSAL), _REFUSAL)
)


def start(
    client: socket.socket, registry: socket.socket, done: Callable[[], None] = lambda: None
) -> None:
    """Copy both ways until one side ends; then close both sockets and call ``done``."""
    left = threading.Semaphore(1)

    def work(copy: Callable[[], None]) -> None:
        with suppress(OSError):
            copy()
        for sock in (client, registry):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if not left.acquire(blocking=False):
            client.close()
            registry.close()
            done()

    for sock in (client, registry):
        sock.setblocking(True)
    for copy in (lambda: _ask(client, registry), lambda: _answer(registry, client)):
        threading.Thread(target=work, args=(copy,), name="reader", daemon=True).start()


def reads_only(head: bytes) -> bool:
    """Return whether a request's head, without the empty line, only reads."""
    line, _, rest = head.partition(b"\r\n")
    if not _REQUEST.fullmatch(line) or _STRAY.search(head) or b"\0" in head:
        return False
    # Folded lines could hide a field from us that the registry sees.
    folded = b"\r\n " in head or b"\r\n\t" in head
    return not folded and not _BODY.search(b"\r\n" + rest)


def _ask(client: socket.socket, registry: socket.socket) -> None:
    waiting = b""
    while True:
        end = waiting.find(b"\r\n\r\n")
        if end < 0:
            if len(waiting) > _MOST_HEAD or not _may_become(waiting):
                client.sendall(_ANSWER)
                _drain(client)
                return
            data = client.recv(_CHUNK)
            if not data:
                return
            waiting += data
            continue
        head, waiting = waiting[:end], waiting[end + 4 :]
        if not reads_only(head):
            client.sendall(_ANSWER)
            _drain(client)
            return
        registry.sendall(head + b"\r\n\r\n")


def _may_become(head: bytes) -> bool:
    return any(head[:6].startswith(word[: len(head)]) for word in (b"GET /", b"HEAD /"))


def _drain(client: socket.socket) -> None:
    # A body that is still on its way would make the refusal be lost.
    client.settimeout(2)
    for _ in range(64):
        if not client.recv(_CHUNK):
            return


def _answer(registry: socket.socket, client: socket.socket) -> None:
    while data := registry.recv(_CHUNK):
        client.sendall(data)
