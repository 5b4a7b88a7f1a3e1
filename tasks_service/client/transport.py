"""HTTP to one server: the token, time limits, bounded answers, careful retries.

In: one request. Out: its answer, or an error of ours. Texts of errors never
hold a header or a body that was sent.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urlsplit

import httpx2

from runners.model.errors import Denied, InvalidInput, RunnerError, SystemFault, Unavailable
from tasks_service.client.address import Server
from tasks_service.client.problems import error_of

ATTEMPTS = 5
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 8.0
MAX_WISHED_S = 15.0
"""A server that wishes a longer pause is not waited for: the person is told."""
MAX_ANSWER_BYTES = 64 << 20
SILENCE_S = 45.0
"""How long a followed stream may say nothing: servers send a comment each 15 s."""
_SHORT = httpx2.Timeout(connect=5, read=30, write=30, pool=30)
_BLOCK = 256 * 1024
_AGAIN = frozenset({429, 502, 503, 504})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. ``body`` is decoded JSON, else None; ``again`` counts retries."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    again: int = 0


class Transport:
    """Requests to one server. Use it from one thread, or one stream a thread.

    Args:
        server: Where to, with which token.
        transport: Replaces the network, for tests.
        sleep: Replaces the pause between attempts, for tests.
    """

    def __init__(
        self,
        server: Server,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.server = server
        self.host = urlsplit(server.url).netloc
        self._sleep = sleep
        self._client = _open(server, transport)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
    ) -> Answer:
        """Send a request and return its answer of a status below 300.

        Args:
            method: Of HTTP.
            path: Below the server's address, already quoted.
            query: Parameters; empty ones are left out.
            body: Sent as JSON; None sends nothing.
            headers: More headers.
            repeat: Whether the same request may be sent twice; by default
                what the method promises.

        Raises:
            Unavailable: No answer, or none in time, after the retries.
            RunnerError: What the server answered instead (``error_of``).
        """
        content = None if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if content is not None:
            sent["Content-Type"] = "application/json"

        def attempt() -> Answer:
            with self.stream(method, path, query=query, content=content, headers=sent) as response:
                return self._read(response)

        allowed = method in _IDEMPOTENT if repeat is None else repeat
        return self._persist(attempt, repeat=allowed)

    def send_file(
        self, path: str, stream: IO[bytes], length: int, told: Callable[[int], object]
    ) -> Answer:
        """PUT ``length`` bytes of ``stream`` from its start; sent again from there if it breaks.

        ``told`` is called with the bytes sent so far.

        Raises:
            Unavailable, RunnerError: See ``request``.
        """

        def blocks() -> Iterator[bytes]:
            sent = 0
            while block := stream.read(_BLOCK):
                yield block
                sent += len(block)
                told(sent)

        def attempt() -> Answer:
            stream.seek(0)
            headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
            with self.stream(
                "PUT", path, content=blocks(), headers=headers, read_s=300
            ) as response:
                return self._read(response)

        return self._persist(attempt, repeat=True)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        read_s: float = 30,
    ) -> Iterator[httpx2.Response]:
        """Send once and give the open answer, whatever its status; errors are translated.

        Raises:
            Unavailable: There is no connection, or it broke or fell silent.
            Denied: The certificate is not trusted, or the server redirects.
        """
        try:
            with self._client.stream(
                method,
                self.server.url + path,
                params={k: v for k, v in (query or {}).items() if v},
                content=content,
                headers=headers,
                timeout=httpx2.Timeout(connect=5, read=read_s, write=60, pool=30),
            ) as response:
                if response.is_redirect:
                    target = response.headers.get("location", "")
                    raise Denied(
                        f"{self.host} redirects to {target[:200]}, which is not followed",
                        hint="the token is for one address: set that of the server that answers",
                    )
                yield response
        except httpx2.ConnectTimeout as error:
            raise _Unsent(f"{self.host} does not answer in time", hint=_CHECK) from error
        except httpx2.TimeoutException as error:
            raise Unavailable(f"{self.host} does not answer in time", hint=_CHECK) from error
        except httpx2.ConnectError as error:
            raise self._unconnected(error) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise InvalidInput(f"{self.server.url} is not an address") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unavailable(
                f"{self.host} broke the connection: {_why(error)}", hint=_CHECK
            ) from error

    def _unconnected(self, error: Exception) -> RunnerError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Denied(
                f"the certificate of {self.host} is not trusted: {_why(error)}",
                hint="name its authority: `tasks context add --ca-file FILE`, or SSL_CERT_FILE",
            )
        return _Unsent(f"{self.host} can't be reached: {_why(error)}", hint=_CHECK)

    def refusal(self, response: httpx2.Response) -> RunnerError:
        """Read an open answer of status 300 or more and return the error it means."""
        body = _bounded(response, 1 << 20, self.host)
        return error_of(
            response.status_code,
            decoded(body),
            where=self.host,
            retry_after=response.headers.get("retry-after", ""),
        )

    def _read(self, response: httpx2.Response) -> Answer:
        if response.status_code >= 300:
            wished = response.headers.get("retry-after", "")
            raise _Refused(self.refusal(response), response.status_code, _seconds(wished))
        body = _bounded(response, MAX_ANSWER_BYTES, self.host)
        return Answer(response.status_code, decoded(body), response.headers)

    def _persist(self, attempt: Callable[[], Answer], *, repeat: bool) -> Answer:
        pause = FIRST_PAUSE_S
        for count in range(ATTEMPTS):
            last = count == ATTEMPTS - 1
            wished = 0.0
            try:
                found = attempt()
            except _Refused as refused:
                wished = refused.wished_s
                worth = repeat and refused.status in _AGAIN and wished <= MAX_WISHED_S
                if last or not worth:
                    raise refused.error from None
            except _Unsent:
                # Nothing was sent: any request may be tried again.
                if last:
                    raise
            except Unavailable:
                if last or not repeat:
                    raise
            else:
                return Answer(found.status, found.body, found.headers, count)
            self._sleep(max(wished, pause * random.uniform(0.75, 1.25)))  # noqa: S311 - jitter
            pause = min(pause * 2, MAX_PAUSE_S)
        raise AssertionError("unreachable")


class _Unsent(Unavailable):
    """There was no connection, so the server can't have seen the request."""


class _Refused(Exception):
    def __init__(self, error: RunnerError, status: int, wished_s: float) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.wished_s = wished_s


_CHECK = "check the address and that the server runs: `tasks context list`"


def _open(server: Server, transport: httpx2.BaseTransport | None) -> httpx2.Client:
    from importlib.metadata import PackageNotFoundError, version

    try:
        agent = f"tasks/{version('tasks-service')}"
    except PackageNotFoundError:
        agent = "tasks"
    headers = {"User-Agent": agent, "Accept": "application/json"}
    if server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    verify: Any = True
    if transport is None and server.url.startswith("https:"):
        verify = _authorities(server.ca_file)
    return httpx2.Client(
        headers=headers,
        verify=verify,
        trust_env=not server.local,
        follow_redirects=False,
        timeout=_SHORT,
        transport=transport,
    )


def _authorities(ca_file: str) -> Any:
    import ssl

    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise InvalidInput(f"the certificates in {ca_file} can't be read: {error}") from error
    return context


def _bounded(response: httpx2.Response, limit: int, host: str) -> bytes:
    body = bytearray()
    for block in response.iter_bytes(_BLOCK):
        body += block
        if len(body) > limit:
            raise SystemFault(f"{host} answers more than {limit >> 20} MiB")
    return bytes(body)


def decoded(body: bytes) -> Any:
    """Return what JSON text means, or None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
