"""Which server a command asks, and with which token.

Precedence: ``--server``, then TASKS_SERVER or TASKS_CONTEXT, then the
project's ``.tasks.toml``, then the user's current context. A token goes to the
server it is for and to no other; what a project's file names gets none but
that of the user's own context for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runners.model.errors import InvalidInput
from tasks_service.cli.remote.profiles import Profiles
from tasks_service.client.address import Server, parse_server

if TYPE_CHECKING:
    from tasks_service.client.service import ServiceClient

PROJECT_FILE = ".tasks.toml"
_PROJECT_KEYS = ("server", "context")


def connect(parameters: Mapping[str, Any]) -> ServiceClient:
    """Return a client of the server that the options and the surroundings name.

    Raises:
        InvalidInput: None is named, or what names it is wrong.
        NotFound: There is no such context.
    """
    from tasks_service.client.service import ServiceClient

    return ServiceClient(require_server(parameters.get("server") or ""))


def require_server(flag: str) -> Server:
    """Return the server to ask.

    Raises:
        InvalidInput, NotFound: See ``connect``.
    """
    server = find_server(flag, os.environ, Path.cwd())
    if server is None:
        raise InvalidInput(
            "no server is configured",
            hint="`tasks context add NAME URL`, or set TASKS_SERVER and TASKS_TOKEN;"
            " `tasks up` starts a server on this machine",
        )
    return server


def find_server(flag: str, env: Mapping[str, str], folder: Path) -> Server | None:
    """Return the server to ask, or None if nothing names one.

    Args:
        flag: An address or the name of a context, or empty.
        env: The environment.
        folder: Where to begin looking for the project's file.

    Raises:
        InvalidInput, NotFound: See ``connect``.
    """
    profiles = Profiles.load(env)
    if profiles.readable_by_others():
        sys.stderr.write(f"warning: others can read the tokens in {profiles.path}: chmod 600\n")
    for given, what in ((flag, "--server"), (env.get("TASKS_SERVER", ""), "TASKS_SERVER")):
        if given:
            return _named(given, what, profiles, env)
    if env.get("TASKS_CONTEXT"):
        return _with_own_token(profiles.get(env["TASKS_CONTEXT"]).as_server(), env)
    project = _project(folder)
    if project is not None:
        return _of_project(*project, profiles)
    if profiles.current:
        return _with_own_token(profiles.get(profiles.current).as_server(), env)
    return None


def _named(given: str, what: str, profiles: Profiles, env: Mapping[str, str]) -> Server:
    if "://" not in given:
        return _with_own_token(profiles.get(given).as_server(), env)
    allow_http = env.get("TASKS_ALLOW_HTTP_SERVER", "") not in ("", "0")
    url = parse_server(given, allow_http=True, what=what)
    context = profiles.of_address(url)
    if context is not None:
        return _with_own_token(context.as_server(), env)
    return _with_own_token(Server(parse_server(given, allow_http=allow_http, what=what)), env)


def _with_own_token(server: Server, env: Mapping[str, str]) -> Server:
    token = env.get("TASKS_TOKEN", "").strip() or server.token
    if any(not "!" <= character <= "~" for character in token):
        raise InvalidInput("TASKS_TOKEN holds characters that no token has")
    return Server(server.url, token, server.ca_file, server.name)


def _project(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Return the nearest project file up to the repository's root, and what it says."""
    for place in (folder, *folder.parents):
        path = place / PROJECT_FILE
        if path.is_file():
            return path, _project_body(path)
        if (place / ".git").exists():
            return None
    return None


def _project_body(path: Path) -> Mapping[str, Any]:
    import tomllib

    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    if "token" in body:
        raise InvalidInput(
            f"{path} holds a token, which a project's file must not",
            hint="revoke that token, and give yours by `tasks context add` or TASKS_TOKEN",
        )
    for key, value in body.items():
        if key not in _PROJECT_KEYS:
            raise InvalidInput(f"{path}: there is no key {key!r}; known: server, context")
        if not isinstance(value, str):
            raise InvalidInput(f"{path}: {key} must be text")
    return body


def _of_project(path: Path, body: Mapping[str, Any], profiles: Profiles) -> Server | None:
    if "context" in body:
        return profiles.get(str(body["context"])).as_server()
    if "server" not in body:
        return None
    url = parse_server(str(body["server"]), allow_http=True, what=f"{path}: server")
    context = profiles.of_address(url)
    if context is None:
        # Whoever wrote the file chose the address: the environment's token is
        # not for it until the user says so.
        raise InvalidInput(
            f"{path} names the server {url}, which you have no context for",
            hint=f"`tasks context add NAME {url}` if you trust it, or set TASKS_SERVER={url};"
            " `tasks run --local` runs here",
        )
    return context.as_server()
