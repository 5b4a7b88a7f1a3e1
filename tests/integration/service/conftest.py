"""A server on SQLite in this process, and the command line that asks it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from tasks_service.api.app import create_app, stop_streams
from tasks_service.api.tokens import make_token
from tasks_service.blobs import BlobStore
from tasks_service.cli.main import main
from tasks_service.config import Settings
from tasks_service.daemons.http import HTTPServer
from tasks_service.daemons.parts import Parts, open_parts
from tasks_service.model.access import Role
from tasks_service.process_log import set_up_logging
from tasks_service.store import Store


class Deaf:
    """Wakes nobody: the tests' own hands look into the database."""

    def wake(self, pool: str) -> None:
        """Do nothing."""


class Service:
    """One server, its address, and an admin's token."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "state"
        """Where its database and uploads are."""
        self._parts: Parts = open_parts(Settings(state_dir=self.folder, **settings), migrate=True)
        self._listen = "127.0.0.1:0"
        self._http = self._serve()
        self.token = make_token(self.store, name="admin", role=Role.ADMIN).text

    def _serve(self) -> HTTPServer:
        parts = self._parts
        app = create_app(parts.settings, parts.store, parts.uploads, parts.logs, Deaf())
        http = HTTPServer(app, self._listen, on_stop=lambda: stop_streams(app))
        http.start()
        self._listen = http.address
        return http

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self._listen}"

    @property
    def store(self) -> Store:
        """Its database."""
        return self._parts.store

    @property
    def uploads(self) -> BlobStore:
        """What was uploaded to it."""
        return self._parts.uploads

    def restart(self) -> None:
        """Stop serving and begin again, at the same address."""
        self._http.stop()
        self._http = self._serve()

    def close(self) -> None:
        """Stop for good."""
        self._http.stop()
        self._parts.close()


@pytest.fixture(scope="module")
def service_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of all servers of a module, in a file; no canary is in it."""
    path = tmp_path_factory.mktemp("log") / "service.log"
    before = logging.getLogger().handlers[:]
    with path.open("w") as out:
        set_up_logging(form="json", out=out)
        yield path
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = before
    assert "canary" not in path.read_text()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, service_log: Path) -> Iterator[Service]:
    """A server for all tests of a module."""
    del service_log
    found = Service(tmp_path_factory.mktemp("service"))
    yield found
    found.close()


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed."""

    out: str
    err: str


class CommandLine:
    """Runs ``tasks`` in this process."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._token = token

    def __call__(self, *words: str, code: int = 0) -> Said:
        """Run one command, which must end with ``code``."""
        self._capsys.readouterr()
        found = main([*words])
        out, err = self._capsys.readouterr()
        assert found == code, f"tasks {' '.join(words)}: exit code {found}\n{out}\n{err}"
        assert "Traceback" not in err
        return Said(out, err)

    def json(self, *words: str) -> Any:
        """Run one command and return the JSON it prints."""
        return json.loads(self(*words, "-o", "json").out)

    def with_token(self, token: str) -> CommandLine:
        """Return the same with another token, from now on."""
        return _With(self._monkeypatch, self._capsys, token)


class _With(CommandLine):
    def __call__(self, *words: str, code: int = 0) -> Said:
        with self._monkeypatch.context() as patched:
            patched.setenv("TASKS_TOKEN", self._token)
            return super().__call__(*words, code=code)


@pytest.fixture
def cli(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """The command line with the admin's token."""
    monkeypatch.setenv("TASKS_SERVER", service.url)
    monkeypatch.setenv("TASKS_TOKEN", service.token)
    return CommandLine(monkeypatch, capsys, service.token)
