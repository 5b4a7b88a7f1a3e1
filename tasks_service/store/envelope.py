"""Sealing of secrets: AES-256-GCM, one data key a secret, wrapped by a key of the service.

In: bytes and what they belong to. Out: text for a column. The place (table
and key of the row) is authenticated, so that a sealed text can't be moved to
another row. Keys are in a file that only the service's user can read; the
last one seals, all of them open.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runners.model.errors import InvalidInput, SystemFault

_NONCE = 12
_KEY = 32


class SealBroken(SystemFault):
    """A sealed text that no key opens: damaged, moved, or its key is gone."""

    code = "seal_broken"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Seals and opens. ``keys`` maps key ids to 32 bytes, the newest last."""

    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, content: bytes, place: str) -> str:
        """Return the sealed text of ``content``, which belongs to ``place``."""
        key = AESGCM.generate_key(256)
        nonce = os.urandom(_NONCE)
        body = AESGCM(key).encrypt(nonce, content, place.encode())
        return self._wrap(key, nonce + body, place)

    def open(self, sealed: str, place: str) -> bytes:
        """Return what was sealed for ``place``.

        Raises:
            SealBroken: No key opens it.
        """
        key, body = self._unwrap(sealed, place)
        try:
            return AESGCM(key).decrypt(body[:_NONCE], body[_NONCE:], place.encode())
        except InvalidTag:
            raise _broken(place) from None

    def rewrap(self, sealed: str, place: str) -> str:
        """Return the same secret under the newest key; unchanged if it is already."""
        if sealed.partition(".")[0] == self._newest:
            return sealed
        key, body = self._unwrap(sealed, place)
        return self._wrap(key, body, place)

    @property
    def _newest(self) -> str:
        return tuple(self.keys)[-1]

    def _wrap(self, key: bytes, body: bytes, place: str) -> str:
        name = self._newest
        nonce = os.urandom(_NONCE)
        wrapped = nonce + AESGCM(self.keys[name]).encrypt(nonce, key, f"{name}:{place}".encode())
        return ".".join((name, _text(wrapped), _text(body)))

    def _unwrap(self, sealed: str, place: str) -> tuple[bytes, bytes]:
        try:
            name, wrapped_text, body_text = sealed.split(".")
            wrapped, body = _bytes(wrapped_text), _bytes(body_text)
            key = AESGCM(self.keys[name]).decrypt(
                wrapped[:_NONCE], wrapped[_NONCE:], f"{name}:{place}".encode()
            )
        except (ValueError, KeyError, InvalidTag, binascii.Error):
            raise _broken(place) from None
        return key, body


def _broken(place: str) -> SealBroken:
    return SealBroken(
        f"the secrets of {place} can't be opened",
        hint="the key file must hold the key that sealed them; restore it from the backup",
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _bytes(text: str) -> bytes:
    found = base64.b64decode(text, altchars=b"-_", validate=True)
    if _text(found) != text:
        # Else the last letter could be another one with the same meaning.
        raise ValueError("not written as we write it")
    return found


def load_keys(path: Path, *, create: bool = False) -> Envelope:
    """Read the key file; with ``create``, make it where there is none.

    Raises:
        InvalidInput: It can't be read, is damaged, or others may read it.
    """
    if create and not path.exists():
        _write(path, {_new_id(): AESGCM.generate_key(256)}, exclusive=True)
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidInput(
                f"the key file {path} can be read by others",
                hint=f"chmod 600 {path}; if others may have read it, rotate: `tasks keys rotate`",
            )
        keys = {str(name): _bytes(text) for name, text in json.loads(path.read_text()).items()}
    except OSError as error:
        raise InvalidInput(f"the key file {path}: {(error.strerror or str(error)).lower()}") from (
            error
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInput(f"the key file {path} is damaged") from error
    if not keys or any(len(key) != _KEY for key in keys.values()):
        raise InvalidInput(f"the key file {path} holds no 256-bit keys")
    return Envelope(keys)


def add_key(path: Path) -> Envelope:
    """Add a fresh key to the file, which seals from now on, and return the envelope."""
    keys = dict(load_keys(path).keys)
    keys[_new_id()] = AESGCM.generate_key(256)
    _write(path, keys, exclusive=False)
    return Envelope(keys)


def drop_old_keys(path: Path) -> Envelope:
    """Leave only the newest key in the file, after all was rewrapped."""
    keys = dict(load_keys(path).keys)
    name = next(reversed(keys))
    kept = {name: keys[name]}
    _write(path, kept, exclusive=False)
    return Envelope(kept)


def _new_id() -> str:
    return "k" + secrets.token_hex(4)


def _write(path: Path, keys: Mapping[str, bytes], *, exclusive: bool) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump({name: _text(key) for name, key in keys.items()}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        if exclusive:
            # Two first starts at once must agree on one key.
            os.link(partial, path)
            partial.unlink()
        else:
            partial.replace(path)
    except FileExistsError:
        partial.unlink()
