"""Registry logins of the user: read from Docker's own configuration, never from argv.

In: the user's ``config.json``, credential helpers, two environment variables.
Out: RegistryLogin values for the registries a run really names, so that a
task gets no login it has no use for.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runners.model.errors import InvalidInput

HUB = "docker.io"
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_HELPER_S = 20


@dataclass(frozen=True, slots=True)
class Login:
    """One login, for one registry. Never printed."""

    registry: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """What Docker's ``config.json`` says about logins."""

    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    path: Path | None = None

    @classmethod
    def load(cls, env: Mapping[str, str]) -> DockerConfig:
        """Read ``$DOCKER_CONFIG/config.json`` or the one below HOME; empty if absent.

        Raises:
            InvalidInput: The file is no JSON object.
        """
        folder = env.get("DOCKER_CONFIG") or str(Path(env.get("HOME") or "/", ".docker"))
        path = Path(folder, "config.json")
        try:
            body = json.loads(path.read_bytes())
        except OSError:
            return cls()
        except ValueError as exc:
            raise InvalidInput(f"{path} is not JSON: {exc}") from exc
        if not isinstance(body, dict):
            raise InvalidInput(f"{path} is not a JSON object")
        return cls(
            auths=_mapping(body.get("auths")),
            helpers={str(k): str(v) for k, v in _mapping(body.get("credHelpers")).items()},
            store=str(body.get("credsStore") or ""),
            path=path,
        )

    def hosts(self) -> tuple[str, ...]:
        """Return every registry that has a login, the store's included."""
        keys = [*self.auths, *self.helpers]
        if self.store:
            keys += _ask_helper(self.store, "list", "")
        return tuple(dict.fromkeys(_host(key) for key in keys))

    def find(self, registry: str) -> Login | None:
        """Return the login of one registry, or None."""
        keys = _HUB_KEYS if registry == HUB else (registry, f"https://{registry}")
        for key in keys:
            helper = self.helpers.get(key)
            if helper:
                return _from_helper(helper, key, registry)
        for key in self.auths:
            if _host(key) == registry:
                login = _from_auth(self.auths[key], registry)
                if login is not None:
                    return login
        if not self.store:
            return None
        key = _HUB_KEYS[0] if registry == HUB else registry
        return _from_helper(self.store, key, registry)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _host(key: str) -> str:
    if key in _HUB_KEYS:
        return HUB
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _from_auth(entry: Any, registry: str) -> Login | None:
    entry = _mapping(entry)
    if entry.get("identitytoken"):
        return Login(registry, "<token>", str(entry["identitytoken"]))
    if not entry.get("auth"):
        return None
    try:
        text = base64.b64decode(str(entry["auth"]), validate=True).decode().rstrip("\0")
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise InvalidInput(f"the login of {registry} in Docker's config.json is damaged") from exc
    username, colon, password = text.partition(":")
    return Login(registry, username, password) if colon else None


def _from_helper(helper: str, key: str, registry: str) -> Login | None:
    answer = _ask_helper(helper, "get", key)
    if not isinstance(answer, dict) or not answer.get("Secret"):
        return None
    return Login(registry, str(answer.get("Username", "")), str(answer["Secret"]))


def _ask_helper(helper: str, verb: str, text: str) -> Any:
    if not _HELPER_NAME.fullmatch(helper):
        raise InvalidInput(f"Docker's config.json names a strange credential helper {helper!r}")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb],
            input=text.encode(),
            capture_output=True,
            timeout=_HELPER_S,
            check=False,
        )
    except FileNotFoundError:
        raise InvalidInput(
            f"the credential helper {program} is not installed",
            hint="install it, or remove it from Docker's config.json",
        ) from None
    except subprocess.TimeoutExpired:
        raise InvalidInput(f"{program} did not answer within {_HELPER_S} s") from None
    if done.returncode:
        # "Not found" is the usual reason and no error.
        return {}
    try:
        return json.loads(done.stdout)
    except ValueError as exc:
        raise InvalidInput(f"{program} answered something that is not JSON") from exc


def find_logins(
    *,
    registry: str,
    named: Iterable[str],
    texts: Iterable[str],
    env: Mapping[str, str],
    hub: bool = True,
) -> tuple[Login, ...]:
    """Return the logins this run may use.

    Args:
        registry: The run's own; ``TASKS_REGISTRY_USERNAME`` and
            ``TASKS_REGISTRY_PASSWORD`` are its login.
        named: Registries the user named (``--login``); each must have one.
        texts: Texts of the user's own; a registry with a login that occurs
            in one is used too.
        env: The environment.
        hub: Use Docker Hub's login without a mention.

    Raises:
        InvalidInput: A named registry has no login, or one can't be read.
    """
    config = DockerConfig.load(env)
    named = tuple(named)
    everything = "\n".join(texts)
    wanted = [registry] if registry else []
    wanted += named
    for host in config.hosts() if hub or everything else ():
        if (hub and host == HUB) or _names(everything, host):
            wanted.append(host)
    found: dict[str, Login] = {}
    own = _own_login(registry, env)
    if own is not None:
        found[registry] = own
    for host in dict.fromkeys(wanted):
        login = found.get(host) or config.find(host)
        if login is not None:
            found[host] = login
        elif host in named:
            raise InvalidInput(
                f"there is no login for registry {host!r}", hint=f"run `docker login {host}`"
            )
    return tuple(found.values())


def _names(text: str, host: str) -> bool:
    return bool(host) and re.search(rf"(?<![\w.\-]){re.escape(host)}/", text) is not None


def _own_login(registry: str, env: Mapping[str, str]) -> Login | None:
    username = env.get("TASKS_REGISTRY_USERNAME", "")
    password = env.get("TASKS_REGISTRY_PASSWORD", "")
    if not username and not password:
        return None
    if not (registry and username and password):
        raise InvalidInput(
            "TASKS_REGISTRY_USERNAME and TASKS_REGISTRY_PASSWORD work together, with a registry",
            hint="set both and give the registry by -r",
        )
    return Login(registry, username, password)


def hide_from_children() -> None:
    """Take the login and token variables out of this process's environment.

    Credential helpers and Git are started later; none of them needs these.
    """
    for name in ("TASKS_REGISTRY_PASSWORD", "TASKS_GIT_TOKEN"):
        os.environ.pop(name, None)
