"""Fetch a tarball over HTTP into a folder; the throw-away process unpacks it (K-09).

In: a checked ArchiveLocation. Out: ``folder/tree``. This process reads HTTP
only and writes bytes to a file; it never looks into them.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput, SystemFault, Unavailable
from tasks_service.egress.transport import egress_client
from tasks_service.sources.child import run_child
from tasks_service.sources.confine import Answer
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.location import ArchiveLocation, parse_location, short
from tasks_service.sources.settings import SourceSettings

_ATTEMPTS = 3
_REDIRECTS = 5


class _TryAgain(Exception):
    def __init__(self, error: Unavailable) -> None:
        super().__init__(error.message)
        self.error = error


def fetch_archive(
    location: ArchiveLocation, folder: Path, settings: SourceSettings, cancel: Cancellation
) -> None:
    """Download and unpack the tarball into ``folder/tree``.

    Three attempts at a server that fails; a 4xx answer ends it at once.

    Raises:
        SourceNotFound: The server answers 404 or 410.
        Denied: It answers 401 or 403.
        InvalidInput: The body is no tarball, too large, or breaks a rule.
        Unavailable: It can't be reached, is too slow or broken.
    """
    archive = folder / "archive"
    _download(location, archive, settings, cancel)
    archive.chmod(0o644)
    answer = run_child({"action": "archive"}, folder=folder, settings=settings, cancel=cancel)
    archive.unlink()
    if not answer["ok"]:
        raise unpack_error(answer, location.display, settings)


def _download(
    location: ArchiveLocation, archive: Path, settings: SourceSettings, cancel: Cancellation
) -> None:
    deadline = time.monotonic() + settings.deadline_s
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _attempt(location, archive, settings, cancel, deadline)
        except _TryAgain as again:
            cancel.check()
            if attempt == _ATTEMPTS:
                raise again.error from again
            cancel.wait(0.25 * 2**attempt)
        else:
            return


def _attempt(
    location: ArchiveLocation,
    archive: Path,
    settings: SourceSettings,
    cancel: Cancellation,
    deadline: float,
) -> None:
    timeout = httpx2.Timeout(settings.stall_s, connect=min(10, settings.stall_s))
    host = location.host
    try:
        with (
            egress_client(
                settings.egress, what="source", timeout=timeout, follow_redirects=False
            ) as client,
            _response(client, location, settings) as response,
            _woken_by(cancel, response),
            archive.open("wb") as file,
        ):
            _check_status(response.status_code, location)
            written = 0
            for block in response.iter_raw():
                cancel.check()
                written += len(block)
                if written > settings.max_bytes:
                    raise _too_large(location, settings)
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"{location.display} did not arrive within {settings.deadline_s:g} s"
                    )
                file.write(block)
    except httpx2.TimeoutException as exc:
        slow = f"host {host} is too slow or does not answer (limit {settings.stall_s} s)"
        raise _TryAgain(Unavailable(slow)) from exc
    except httpx2.TransportError as exc:
        cancel.check()
        raise _TryAgain(Unavailable(f"host {host} cannot be reached: {exc}")) from exc


@contextlib.contextmanager
def _response(
    client: httpx2.Client, location: ArchiveLocation, settings: SourceSettings
) -> Iterator[httpx2.Response]:
    url, login = location.url, location.credential
    allow_http = settings.allow_http or url.startswith("http:")
    for _ in range(_REDIRECTS + 1):
        # A login goes to the host it was typed for and to no other.
        own = login is not None and urlsplit(url).netloc.lower() == login.host
        auth = (login.username, login.password) if own and login else None
        request = client.build_request("GET", url, headers={"Accept-Encoding": "identity"})
        response = client.send(request, stream=True, auth=httpx2.BasicAuth(*auth) if auth else None)
        try:
            if response.status_code not in (301, 302, 303, 307, 308):
                yield response
                return
            url = _next(url, response.headers.get("location", ""), allow_http=allow_http)
        finally:
            response.close()
    raise InvalidInput(f"{location.display} redirects more than {_REDIRECTS} times")


def _next(url: str, target: str, *, allow_http: bool) -> str:
    joined = urljoin(url, target)
    if url.startswith("https:") and not joined.startswith("https:"):
        raise InvalidInput(f"the server redirects from https to {short(joined.split(':')[0])!r}")
    found = parse_location(joined.partition("#")[0] + "#:x", allow_http=allow_http)
    return joined if hasattr(found, "url") else url


@contextlib.contextmanager
def _woken_by(cancel: Cancellation, response: httpx2.Response) -> Iterator[None]:
    stream = response.extensions.get("network_stream")
    raw = stream.get_extra_info("socket") if stream is not None else None

    def wake() -> None:
        # Closing would race with the reader; a shutdown only ends its wait.
        with contextlib.suppress(OSError):
            if raw is not None:
                raw.shutdown(socket.SHUT_RDWR)

    release = cancel.on_cancel(wake)
    try:
        yield
    finally:
        release()


def _check_status(status: int, location: ArchiveLocation) -> None:
    where = location.display
    if status < 300:
        return
    if status in (401, 403):
        raise Denied(f"the server refuses access to {where} ({status})")
    if status in (404, 410):
        raise SourceNotFound(f"there is nothing at {where} ({status})")
    if status < 500 and status != 429:
        raise InvalidInput(f"the server refuses {where} ({status})")
    raise _TryAgain(Unavailable(f"the server of {where} fails with status {status}"))


def _too_large(location: ArchiveLocation, settings: SourceSettings) -> InvalidInput:
    return unpack_error({"reason": "too_large"}, location.display, settings)


def unpack_error(
    answer: Answer, where: str, settings: SourceSettings, *, what: str = "archive"
) -> InvalidInput:
    """Return the error of an archive that could not be unpacked.

    Args:
        answer: Of the throw-away process.
        where: The archive, for the message.
        settings: The limits it had.
        what: The noun for an entry's home, ``archive`` or ``context``.

    Raises:
        SystemFault: It is ours: a full disk and the like.
    """
    reason = answer["reason"]
    if reason == "entry":
        name, rule = (
            short(answer["name"]),
            str(answer["rule"]).replace("the archive", f"the {what}"),
        )
        of = f" of {where}" if what == "archive" else ""
        return InvalidInput(f"{what} entry {name!r}{of} {rule}")
    if reason == "format":
        return InvalidInput(
            f"{where} is {answer['format']}, which is not supported",
            hint="use tar, plain or compressed by gzip, bzip2, xz or zstd",
        )
    texts = {
        "not_archive": f"{where} is not a tarball",
        "bad_archive": f"tarball {where} is damaged: {answer.get('error')}",
        "too_large": f"{where} expands beyond {settings.max_bytes / (1 << 30):g} GiB",
        "ratio": f"{where} expands to more than {settings.max_ratio} times its size",
        "too_many": f"{where} holds more than {settings.max_entries} entries",
    }
    if reason in texts:
        hint = "a Git URL ends in .git" if (reason, what) == ("not_archive", "archive") else ""
        return InvalidInput(texts[reason], hint=hint)
    raise SystemFault(f"source {where} could not be stored: {answer.get('error', reason)}")
