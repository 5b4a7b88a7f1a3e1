"""Ask a registry for the digest of a tag, put a tag on a manifest, read manifests and blobs.

Tags are asked for by HEAD only, conditional, under the egress rules. All four
kinds of manifests are accepted: a registry that must not answer with an index
answers with one platform's manifest, whose digest is another one. A 429 or 503
is never answered by a GET: the host is left alone for a while.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import IO
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx2

from runners.model.errors import Denied, RunnerError, Unavailable
from runners.model.image import DEFAULT_REGISTRY, ImageRef
from tasks_service.egress.deadline import Deadline
from tasks_service.egress.policy import EgressPolicy
from tasks_service.egress.transport import egress_client
from tasks_service.errors import NotFound

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_HUB = "registry-1.docker.io"
_TIMEOUT_S = 10.0
_MAX_TOKEN = 64 * 1024
_MAX_MANIFEST = 4 << 20
_WHOLE_S = 30.0
_REDIRECTS = 5
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')

Login = Callable[[str], tuple[str, str]]
"""Registry host in, user name and password out; empty where there is none."""


class TooMany(Unavailable):
    """The registry wants to be left alone for ``after_s`` seconds."""

    code = "registry_rate_limit"

    def __init__(self, host: str, after_s: float) -> None:
        super().__init__(f"registry {host} wants fewer requests")
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry said. ``unchanged``: by 304, without a body or a pull."""

    digest: str
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as the registry holds it; ``digest`` is that of ``content``."""

    digest: str
    kind: str
    content: bytes


@dataclass(frozen=True, slots=True)
class _Answered:
    """An answer that was read to its end."""

    status_code: int
    headers: httpx2.Headers
    content: bytes


class RegistryClient:
    """Asks registries. One thread at a time; close it at the end.

    Args:
        policy: Where requests may go. Registries are named by users' Dockerfiles. None is
            the user's own machine, where nothing is refused.
        login: Logins by registry host.
    """

    def __init__(self, policy: EgressPolicy | None, login: Login) -> None:
        self._http = egress_client(policy, what="registry", timeout=_TIMEOUT_S)
        self._login = login
        self._tokens: dict[tuple[str, str, str], str] = {}

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def digest(self, reference: str, known: str = "") -> Answer:
        """Return what ``reference`` is now.

        Args:
            reference: Full name with a tag.
            known: What it was; the registry may answer that it still is.

        Raises:
            NotFound: There is no such tag (any more).
            TooMany: The registry wants to be left alone.
            Denied, InvalidInput: The host must not be asked.
            Unavailable: It does not answer, or not as registries do.
        """
        ref = ImageRef.parse(reference)
        host, path = _place(ref)
        url = f"{_scheme(host)}://{host}/v2/{path}/manifests/{quote(ref.tag or 'latest')}"
        headers = {"Accept": ACCEPT}
        if known:
            headers["If-None-Match"] = f'"{known}"'
        answer = self._ask("HEAD", url, ref.registry_host, path, headers)
        if answer.status_code == 304 and known:
            return Answer(known, unchanged=True)
        if answer.status_code == 404:
            raise NotFound(f"{reference} is not there (any more)")
        if answer.status_code in (429, 503):
            raise TooMany(host, _retry_after(answer.headers))
        digest = answer.headers.get("docker-content-digest", "")
        if answer.status_code != 200 or not _DIGEST.fullmatch(digest):
            said = "no digest" if answer.status_code == 200 else f"status {answer.status_code}"
            raise Unavailable(f"registry {host} answered with {said} for {reference}")
        return Answer(digest)

    def retag(self, reference: str, digest: str) -> None:
        """Have a tag mean a manifest that its repository holds.

        The manifest stays byte for byte what it is, an index of many platforms too.

        Args:
            reference: Full name with the tag.
            digest: Of the manifest.

        Raises:
            NotFound: The repository does not hold it (any more).
            TooMany, Denied, InvalidInput, Unavailable: See ``digest``.
        """
        ref = ImageRef.parse(reference)
        host, path = _place(ref)
        manifests = f"{_scheme(host)}://{host}/v2/{path}/manifests/"
        got = self._ask(
            "GET", manifests + digest, ref.registry_host, path, {"Accept": ACCEPT}, write=True
        )
        if got.status_code == 404:
            raise NotFound(
                f"registry {host} does not hold {ref.repository}@{digest} (any more)",
                hint="what no tag names may be removed: give what you keep a tag of its own",
            )
        self._check(got, host, reference)
        if "sha256:" + hashlib.sha256(got.content).hexdigest() != digest:
            raise Unavailable(f"registry {host} answered with something else than {digest}")
        kind = got.headers.get("content-type", "")
        put = self._ask(
            "PUT", manifests + quote(ref.tag or "latest"), ref.registry_host, path,
            {"Content-Type": kind}, write=True, body=got.content,
        )  # fmt: skip
        self._check(put, host, reference)

    def manifest(self, reference: str) -> Manifest:
        """Return the manifest of a tag or digest.

        Raises:
            NotFound: There is none.
            TooMany, Denied, InvalidInput, Unavailable: See ``digest``.
        """
        ref = ImageRef.parse(reference)
        host, path = _place(ref)
        place = f"/v2/{path}/manifests/{quote(ref.digest or ref.tag or 'latest')}"
        url = f"{_scheme(host)}://{host}{place}"
        got = self._ask("GET", url, ref.registry_host, path, {"Accept": ACCEPT})
        _check_read(got.status_code, got.headers, host, reference)
        digest = "sha256:" + hashlib.sha256(got.content).hexdigest()
        if ref.digest and ref.digest != digest:
            raise Unavailable(f"registry {host} answered with something else than {reference}")
        return Manifest(digest, got.headers.get("content-type", ""), got.content)

    def blob(
        self, reference: str, digest: str, size: int, file: IO[bytes], check: Callable[[], None]
    ) -> None:
        """Write a blob of ``reference``'s repository into a file.

        Redirects to a store are followed, without the login.

        Args:
            reference: Names the repository.
            digest: Of the blob; what comes must have it.
            size: Its bytes; more are not read.
            file: Open for writing.
            check: Called again and again; raises to end it.

        Raises:
            NotFound, TooMany, Denied, InvalidInput, Unavailable: See ``digest``.
        """
        ref = ImageRef.parse(reference)
        host, path = _place(ref)
        url = f"{_scheme(host)}://{host}/v2/{path}/blobs/{digest}"
        token = self._tokens.get((ref.registry_host, path, "pull"), "")
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": token} if token else {})
        for _ in range(_REDIRECTS + 1):
            check()
            try:
                with self._http.stream("GET", url, headers=headers) as answer:
                    if answer.status_code in (301, 302, 303, 307, 308):
                        url = _next(url, answer.headers.get("location", ""), host)
                        headers.pop("Authorization", None)
                        continue
                    _check_read(answer.status_code, answer.headers, host, f"{ref.path}@{digest}")
                    found, count = hashlib.sha256(), 0
                    for chunk in answer.iter_raw():
                        check()
                        count += len(chunk)
                        if count > size:
                            break
                        found.update(chunk)
                        file.write(chunk)
            except httpx2.HTTPError as error:
                words = str(error) or type(error).__name__
                raise Unavailable(f"registry {host} does not answer: {words[:200]}") from error
            if count != size or f"sha256:{found.hexdigest()}" != digest:
                raise Unavailable(f"registry {host} answered with something else than {digest}")
            return
        raise Unavailable(f"registry {host} redirects more than {_REDIRECTS} times")

    def _check(self, answer: _Answered, host: str, reference: str) -> None:
        code = answer.status_code
        if code in (429, 503):
            raise TooMany(host, _retry_after(answer.headers))
        if code in (401, 403):
            raise Denied(
                f"registry {host} refuses to have {reference} changed (status {code})",
                hint="the service's login, or the task's credential, must be allowed to push",
            )
        if code not in (200, 201):
            raise Unavailable(f"registry {host} answered with status {code} for {reference}")

    def _ask(
        self,
        method: str,
        url: str,
        host: str,
        path: str,
        headers: dict[str, str],
        *,
        write: bool = False,
        body: bytes = b"",
    ) -> _Answered:
        """Send a request, with a login if the registry asks for one."""
        actions = "pull,push" if write else "pull"
        token = self._tokens.get((host, path, actions), "")
        login = {"Authorization": token} if token else {}
        answer = self._send(method, url, {**headers, **login}, body)
        if answer.status_code != 401:
            return answer
        token = self._authorization(
            answer.headers.get("www-authenticate", ""), host, f"repository:{path}:{actions}"
        )
        if not token:
            return answer
        self._tokens[host, path, actions] = token
        return self._send(method, url, {**headers, "Authorization": token}, body)

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> _Answered:
        host = urlsplit(url).netloc
        with Deadline(_WHOLE_S) as deadline:
            try:
                with self._http.stream(
                    method, url, headers=headers, content=body or None,
                    extensions={"trace": deadline.trace},
                ) as answer:  # fmt: skip
                    content = bytearray()
                    for chunk in answer.iter_bytes():
                        content += chunk
                        if len(content) > _MAX_MANIFEST:
                            raise Unavailable(f"registry {host} sends too much")
            except httpx2.HTTPError as error:
                words = str(error) or type(error).__name__
                raise Unavailable(f"registry {host} does not answer: {words[:200]}") from error
        return _Answered(answer.status_code, answer.headers, bytes(content))

    def _authorization(self, challenge: str, host: str, scope: str) -> str:
        """Return the header that a challenge asks for, or nothing."""
        kind, _, rest = challenge.partition(" ")
        user, password = self._login(host)
        basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        if kind.lower() == "basic":
            return basic
        given = dict(_PARAMETER.findall(rest))
        realm = given.get("realm", "")
        if kind.lower() != "bearer" or not realm:
            return ""
        query = {"scope": scope}
        if given.get("service"):
            query["service"] = given["service"]
        mark = "&" if "?" in realm else "?"
        headers = {"Authorization": basic} if basic else {}
        answer = self._send("GET", f"{realm}{mark}{urlencode(query)}", headers)
        if answer.status_code != 200 or len(answer.content) > _MAX_TOKEN:
            return ""
        try:
            body = json.loads(answer.content)
            token = body.get("token") or body.get("access_token") or ""
        except (ValueError, AttributeError):
            return ""
        return f"Bearer {token}" if isinstance(token, str) and token.isprintable() else ""


def _check_read(code: int, headers: httpx2.Headers, host: str, what: str) -> None:
    if code == 404:
        raise NotFound(f"{what} is not there (any more)")
    if code in (401, 403):
        raise Denied(
            f"registry {host} refuses to have {what} read (status {code})",
            hint="use `docker login`; for a stored task `tasks credential add`",
        )
    if code in (429, 503):
        raise TooMany(host, _retry_after(headers))
    if code != 200:
        raise Unavailable(f"registry {host} answered with status {code} for {what}")


def _next(url: str, target: str, host: str) -> str:
    """Return where a redirect leads: by https, or by http where the registry is asked so."""
    found = urljoin(url, target)
    if urlsplit(found).scheme not in ("https", urlsplit(url).scheme):
        raise Unavailable(f"registry {host} redirects to {urlsplit(found).scheme[:20]!r}")
    return found


def _place(ref: ImageRef) -> tuple[str, str]:
    """Return the host to ask and the path there."""
    host = _HUB if ref.registry_host == DEFAULT_REGISTRY else ref.registry_host
    path = ref.path
    if host == _HUB and "/" not in path:
        path = f"library/{path}"
    return host, path


def host_of(reference: str) -> str:
    """Return the registry of a reference; empty where it is none."""
    try:
        return ImageRef.parse(reference).registry_host
    except RunnerError:
        return ""


def _scheme(host: str) -> str:
    """Return http for this machine's own registries, as every engine does."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name == "localhost":
        return "http"
    try:
        return "http" if ip_address(name.strip("[]")).is_loopback else "https"
    except ValueError:
        return "https"


def _retry_after(headers: httpx2.Headers) -> float:
    text = headers.get("retry-after", "")
    return float(min(int(text), 3600)) if text.isdecimal() and len(text) < 9 else 60.0
