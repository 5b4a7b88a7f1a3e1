"""Contexts: named servers with their tokens, in one file of the user's own.

In and out: ``$XDG_CONFIG_HOME/tasks/config.toml``, written whole, mode 0600.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runners.model.errors import InvalidInput
from tasks_service.client.address import Server, parse_server
from tasks_service.errors import NotFound

CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,49}")
_KEYS = {"server": str, "token": str, "ca-file": str, "allow-http": bool}


@dataclass(frozen=True, slots=True)
class Context:
    """One named server."""

    name: str
    server: str
    token: str = field(default="", repr=False)
    ca_file: str = ""
    allow_http: bool = False

    def as_server(self) -> Server:
        """Return it as the client takes it.

        Raises:
            InvalidInput: Its address can't be used.
        """
        what = f"context {self.name!r}:"
        url = parse_server(self.server, allow_http=self.allow_http, what=what)
        return Server(url, self.token, self.ca_file, self.name)


@dataclass(frozen=True, slots=True)
class Profiles:
    """All contexts of a user, and which one is used."""

    path: Path
    contexts: Mapping[str, Context] = field(default_factory=dict)
    current: str = ""

    @classmethod
    def load(cls, env: Mapping[str, str]) -> Profiles:
        """Read the user's file; empty if there is none.

        Raises:
            InvalidInput: It is not what ``save`` writes; the message says where.
        """
        path = profiles_path(env)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(path)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}: {error}") from error
        import tomllib

        try:
            body = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(f"{path}: {error}") from error
        contexts, problems = _read(body)
        if problems:
            raise InvalidInput(f"{path}: {problems[0]}", detail="\n".join(problems[1:]))
        return cls(path, contexts, str(body.get("current", "")))

    def get(self, name: str) -> Context:
        """Return a context.

        Raises:
            NotFound: There is none of that name.
        """
        if name not in self.contexts:
            known = ", ".join(self.contexts) or "none yet"
            raise NotFound(
                f"there is no context {name[:60]!r}",
                hint=f"known: {known}; `tasks context add NAME URL` adds one",
            )
        return self.contexts[name]

    def of_address(self, url: str) -> Context | None:
        """Return the context for this address, the current one first, or None."""
        named = sorted(self.contexts.values(), key=lambda context: context.name != self.current)
        for context in named:
            try:
                if context.as_server().url == url:
                    return context
            except InvalidInput:
                continue
        return None

    def with_context(self, context: Context, *, use: bool) -> Profiles:
        """Return the same with one context added or replaced."""
        contexts = {**self.contexts, context.name: context}
        current = context.name if use or not self.current else self.current
        return replace(self, contexts=contexts, current=current)

    def without(self, name: str) -> Profiles:
        """Return the same without one context.

        Raises:
            NotFound: There is none of that name.
        """
        self.get(name)
        contexts = {key: value for key, value in self.contexts.items() if key != name}
        return replace(
            self, contexts=contexts, current="" if self.current == name else self.current
        )

    def save(self) -> None:
        """Write the file, whole or not at all; only its owner may read it.

        Raises:
            InvalidInput: It can't be written.
        """
        import tempfile

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes it 0600 from the start.
            number, name = tempfile.mkstemp(prefix=".config-", dir=self.path.parent)
            try:
                with os.fdopen(number, "w", encoding="utf-8") as stream:
                    stream.write(self._text())
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise InvalidInput(f"{self.path} can't be written: {error.strerror}") from error

    def _text(self) -> str:
        lines = ["# Written by `tasks context`; holds tokens, keep it to yourself."]
        if self.current:
            lines.append(f"current = {_quoted(self.current)}")
        for context in self.contexts.values():
            lines += ["", f"[contexts.{_quoted(context.name)}]"]
            lines.append(f"server = {_quoted(context.server)}")
            if context.token:
                lines.append(f"token = {_quoted(context.token)}")
            if context.ca_file:
                lines.append(f"ca-file = {_quoted(context.ca_file)}")
            if context.allow_http:
                lines.append("allow-http = true")
        return "\n".join(lines) + "\n"

    def readable_by_others(self) -> bool:
        """Return whether others may read the file although it holds tokens."""
        try:
            mode = self.path.stat().st_mode
        except OSError:
            return False
        return bool(mode & 0o077) and any(context.token for context in self.contexts.values())


def profiles_path(env: Mapping[str, str]) -> Path:
    """Return where the user's file is."""
    home = env.get("XDG_CONFIG_HOME") or ""
    folder = Path(home) if home.startswith("/") else Path(env.get("HOME") or "/", ".config")
    return folder / "tasks" / "config.toml"


def _read(body: Mapping[str, Any]) -> tuple[dict[str, Context], list[str]]:
    contexts: dict[str, Context] = {}
    problems = [f"there is no key {key!r}" for key in body if key not in ("current", "contexts")]
    if not isinstance(body.get("current", ""), str):
        problems.append("current must be the name of a context")
    tables = body.get("contexts", {})
    if not isinstance(tables, dict):
        return contexts, [*problems, "contexts must be a table"]
    for name, table in tables.items():
        found = _problems(name, table)
        problems += found
        if not found:
            contexts[name] = Context(
                name,
                table["server"],
                table.get("token", ""),
                table.get("ca-file", ""),
                table.get("allow-http", False),
            )
    return contexts, problems


def _problems(name: str, table: Any) -> list[str]:
    if not isinstance(table, dict):
        return [f"contexts.{name} must be a table"]
    problems = [f"contexts.{name}: there is no key {key!r}" for key in table if key not in _KEYS]
    problems += [
        f"contexts.{name}.{key} must be {'text' if kind is str else 'true or false'}"
        for key, kind in _KEYS.items()
        if key in table and not isinstance(table[key], kind)
    ]
    if "server" not in table:
        problems.append(f"contexts.{name} has no server")
    return problems


def _quoted(text: str) -> str:
    # JSON's texts are TOML's basic strings, but for DEL.
    return json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f")
