"""Registry logins for the daemon: explicit ones, or those of a Docker configuration.

A host name in, user and secret out; called by session.py when the daemon
meets a registry that wants a login. The daemon fetches tokens itself: the
methods that would keep the secret on our side are answered UNIMPLEMENTED,
which is how a client says so.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runners.clients.buildkit._pb import session_pb2
from runners.clients.buildkit.h2server import Handler
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.rpc import UNIMPLEMENTED, UNKNOWN, RpcFailure
from runners.clients.buildkit.session import unary

_HUB_HOSTS = ("registry-1.docker.io", "index.docker.io", "docker.io")
_HUB_KEYS = ("https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # noqa: S105 - the user name helpers give with an identity token
_HELPER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Login:
    """User and secret. An identity token has an empty user name."""

    username: str = ""
    secret: str = field(default="", repr=False)


Logins = Callable[[str], Login]
"""Return the login for a registry host (``host[:port]``), empty where there is none.

Called from many threads. Raises ValueError with a text for the user.
"""


def no_logins(_: str) -> Login:
    """Know no login at all."""
    return Login()


def static_logins(logins: Mapping[str, Login]) -> Logins:
    """Know the given logins, by registry host; ``docker.io`` stands for Docker Hub."""
    known = {_normal(host): login for host, login in logins.items()}
    return lambda host: known.get(_normal(host), Login())


def _normal(host: str) -> str:
    host = host.removeprefix("https://").removeprefix("http://").split("/", 1)[0]
    return "docker.io" if host in _HUB_HOSTS else host


class DockerConfigLogins:
    """The logins of a ``config.json``: its ``auths``, ``credHelpers`` and ``credsStore``.

    The file is read once, when first needed; a missing one holds no logins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config: dict[str, Any] | None = None

    def __call__(self, host: str) -> Login:
        """See ``Logins``."""
        config = self._load()
        keys = _HUB_KEYS if host in _HUB_HOSTS else (host, f"https://{host}", f"https://{host}/")
        helpers = config.get("credHelpers") or {}
        for key in keys:
            if key in helpers:
                return _ask_helper(helpers[key], key)
        if store := config.get("credsStore"):
            login = _ask_helper(store, keys[0])
            if login.secret:
                return login
        auths = {_trim(key): value for key, value in (config.get("auths") or {}).items()}
        for key in keys:
            if found := auths.get(_trim(key)):
                return _from_auth(found, key)
        return Login()

    def _load(self) -> dict[str, Any]:
        # Most builds never ask for a login.
        import json

        if self._config is None:
            try:
                loaded = json.loads(self._path.read_text())
            except FileNotFoundError:
                loaded = {}
            except (OSError, ValueError) as error:
                raise ValueError(f"the Docker configuration {self._path}: {error}") from error
            self._config = loaded if isinstance(loaded, dict) else {}
        return self._config


def _trim(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").rstrip("/")


def _from_auth(entry: dict[str, Any], key: str) -> Login:
    if token := entry.get("identitytoken"):
        return Login("", token)
    if encoded := entry.get("auth"):
        try:
            user, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"the login for {key} is not base64 of user:password") from error
        return Login(user, secret.rstrip("\0"))
    return Login(entry.get("username", ""), entry.get("password", ""))


def _ask_helper(helper: str, key: str) -> Login:
    import json

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"the credential helper {program} cannot be run: {error}") from error
    if done.returncode != 0:
        text = (done.stdout or done.stderr).decode(errors="replace").strip()
        if "credentials not found" in text:
            return Login()
        raise ValueError(f"the credential helper {program} failed: {text}")
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise ValueError(f"the credential helper {program} gave no JSON") from error
    user = answer.get("Username", "")
    return Login("" if user == _TOKEN_USER else user, answer.get("Secret", ""))


class AuthService:
    """Serves the Auth methods from a ``Logins``."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def handlers(self) -> dict[str, Handler]:
        """See ``session.Service``."""
        service = "/moby.filesync.v1.Auth"
        return {
            f"{service}/Credentials": unary(self._credentials),
            f"{service}/FetchToken": _daemon_does_it,
            f"{service}/GetTokenAuthority": _daemon_does_it,
            f"{service}/VerifyTokenAuthority": _daemon_does_it,
        }

    def _credentials(self, request: bytes, _: ServerStream) -> bytes:
        host = session_pb2.CredentialsRequest.FromString(request).Host
        try:
            login = self._logins(host)
        except ValueError as error:
            raise RpcFailure(UNKNOWN, str(error)) from error
        answer = session_pb2.CredentialsResponse(Username=login.username, Secret=login.secret)
        return answer.SerializeToString()


def _daemon_does_it(_: ServerStream) -> None:
    raise RpcFailure(UNIMPLEMENTED, "tokens are fetched by the daemon")
