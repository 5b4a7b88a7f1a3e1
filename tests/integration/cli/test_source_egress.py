"""Where a server lets sources come from (N3): judged once, and reached where it was judged."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput
from tasks_service.egress.policy import EgressPolicy
from tasks_service.sources.git_pin import pin
from tasks_service.sources.location import GitLocation, parse_location
from tasks_service.sources.open import open_source
from tasks_service.sources.settings import SourceSettings

from .conftest import Repository

NAME = "sources.invalid"
"""A name nobody knows: only the policy's own resolver does."""


def loopback(host: str, port: int) -> Sequence[str]:
    del port
    return ["127.0.0.1"] if host == NAME else ["169.254.169.254"]


def settings(folder: Path, *allowed: str) -> SourceSettings:
    policy = EgressPolicy(allow_hosts=allowed, resolver=loopback)
    return SourceSettings(folder=folder, stall_s=5, deadline_s=30, allow_http=True, egress=policy)


def first_file(text: str, given: SourceSettings) -> str:
    with open_source(text, settings=given, cancel=Cancellation()) as source:
        assert source.directory is not None
        return (source.directory / "file").read_text()


@pytest.fixture
def app(new_repository: Callable[[str], Repository]) -> Repository:
    repository = new_repository("app")
    repository.commit({"file": "content"})
    return repository


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "metadata.invalid"]
)
@pytest.mark.parametrize("path", ["app.git", "app.tar.gz"])
def test_addresses_that_are_not_public_are_refused(
    host: str, path: str, source_folder: Path
) -> None:
    policy = EgressPolicy(
        resolver=lambda name, _: ["127.0.0.1" if name == "localhost" else "169.254.169.254"]
    )
    given = SourceSettings(folder=source_folder, egress=policy)
    with pytest.raises(Denied, match="not allowed"):
        first_file(f"https://{host}/{path}", given)


def test_git_connects_where_the_name_was_judged(app: Repository, source_folder: Path) -> None:
    port = urlsplit(app.url).port
    url = app.url.replace("127.0.0.1", NAME)
    assert first_file(url, settings(source_folder, f"{NAME}:{port}")) == "content"
    with pytest.raises(InvalidInput, match="http"):
        first_file(url, settings(source_folder, f"{NAME}:1"))


class Redirects(ThreadingHTTPServer):
    """Serves one tarball, and redirects anything else where the test says."""

    daemon_threads = True

    def __init__(self) -> None:
        self.target = ""
        outer = self
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as tar:
            entry = tarfile.TarInfo("file")
            entry.size = 7
            tar.addfile(entry, io.BytesIO(b"content"))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.target:
                    self.send_response(302)
                    self.send_header("Location", outer.target)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body.getvalue())))
                self.end_headers()
                self.wfile.write(body.getvalue())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def server() -> Iterator[Redirects]:
    server = Redirects()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_archive_comes_from_where_the_name_was_judged(
    server: Redirects, source_folder: Path
) -> None:
    port = server.server_address[1]
    given = settings(source_folder, f"{NAME}:{port}")
    assert first_file(f"http://{NAME}:{port}/a.tar.gz", given) == "content"


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/a.tar.gz",
        "http://inside.invalid/a.tar.gz",
        "http://[::ffff:10.0.0.1]/a.tar.gz",
    ],
)
def test_a_redirect_is_judged_like_an_address(
    target: str, server: Redirects, source_folder: Path
) -> None:
    server.target = target
    port = server.server_address[1]
    with pytest.raises((Denied, InvalidInput), match="not allowed"):
        first_file(f"http://{NAME}:{port}/a.tar.gz", settings(source_folder, f"{NAME}:{port}"))


def test_ssh_is_tied_to_the_address_and_keeps_the_name_of_the_key() -> None:
    policy = EgressPolicy(("git.invalid:2222",), resolver=lambda *_: ["10.7.7.7", "10.7.7.8"])
    location = parse_location("ssh://git@git.invalid:2222/app.git")
    assert isinstance(location, GitLocation)
    assert pin(location, policy)["ssh_options"][:2] == [
        "HostName=10.7.7.7",
        "HostKeyAlias=[git.invalid]:2222",
    ]


def test_the_short_form_of_ssh_is_judged_too() -> None:
    location = parse_location("git@git.invalid:team/app.git")
    assert isinstance(location, GitLocation)
    with pytest.raises(Denied, match="private address"):
        pin(location, EgressPolicy(resolver=lambda *_: ["10.7.7.7"]))
    found = pin(location, EgressPolicy(resolver=lambda *_: ["8.8.8.8"]))["ssh_options"]
    assert found[:2] == ["HostName=8.8.8.8", "HostKeyAlias=git.invalid"]
