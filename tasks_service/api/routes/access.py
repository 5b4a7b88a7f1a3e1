"""Tokens and the audit log; for admins."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tasks_service.api.caller import Admin
from tasks_service.api.models.base import parse_time
from tasks_service.api.models.inputs import TokenInput
from tasks_service.api.models.views import (
    AuditPageView,
    NewTokenView,
    TokenPageView,
    TokenView,
    audit_view,
    token_fields,
)
from tasks_service.api.parts import Wired
from tasks_service.api.routes.paging import Cursor, Limit, cursor_of, key_of, link_next
from tasks_service.api.tokens import make_token
from tasks_service.errors import NotFound
from tasks_service.model.access import Role
from tasks_service.runs.fields import FieldError, InvalidFields

router = APIRouter(prefix="/api/v1", tags=["access"])
_Text = Annotated[str, Query(max_length=200)]


@router.get("/tokens")
def list_tokens(caller: Admin, parts: Wired) -> TokenPageView:
    """List all tokens, newest first, without their secrets."""
    del caller
    return TokenPageView(items=[TokenView(**token_fields(t)) for t in parts.store.tokens.list()])


@router.post("/tokens", status_code=201)
def create_token(body: TokenInput, caller: Admin, parts: Wired, response: Response) -> NewTokenView:
    """Make a token. Its text is in this answer and nowhere else."""
    expires = None
    if body.expires is not None:
        try:
            expires = parse_time(body.expires)
        except ValueError as error:
            raise InvalidFields([FieldError("/expires", str(error))]) from None
        if expires <= time.time():
            raise InvalidFields([FieldError("/expires", "is over already")])
    role = Role.of(body.role)
    assert role is not None  # noqa: S101 - the body's form says so
    made = make_token(
        parts.store, name=body.name, role=role, tasks=tuple(body.tasks or ()), expires=expires
    )
    caller.audit(
        parts.store,
        "token.create",
        f"tokens/{made.token.id}",
        name=body.name,
        role=body.role,
        tasks=body.tasks or [],
    )
    response.headers["Location"] = f"/api/v1/tokens/{made.token.id}"
    return NewTokenView(**token_fields(made.token), token=made.text)


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(token_id: str, caller: Admin, parts: Wired) -> None:
    """End a token for good. Idempotent."""
    if not parts.store.tokens.revoke(token_id):
        raise NotFound(f"there is no token {token_id[:40]!r}", hint="`tasks token list` shows them")
    caller.audit(parts.store, "token.revoke", f"tokens/{token_id}")


@router.get("/audit")
def list_audit(
    caller: Admin,
    parts: Wired,
    request: Request,
    response: Response,
    object: _Text = "",  # noqa: A002 - the parameter's name on the wire
    actor: _Text = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> AuditPageView:
    """List changes, newest first."""
    del caller
    key = key_of(cursor)
    before = int(key) if key.isascii() and key.isdecimal() and len(key) < 18 else None
    entries = parts.store.audit.list(
        before=before,
        object_=object.replace("\0", ""),
        actor=actor.replace("\0", ""),
        limit=limit + 1,
    )
    more, entries = len(entries) > limit, entries[:limit]
    following = cursor_of(str(entries[-1].number)) if more else ""
    link_next(request, response, following)
    return AuditPageView(items=[audit_view(entry) for entry in entries], cursor=following)
