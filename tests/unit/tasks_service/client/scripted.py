"""A server in memory: a function answers, the requests are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from tasks_service.client.address import Server
from tasks_service.client.service import ServiceClient

URL = "http://127.0.0.1:8080"


class Scripted:
    """Answers with what is left in ``replies``; the last one stays."""

    def __init__(self, *replies: httpx2.Response | Exception | Callable[..., Any]) -> None:
        self.replies = list(replies)
        self.requests: list[httpx2.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply(request) if callable(reply) else reply

    def client(self, token: str = "tsk_a_secret") -> ServiceClient:
        return ServiceClient(
            Server(URL, token), transport=httpx2.MockTransport(self), sleep=self.pauses.append
        )

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


def reply(status: int, body: Any = None, **headers: str) -> httpx2.Response:
    return httpx2.Response(
        status,
        json=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def problem(status: int, code: str, detail: str, **more: Any) -> httpx2.Response:
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    return httpx2.Response(
        status, json=body | more, headers={"content-type": "application/problem+json"}
    )


class Blocks(httpx2.SyncByteStream):
    """A body that may break off: an exception among the blocks is raised."""

    def __init__(self, *blocks: bytes | Exception) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            if isinstance(block, Exception):
                raise block
            yield block


def events(*blocks: bytes | Exception) -> httpx2.Response:
    return httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, stream=Blocks(*blocks)
    )


def log(number: int, text: str, step: str = "app", stream: str = "stdout") -> bytes:
    data = {
        "number": number,
        "step": step,
        "stream": stream,
        "time": "2026-11-25T20:00:00.000Z",
        "text": text,
    }
    return f"id: {number}\nevent: log\ndata: {json.dumps(data)}\n\n".encode()


def event(kind: str, **body: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()
