"""Tokens: made once, kept as a hash, compared in constant time, refused after many failures.

In: the Authorization header. Out: the Token, or an error that tells nobody
which part was wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from runners.model.errors import Denied, RunnerError
from tasks_service.errors import Busy
from tasks_service.model.access import Role, Token
from tasks_service.process_log import get_logger
from tasks_service.store import Store

_TEXT = re.compile(r"tsk_(?P<id>[a-z0-9]{4,32})_(?P<secret>[A-Za-z0-9_\-]{20,128})")
_NOBODY = hashlib.sha256(b"").hexdigest()
_USED_EVERY_S = 60.0
_MAX_REMEMBERED = 10_000
_log = get_logger(__name__)


class Unauthorized(Denied):
    """There is no token, or none that is good."""

    code = "unauthorized"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made; ``text`` is known to nobody else, and kept nowhere."""

    token: Token
    text: str


def make_token(
    store: Store,
    *,
    name: str,
    role: Role,
    tasks: tuple[str, ...] = (),
    expires: float | None = None,
) -> NewToken:
    """Store a fresh token and return its text, this once.

    Raises:
        Unavailable: The database does not answer.
    """
    token_id = secrets.token_hex(5)
    text = f"tsk_{token_id}_{secrets.token_urlsafe(32)}"
    made = store.tokens.create(Token(token_id, name, role, tasks, expires=expires), _hash(text))
    return NewToken(made, text)


def first_token(store: Store) -> NewToken | None:
    """Return an admin token if there is no token at all yet; for a first start."""
    if store.tokens.list():
        return None
    made = make_token(store, name="admin", role=Role.ADMIN)
    store.audit.add("system", "token.create", made.token.id, {"name": "admin", "role": "admin"})
    return made


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Failures:
    """How many logins failed lately, by who tried. Thread-safe, bounded."""

    def __init__(
        self,
        *,
        limit: int = 20,
        window_s: float = 60.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._now = now
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, who: str) -> int:
        """Return for how long ``who`` is not listened to; 0 if it is."""
        with self._lock:
            began, count = self._counts.get(who, (0.0, 0))
            left = began + self._window_s - self._now()
            return max(1, int(left) + 1) if count >= self._limit and left > 0 else 0

    def add(self, who: str) -> None:
        """Count a failure."""
        with self._lock:
            now = self._now()
            began, count = self._counts.pop(who, (now, 0))
            if began + self._window_s <= now:
                began, count = now, 0
            self._counts[who] = (began, count + 1)
            while len(self._counts) > _MAX_REMEMBERED:
                self._counts.popitem(last=False)


class Doorkeeper:
    """Tells whose token a request carries. Thread-safe."""

    def __init__(
        self,
        store: Store,
        *,
        failures: Failures | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._failures = failures or Failures()
        self._now = now
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}
        self._good: OrderedDict[str, None] = OrderedDict()

    def admit(self, authorization: str, who: str) -> Token:
        """Return the token of an Authorization header.

        Args:
            authorization: The header's value, or empty.
            who: The address it came from: its failures are counted.

        Raises:
            Unauthorized: It is not good, for whatever reason.
            Busy: Too many failures came from there. A token that was good
                before is let through: others behind the same address go on.
            Unavailable: The database does not answer.
        """
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        hashed = _hash(text)
        wait_s = self._failures.wait_s(who)
        if wait_s and not self._was_good(hashed):
            raise Busy(
                "too many logins failed from your address", retry_after_s=wait_s, hint="wait"
            )
        match = _TEXT.fullmatch(text) if scheme.lower() == "bearer" else None
        found = self._store.tokens.find(match["id"]) if match else None
        token, expected = found or (None, _NOBODY)
        equal = hmac.compare_digest(hashed, expected)
        if token is None or not equal or not self._valid(token):
            if authorization:
                self._failures.add(who)
            raise Unauthorized(
                "there is no token, or it is not good"
                if not authorization
                else "the token is not known, expired or revoked",
                hint="send `Authorization: Bearer tsk_…`; `tasks token create` makes one",
            )
        self._note(token, hashed)
        return token

    def _valid(self, token: Token) -> bool:
        return not token.revoked and (token.expires is None or token.expires > self._now())

    def _was_good(self, hashed: str) -> bool:
        with self._lock:
            return hashed in self._good

    def _note(self, token: Token, hashed: str) -> None:
        now = self._now()
        with self._lock:
            self._good[hashed] = None
            while len(self._good) > _MAX_REMEMBERED:
                self._good.popitem(last=False)
            if now - self._used.get(token.id, 0.0) < _USED_EVERY_S:
                return
            self._used[token.id] = now
        try:
            self._store.tokens.used(token.id)
        except RunnerError as error:
            # Only a date for people: no reason to refuse anything.
            _log.warning("token_use_not_noted", error=error.message)
