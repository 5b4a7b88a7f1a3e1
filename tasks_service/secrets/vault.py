"""Secrets from HashiCorp Vault, KV version 2: ``vault:<mount>/<path>[?version=N]#<key>``.

Settings are those of Vault's own tools: ``VAULT_ADDR``, ``VAULT_TOKEN`` (or the
file they keep, ``~/.vault-token``), ``VAULT_NAMESPACE``, ``VAULT_CACERT``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from runners.model.cancellation import Cancellation
from tasks_service.secrets.base import Access, Location, checked_value, shown
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable
from tasks_service.secrets.http_client import Answer, HTTPClient

_HINT = "write keyvault: vault:<mount>/<path>#<key>"
_STANDBY = frozenset({472, 473})


class Vault:
    """One Vault server and login."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._address = _address(access.setting("VAULT_ADDR"))
        self._http = HTTPClient(
            ca_file=access.setting("VAULT_CACERT") or access.setting("SSL_CERT_FILE")
        )

    def fetch(self, location: Location, cancel: Cancellation) -> str:
        """See Provider. Values that aren't text come back as compact JSON."""
        url = self._address + _path(location)
        answer = self._http.request("GET", url, headers=self._headers(), cancel=cancel)
        if answer.status != 200:
            raise self._refusal(answer, location)
        data = answer.at("data", "data")
        if not isinstance(data, dict):
            raise SecretRefused(
                f"Vault's answer for {_place(location)} is not one of KV version 2",
                hint="the first word of the path must be the mount of a KV version 2 engine",
            )
        if location.key not in data:
            raise SecretRefused(f"{_place(location)} has no key '{shown(location.key)}'")
        return checked_value(_text(data[location.key], location))

    def close(self) -> None:
        """See Provider."""
        self._http.close()

    def _headers(self) -> dict[str, str]:
        headers = {"X-Vault-Token": self._token(), "X-Vault-Request": "true"}
        namespace = self._access.setting("VAULT_NAMESPACE")
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        return headers

    def _token(self) -> str:
        token = self._access.setting("VAULT_TOKEN")
        home = self._access.setting("HOME")
        if not token and home:
            try:
                token = (Path(home) / ".vault-token").read_text().strip()
            except (OSError, UnicodeDecodeError):
                token = ""
        if not token:
            raise SecretRefused("there is no login for Vault", hint="set VAULT_TOKEN")
        if not token.isascii() or not token.isprintable():
            raise SecretRefused("VAULT_TOKEN holds a character that no token has")
        return token

    def _refusal(self, answer: Answer, location: Location) -> SecretRefused | SecretUnavailable:
        """Return the error for an answer other than 200."""
        place = _place(location)
        if answer.status in {401, 403}:
            # Vault says 403 for paths that don't exist, too.
            return SecretRefused(
                f"Vault refused to read {place}",
                hint="check VAULT_TOKEN (expired?), VAULT_NAMESPACE and that its policy may read "
                "<mount>/data/<path>",
            )
        if answer.status == 404:
            if answer.at("data", "metadata") is not None:
                return SecretRefused(f"the asked version of {place} was deleted in Vault")
            return SecretRefused(f"Vault has no {place}")
        if answer.status == 503:
            return SecretUnavailable("Vault is sealed or not ready")
        if answer.status in _STANDBY:
            return SecretUnavailable("this Vault server is a standby that doesn't serve reads")
        if answer.status < 500 and answer.status != 429:
            return SecretRefused(f"Vault answers {answer.status} for {place}")
        return SecretUnavailable(f"Vault answers {answer.status}")


def _address(text: str) -> str:
    """Return the server's address without a trailing slash."""
    if not text:
        raise SecretRefused(
            "vault: secrets need the address of a Vault server", hint="set VAULT_ADDR"
        )
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or parts.query or parts.fragment:
        raise SecretRefused(
            "VAULT_ADDR is not a server's address",
            hint="write it as https://<host>[:<port>]",
        )
    return text.rstrip("/")


def _path(location: Location) -> str:
    """Return the API's path of a location.

    The mount is the first part; one with slashes in its name is written with
    ``%2F``, since nothing else says where the mount ends.
    """
    path, _, query = location.rest.partition("?")
    mount, *parts = [unquote(part) for part in path.strip("/").split("/")]
    every = [*mount.split("/"), *parts]
    if not parts or any(part in {"", ".", ".."} or "/" in part for part in [*every]):
        raise SecretRefused(f"'{shown(location.text)}' is no path in Vault", hint=_HINT)
    if not location.key:
        raise SecretRefused(f"'{shown(location.text)}' names no key", hint=_HINT)
    if location.client_id:
        raise SecretRefused("clientID means nothing to Vault", hint="leave clientID out")
    mounted = "/".join(quote(part, safe="") for part in mount.split("/"))
    below = "/".join(quote(part, safe="") for part in parts)
    return f"/v1/{mounted}/data/{below}{_version(query, location)}"


def _version(query: str, location: Location) -> str:
    if not query:
        return ""
    fields = parse_qs(query, keep_blank_values=True)
    (version, *more) = fields.pop("version", [""])
    if fields or more or not (version.isascii() and version.isdecimal()):
        raise SecretRefused(
            f"'{shown(location.text)}' asks for more than a version", hint=f"{_HINT} or ?version=3"
        )
    return f"?version={int(version)}"


def _place(location: Location) -> str:
    return f"'{shown(location.rest)}'"


def _text(value: Any, location: Location) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise SecretRefused(f"the key '{shown(location.key)}' of {_place(location)} is null")
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
