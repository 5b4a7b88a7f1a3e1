"""Lists in pages: the limit, the cursor and the Link header, the same for every noun."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Query, Request, Response

from runners.model.errors import InvalidInput

Limit = Annotated[int, Query(ge=1, le=500, description="Most items of a page.")]
Cursor = Annotated[str, Query(max_length=200, description="The cursor of the page before.")]


def link_next(request: Request, response: Response, cursor: str) -> None:
    """Point to the next page by a Link header, where there is one (RFC 8288)."""
    if cursor:
        url = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def cursor_of(key: str) -> str:
    """Return the cursor of the page that follows ``key``."""
    return base64.urlsafe_b64encode(f"k{key}".encode()).decode().rstrip("=")


def key_of(cursor: str) -> str:
    """Return the key a cursor stands for; empty for the first page.

    Raises:
        InvalidInput: It is none of ours.
    """
    if not cursor:
        return ""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if text[:1] == b"k":
            return text[1:].decode()
    except (binascii.Error, ValueError):
        pass
    raise InvalidInput("the cursor is none of this list", hint="take it from the page before")
