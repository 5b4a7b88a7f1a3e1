"""Secrets that were told to the service are nowhere but sealed: all kinds, both set-ups.

A value, a build argument (but for its image), a secret of a build, a login, a Git token, the
address of a receiver and the login of a mail server. Looked
at: database, Redis, logs, answers, every process, and what runners leave.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import pytest

from tasks_service.devstack.git_server import GitServer
from tests.fakes.json_server import make_certificate
from tests.faults.looking import command_lines, environments, in_files, postgres_dump, redis_dump
from tests.integration.canary.forms import Finder
from tests.integration.cli.conftest import Repository, new_repository, source_folder
from tests.integration.service.many import Many, many
from tests.integration.service.up import Service, Up

__all__ = ["new_repository", "source_folder"]

TASK = """\
version: v1.1.0
steps:
  - id: told
    cmd: >-
      {base} sh -c 'echo "value {{{{.Values.token}}}}";
      echo {{{{.Values.token}}}} | base64; sleep 1'
  - id: broken
    cmd: {base} sh -c 'echo "{{{{.Values.token}}}}" >&2; exit 3'
    when: [told]
"""
DOCKERFILE = """\
FROM {base}
ARG TOKEN
RUN echo "argument $TOKEN"
RUN --mount=type=secret,id=file cat /run/secrets/file
"""


@dataclass
class Watch:
    """Looks at all processes until it is told to stop."""

    service: Service
    find: Callable[[bytes], object]
    find_child: Callable[[bytes], object]
    found: list[bytes] = field(default_factory=list)
    looks: int = 0
    children: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        pids = {process.pid for process in self.service.processes}
        while not self._stop.wait(0.1):
            self.looks += 1
            self.found += [line for line in command_lines() if self.find(line)]
            for environment in environments(pids):
                self.children += 1
                if self.find_child(environment):
                    self.found.append(environment)


@pytest.fixture
def git_server(
    tmp_path: Path,
    canaries: dict[str, str],
    source_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[GitServer]:
    """A private one: tokens are sent over https only."""
    (tmp_path / "git").mkdir()
    certificate = make_certificate(source_folder)
    certificate.chmod(0o644)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    login = ("dummy", canaries["git"])
    with GitServer(tmp_path / "git", login=login, certificate=certificate) as server:
        yield server


@pytest.fixture
def canaries() -> dict[str, str]:
    names = ("value", "argument", "secret", "login", "git", "hook", "mail")
    return {name: f"{secrets.token_hex(8)}-{secrets.token_urlsafe(12)}" for name in names}


@pytest.fixture(params=["up", "many"])
def service(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    state_dir: Path,
    registry: str,
    git_server: GitServer,
) -> Iterator[Service]:
    folder = tmp_path / "service"
    folder.mkdir()
    more = {"allow_hosts": "127.0.0.1", "log_level": "debug"}
    if request.param == "many":
        with many(folder, state_dir, registry, ports=[git_server.port], **more) as service:
            yield service
        return
    with Up(folder, state_dir, "--registry", registry, **more) as service:
        yield service


def told(canaries: dict[str, str], url: str, registry: str) -> tuple[dict[str, Any], ...]:
    """Return what is asked for: a task file's run and a Dockerfile's."""
    common = {
        "source": f"{url}#main",
        "gitToken": canaries["git"],
        "credentials": [
            {"registry": "other.example", "username": "robot", "password": canaries["login"]}
        ],
        "timeout": 120,
    }
    value = {"name": "token", "value": canaries["value"], "secret": True}
    argument = {"name": "TOKEN", "value": canaries["argument"], "secret": True}
    build = {
        "images": [f"{registry}/canary/service:{{{{.Run.ID}}}}"],
        "buildArgs": [argument],
        "secrets": [{"id": "file", "value": canaries["secret"]}],
    }
    return common | {"file": "acb.yaml", "values": [value]}, common | {"build": build}


def answers(service: Service, runs: list[str]) -> Iterator[tuple[str, str]]:
    paths = ["/runs", "/tasks", "/audit", "/workers", "/pools", "/tokens", "/tasks/stored0"]
    paths += ["/tasks/stored1", "/tasks/stored0/credentials", "/notifications"]
    paths += ["/notifications/hook/deliveries", "/notifications/mail/deliveries"]
    for run in runs:
        paths += [f"/runs/{run}", f"/runs/{run}/logs", f"/runs/{run}/logs/stream"]
    for path in paths:
        yield path, service.text(path)
    yield "/metrics", httpx2.get(f"{service.url}/metrics").text


def test_no_secret_is_anywhere(
    service: Service,
    canaries: dict[str, str],
    new_repository: Callable[[str], Repository],
    base_image: str,
    registry: str,
    state_dir: Path,
) -> None:
    repository = new_repository("app")
    repository.commit(
        {"acb.yaml": TASK.format(base=base_image), "Dockerfile": DOCKERFILE.format(base=base_image)}
    )
    finders = [Finder(canary) for canary in canaries.values()]

    def find(data: bytes) -> list[bytes]:
        return [window for finder in finders for window in finder.find(data)]

    passwords = []
    if isinstance(service, Many):
        passwords = [(urlsplit(service.postgres.url).password or "").encode()]
    since = time.time()
    with Watch(
        service, find, lambda data: find(data) or any(word in data for word in passwords)
    ) as watch:
        receivers(service, canaries)
        records = done(service, told(canaries, repository.url, registry))
        # Both were tried, and both messages say why it was in vain.
        for name in ("hook", "mail"):
            found = service.call("GET", f"/notifications/{name}/deliveries")["items"]
            assert {one["problem"] for one in found} - {""}
    assert watch.found == []
    assert watch.looks > 20
    assert watch.children > 20
    runs = [record["id"] for record in records]
    logs = [service.text(f"/runs/{run}/logs") for run in runs]
    assert [record["status"] for record in records] == ["Failed", "Succeeded"] * 2, [
        record["error"] for record in records
    ]
    for log, words in zip(logs, ("value ***", "argument ***") * 2, strict=True):
        assert words in log
    assert [path for path, text in answers(service, runs) if find(text.encode())] == []
    # State folder, process logs, SQLite with its WAL, files of Redis and PostgreSQL.
    assert (service.state / "tasks.db").exists() != isinstance(service, Many)
    assert in_files(service.folder, find) == []
    if isinstance(service, Many):
        assert find(postgres_dump(service.postgres.url)) == []
        assert find(redis_dump(service.redis.url)) == []
    left = [Path(name) for name in in_files(state_dir, find, since)]
    # A build argument stays in its image's history (TF907), and nowhere else.
    images = state_dir / "registry"
    assert [path for path in left if not path.is_relative_to(images)] == []
    others = [Finder(text) for name, text in canaries.items() if name != "argument"]
    assert [path for path in left if any(one.find(path.read_bytes()) for one in others)] == []


def receivers(service: Service, canaries: dict[str, str]) -> None:
    """Tell the service of receivers whose address, or login, is a secret; nobody is there."""
    events = {"events": ["finished", "failed"]}
    hook = {"kind": "slack", "url": f"https://127.0.0.1:1/{canaries['hook']}"}
    login = {"username": "tasks", "password": canaries["mail"]}
    people = {"from": "tasks@example.com", "to": ["ops@example.com"]}
    mail = {"kind": "email", "url": "smtps://127.0.0.1:1", **people, **login}
    for name, body in (("hook", hook), ("mail", mail)):
        service.call("PUT", f"/notifications/{name}", json=body | events)


def done(service: Service, wanted: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Run each at once and as a stored task; return the records."""
    found = [service.wait(service.accept(body)) for body in wanted]
    for number, body in enumerate(wanted):
        service.call("POST", "/tasks", json=body | {"name": f"stored{number}"})
        run = str(service.call("POST", f"/tasks/stored{number}/runs", json={})["id"])
        found.append(service.wait(run))
    shown = json.dumps(service.call("GET", "/tasks/stored0"))
    assert '"hasGitToken": true' in shown
    return found
