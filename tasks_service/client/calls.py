"""What all calls of the REST API stand on: one connection, objects and pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from tasks_service.client.address import Server
from tasks_service.client.answers import JSON, Page, read_object
from tasks_service.client.transport import Transport

API = "/api/v1"
PAGE = 100


class Calls:
    """A connection to one server; a context manager that closes it."""

    def __init__(
        self,
        server: Server,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.server = server
        self._http = Transport(server, transport=transport, sleep=sleep)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def _get(self, path: str, what: str) -> JSON:
        return read_object(self._http.request("GET", API + path).body, what)

    def _items(self, path: str, filters: Mapping[str, str], limit: int) -> Iterator[JSON]:
        cursor, left = "", limit
        while left > 0:
            query: dict[str, Any] = {**filters, "limit": str(min(left, PAGE)), "cursor": cursor}
            page = Page.of(self._http.request("GET", API + path, query=query).body)
            yield from page.items[:left]
            left -= len(page.items)
            if not page.cursor or page.cursor == cursor or not page.items:
                return
            cursor = page.cursor


def quoted(text: str) -> str:
    """Return a name as one part of a path."""
    # "." and ".." would be taken for folders on the way.
    return "%2E" * len(text) if text in (".", "..") else quote(text, safe="")
