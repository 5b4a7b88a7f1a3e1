"""Git LFS: pointer files of a fetched tree are filled with what the LFS server holds for them.

In: a fetched tree and where it came from. Out: the tree with the files filled.
Git's own filters are not run: pointers are found, asked for by the batch API
of Git LFS, and checked by their SHA-256. ``.lfsconfig`` means nothing here: the
server is the repository's own. Called by ``open.py`` where the operator or the
user asked for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx2

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput, Unavailable
from tasks_service.egress.transport import egress_client
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.location import Credential, GitLocation, short
from tasks_service.sources.settings import SourceSettings

_MAX_POINTER = 1024
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)
_JSON = "application/vnd.git-lfs+json"
_BATCH = 100
_MAX_ANSWER = 4 << 20
_ATTEMPTS = 3
_REDIRECTS = 5
T = TypeVar("T")
# What a server may have us send to its store: never what frames the request.
_NOT_TAKEN = ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te")


@dataclass(frozen=True, slots=True)
class Fetched:
    """How many files were filled, and with how many bytes."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True, order=True)
class _Wanted:
    oid: str
    size: int


def fetch_lfs(
    location: GitLocation, folder: Path, settings: SourceSettings, cancel: Cancellation
) -> Fetched:
    """Fill the pointer files below ``folder/tree``.

    Args:
        location: Where the tree came from.
        folder: Private; files are kept here until they are whole.
        settings: Bounds, egress rules and login.
        cancel: Ends it.

    Raises:
        SourceNotFound: The server has no Git LFS, or not this file.
        Denied: It refuses access.
        InvalidInput: The files are too large together, or came over ssh.
        Unavailable: It can't be reached, is too slow, or answers with something else.
    """
    tree = folder / "tree"
    found = sorted(_pointers(tree))
    if not found:
        return Fetched(0, 0)
    if location.scheme not in ("http", "https"):
        raise InvalidInput(
            f"{location.display} holds {len(found)} Git LFS file(s), which do not come over ssh",
            hint="use the repository's https:// address",
        )
    total = sum(wanted.size for _, wanted in found)
    if total > settings.max_bytes:
        raise InvalidInput(
            f"the Git LFS files of {location.display} hold more than"
            f" {settings.max_bytes / (1 << 30):g} GiB"
        )
    places: dict[_Wanted, list[str]] = {}
    for path, wanted in found:
        places.setdefault(wanted, []).append(path)
    server = _Server(location, settings, cancel)
    try:
        for wanted, action in server.batch(list(places), places):
            held = folder / "lfs"
            server.download(wanted, action, held, places[wanted][0])
            for path in places[wanted]:
                _fill(tree, path, held)
            held.unlink()
    finally:
        server.close()
    return Fetched(len(found), total)


def _pointers(tree: Path) -> Iterator[tuple[str, _Wanted]]:
    """Yield the pointer files of a tree: path below it, and what is wanted."""
    for directory, _, names, at in os.fwalk(tree, follow_symlinks=False):
        for name in names:
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_POINTER:
                continue
            with _open(name, at) as file:
                match = _POINTER.fullmatch(file.read(_MAX_POINTER + 1))
            if match:
                wanted = _Wanted(match[1].decode(), int(match[2]))
                yield os.path.relpath(os.path.join(directory, name), tree), wanted  # noqa: PTH118 - may be no text


def _open(name: str, at: int) -> IO[bytes]:
    return os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at), "rb")


def _fill(tree: Path, path: str, content: Path) -> None:
    """Put a copy of a file in the place of another, through no link."""
    *parents, name = Path(path).parts
    at = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        mode = stat.S_IMODE(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
        new = f".lfs-{secrets.token_hex(8)}"
        target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, dir_fd=at)
        with os.fdopen(target, "wb") as file, content.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
            os.fchmod(file.fileno(), mode)
        os.replace(new, name, src_dir_fd=at, dst_dir_fd=at)
    finally:
        os.close(at)


class _TryAgain(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Server:
    """The LFS server of one repository."""

    def __init__(
        self, location: GitLocation, settings: SourceSettings, cancel: Cancellation
    ) -> None:
        self._settings = settings
        self._cancel = cancel
        self._ends = time.monotonic() + settings.deadline_s
        base = location.url.rstrip("/")
        self._url = (base if base.endswith(".git") else f"{base}.git") + "/info/lfs/objects/batch"
        self._host = urlsplit(self._url).netloc.lower()
        self._login = location.credential or settings.login
        timeout = httpx2.Timeout(settings.stall_s, connect=min(10, settings.stall_s))
        self._http = egress_client(settings.egress, what="Git LFS server", timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def batch(
        self, wanted: list[_Wanted], places: Mapping[_Wanted, list[str]]
    ) -> Iterator[tuple[_Wanted, Mapping[str, Any]]]:
        """Yield each with what the server says of its download, asked a hundred at a time."""
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            answers = self._attempts(partial(self._ask, some))
            told = {one.get("oid"): one for one in answers}
            for one in some:
                yield one, self._action(told.get(one.oid), places[one][0])

    def _ask(self, wanted: Sequence[_Wanted]) -> list[Mapping[str, Any]]:
        body = {
            "operation": "download",
            "transfers": ["basic"],
            "hash_algo": "sha256",
            "objects": [{"oid": one.oid, "size": one.size} for one in wanted],
        }
        headers = {"Accept": _JSON, "Content-Type": _JSON}
        auth = self._auth(self._url)
        with self._http.stream("POST", self._url, json=body, headers=headers, auth=auth) as answer:
            self._check_status(answer.status_code, "has no Git LFS for this repository")
            content = bytearray()
            for block in answer.iter_bytes():
                self._check()
                content += block
                if len(content) > _MAX_ANSWER:
                    raise Unavailable(f"the Git LFS server {self._host} sends too much")
        try:
            found = json.loads(content)["objects"]
        except (ValueError, KeyError, TypeError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Unavailable(
                f"{self._host} does not answer as a Git LFS server does",
                hint="check that Git LFS is switched on for the repository",
            )
        return found

    def _action(self, told: Mapping[str, Any] | None, path: str) -> Mapping[str, Any]:
        error = (told or {}).get("error")
        if isinstance(error, dict):
            code, words = error.get("code"), short(str(error.get("message", "")))
            message = f"Git LFS file {short(path)!r}: the server says {words!r} ({code})"
            if code in (401, 403):
                raise Denied(message)
            hint = "push it: `git lfs push --all`" if code in (404, 410) else ""
            raise SourceNotFound(message, hint=hint)
        actions = (told or {}).get("actions")
        action = actions.get("download") if isinstance(actions, dict) else None
        if not isinstance(action, dict) or not isinstance(action.get("href"), str):
            raise SourceNotFound(
                f"Git LFS file {short(path)!r}: the server {self._host} offers no download of it"
            )
        return action

    def download(self, wanted: _Wanted, action: Mapping[str, Any], target: Path, path: str) -> None:
        """Write one file, whole and checked."""
        given = action.get("header")
        headers = {
            name: value
            for name, value in (given.items() if isinstance(given, dict) else ())
            if isinstance(name, str) and isinstance(value, str) and name.lower() not in _NOT_TAKEN
        }
        url = urljoin(self._url, action["href"])
        self._attempts(lambda: self._fetch(wanted, url, headers, target, path))

    def _fetch(
        self, wanted: _Wanted, url: str, headers: Mapping[str, str], target: Path, path: str
    ) -> None:
        given = {**headers, "Accept-Encoding": "identity"}
        for _ in range(_REDIRECTS + 1):
            self._check_url(url)
            own = any(name.lower() == "authorization" for name in given)
            auth = None if own else self._auth(url)
            with self._http.stream("GET", url, headers=given, auth=auth) as answer:
                if answer.status_code in (301, 302, 303, 307, 308):
                    url = urljoin(url, answer.headers.get("location", ""))
                    # What was meant for one host is for no other.
                    given = {"Accept-Encoding": "identity"}
                    continue
                self._check_status(answer.status_code, f"does not hold {short(path)!r} any more")
                found, count = hashlib.sha256(), 0
                with target.open("wb") as file:
                    for block in answer.iter_raw():
                        self._check()
                        count += len(block)
                        if count > wanted.size:
                            break
                        found.update(block)
                        file.write(block)
            if count != wanted.size or found.hexdigest() != wanted.oid:
                raise Unavailable(f"Git LFS file {short(path)!r}: the server sent something else")
            return
        raise Unavailable(f"Git LFS file {short(path)!r} redirects more than {_REDIRECTS} times")

    def _check_url(self, url: str) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in ("https", urlsplit(self._url).scheme):
            raise Unavailable(f"the Git LFS server leads from https to {short(scheme)!r}")

    def _auth(self, url: str) -> httpx2.BasicAuth | None:
        # A login goes to the scheme and host it was given for, and to no other.
        login: Credential | None = self._login
        parts = urlsplit(url)
        if login is None or (parts.scheme, parts.netloc.lower()) != (login.scheme, login.host):
            return None
        return httpx2.BasicAuth(login.username, login.password)

    def _check(self) -> None:
        self._cancel.check()
        if time.monotonic() > self._ends:
            raise Unavailable(
                f"the Git LFS files did not arrive within {self._settings.deadline_s:g} s",
                hint="TASKS_SOURCE_TIMEOUT sets another limit, in seconds",
            )

    def _check_status(self, status: int, absent: str) -> None:
        if status < 300:
            return
        if status in (401, 403):
            raise Denied(f"the Git LFS server {self._host} refuses access ({status})")
        if status in (404, 410):
            raise SourceNotFound(f"the server {self._host} {absent} ({status})")
        if status < 500 and status != 429:
            raise InvalidInput(f"the Git LFS server {self._host} refuses the request ({status})")
        raise _TryAgain(f"the Git LFS server {self._host} fails with status {status}")

    def _attempts(self, work: Callable[[], T]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            self._check()
            try:
                return work()
            except _TryAgain as again:
                message = again.message
            except httpx2.TransportError as error:
                words = str(error) or type(error).__name__
                message = f"the Git LFS server {self._host} cannot be reached: {words[:200]}"
            if attempt < _ATTEMPTS:
                self._cancel.wait(0.25 * 2**attempt)
        raise Unavailable(message)
