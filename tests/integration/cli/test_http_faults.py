"""Servers that are slow, wrong or hostile: each ends soon in one clear message (F40, G5)."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, Denied, InvalidInput, RunnerError, Unavailable
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.open import Source, open_source
from tasks_service.sources.settings import SourceSettings

Answer = Callable[[BaseHTTPRequestHandler], None]


class FaultyServer(ThreadingHTTPServer):
    """Answers every GET by one function and keeps what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        self.answer: Answer = lambda handler: handler.send_error(500)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        return

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    server = FaultyServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(source_folder: Path) -> SourceSettings:
    return SourceSettings(folder=source_folder, stall_s=1, deadline_s=20)


def fetch(text: str, settings: SourceSettings, cancel: Cancellation | None = None) -> Source:
    with open_source(text, settings=settings, cancel=cancel or Cancellation()) as source:
        return source


def page(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def tarball(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            file.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


GIT_FAULTS: list[tuple[str, Answer, type[RunnerError], str]] = [
    ("page", page(200, b"<html>\nhello\n</html>\n"), SourceNotFound, "not as a Git repository"),
    ("line", page(200, b"<html>hello</html>"), SourceNotFound, "or not a Git repository"),
    ("401", page(401, **{"WWW-Authenticate": 'Basic realm="x"'}), Denied, "asks for a login"),
    ("403", page(403), Denied, "refuses access"),
    ("404", page(404), SourceNotFound, "no Git repository at"),
    ("500", page(500), Unavailable, "fails to serve"),
    ("redirect", page(302, Location="http://127.0.0.1:1/"), InvalidInput, "redirects"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "text"), [f[1:] for f in GIT_FAULTS], ids=[f[0] for f in GIT_FAULTS]
)
def test_a_wrong_git_server_is_named(
    server: FaultyServer,
    settings: SourceSettings,
    answer: Answer,
    kind: type[RunnerError],
    text: str,
) -> None:
    server.answer = answer
    with pytest.raises(kind) as caught:
        fetch(f"{server.url}/r.git", settings)
    assert text in caught.value.message
    assert "127.0.0.1" in caught.value.message


@pytest.mark.parametrize("path", ["r.git", "x.tar.gz"])
def test_a_server_that_says_nothing_ends_by_the_stall_limit(
    server: FaultyServer, settings: SourceSettings, path: str
) -> None:
    server.answer = lambda _: server.released.wait(60) and None
    with pytest.raises(Unavailable, match="too slow or does not answer"):
        fetch(f"{server.url}/{path}", settings)


@pytest.mark.parametrize("path", ["r.git", "x.tar.gz"])
def test_a_cancel_ends_the_wait_for_a_server(
    server: FaultyServer, settings: SourceSettings, path: str
) -> None:
    cancel = Cancellation()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        page(200, b"x" * 10, **{"X-Note": "then nothing"})(handler) if path == "none" else None
        cancel.cancel(Canceled("enough"))
        server.released.wait(60)

    server.answer = hang
    with pytest.raises(Canceled, match="enough"):
        fetch(f"{server.url}/{path}", settings, cancel)


def test_a_login_does_not_follow_a_redirect(settings: SourceSettings) -> None:
    first, second = FaultyServer(), FaultyServer()
    for one in (first, second):
        threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True).start()
    second.answer = page(200, tarball(f="x"))
    first.answer = page(302, Location=f"{second.url}/other.tar.gz")
    url = first.url.replace("http://", "http://u:tok3n@")
    try:
        source = fetch(f"{url}/x.tar.gz", settings)
    finally:
        for one in (first, second):
            one.shutdown()
            one.server_close()
    assert "tok3n" not in source.location
    assert "Authorization" in first.requests[0][1]
    assert "Authorization" not in second.requests[0][1]


ARCHIVE_FAULTS: list[tuple[str, Answer, type[RunnerError], str]] = [
    ("html", page(200, b"<html>hello</html>"), InvalidInput, "is not a tarball"),
    ("empty", page(200), InvalidInput, "is not a tarball"),
    ("zip", page(200, b"PK\x03\x04"), InvalidInput, "is zip, which is not supported"),
    ("cut", page(200, tarball(f="x" * 999)[:60]), InvalidInput, "is damaged"),
    ("escape", page(200, tarball(**{"a/../../x": "y"})), InvalidInput, "points outside"),
    ("403", page(403), Denied, "refuses access"),
    ("404", page(404), SourceNotFound, "there is nothing at"),
    ("loop", page(302, Location="/x.tar.gz"), InvalidInput, "redirects more than"),
    ("away", page(302, Location="ftp://h/x"), InvalidInput, "scheme 'ftp' is not allowed"),
    ("file", page(302, Location="file:///etc/passwd"), InvalidInput, "scheme 'file'"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "text"), [f[1:] for f in ARCHIVE_FAULTS], ids=[f[0] for f in ARCHIVE_FAULTS]
)
def test_a_wrong_archive_is_named(
    server: FaultyServer,
    settings: SourceSettings,
    answer: Answer,
    kind: type[RunnerError],
    text: str,
) -> None:
    server.answer = answer
    with pytest.raises(kind) as caught:
        fetch(f"{server.url}/x.tar.gz", settings)
    assert text in caught.value.message


def test_a_failing_server_gets_three_attempts(
    server: FaultyServer, settings: SourceSettings
) -> None:
    body = tarball(f="x")

    def third_time(handler: BaseHTTPRequestHandler) -> None:
        answer = page(200, body) if len(server.requests) > 2 else page(503)
        answer(handler)

    server.answer = third_time
    fetch(f"{server.url}/x.tar.gz", settings)
    assert len(server.requests) == 3
    server.answer = page(503)
    with pytest.raises(Unavailable, match="503"):
        fetch(f"{server.url}/x.tar.gz", settings)
    assert len(server.requests) == 6


def test_an_archive_beyond_the_limit_is_refused(server: FaultyServer, source_folder: Path) -> None:
    server.answer = page(200, tarball(f="0" * (4 << 20)))
    small = SourceSettings(folder=source_folder, max_bytes=1 << 20)
    with pytest.raises(InvalidInput, match="expands beyond"):
        fetch(f"{server.url}/x.tar.gz", small)


def test_a_directory_of_an_archive(server: FaultyServer, settings: SourceSettings) -> None:
    server.answer = page(200, tarball(**{"app/f": "x"}))
    url = f"{server.url}/x.tar.gz#:app"
    with open_source(url, settings=settings, cancel=Cancellation()) as source:
        assert source.directory is not None
        assert (source.directory / "f").read_text() == "x"


def test_an_ssh_host_that_is_not_there_is_named(settings: SourceSettings) -> None:
    with pytest.raises(Unavailable, match=r"host 127\.0\.0\.1:1 cannot be reached"):
        fetch("ssh://git@127.0.0.1:1/r.git", settings)
