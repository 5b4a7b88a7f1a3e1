"""JSON over HTTP for providers: no redirects, bounded sizes and times, few retries.

In: one request. Out: status and JSON. Errors of the transport are translated
here; their texts never hold a header, a form or a body.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runners.model.cancellation import Cancellation
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable

if TYPE_CHECKING:
    import httpx2

MAX_BODY_BYTES = 1 << 20
ATTEMPTS = 4
ATTEMPT_S = 30.0
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0
_BUSY = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. ``body`` is None where it wasn't JSON."""

    status: int
    body: Any = field(repr=False)

    def at(self, *path: str) -> Any:
        """Return what stands at a path of object keys, or None."""
        value = self.body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value


class HTTPClient:
    """A client for one run. Thread-safe.

    Args:
        ca_file: Certificate authorities besides the system's, PEM.
        direct: Ignore proxy settings, for addresses of this machine.
    """

    def __init__(self, *, ca_file: str = "", direct: bool = False) -> None:
        self._ca_file = ca_file
        self._direct = direct
        self._lock = threading.Lock()
        self._opened: httpx2.Client | None = None
        self._closed = False

    def _client(self) -> httpx2.Client:
        with self._lock:
            if self._closed:
                raise SecretUnavailable("the run ended before the answer")
            if self._opened is None:
                self._opened = self._make()
            return self._opened

    def _make(self) -> httpx2.Client:
        import ssl

        import httpx2

        try:
            context = ssl.create_default_context()
            if self._ca_file:
                context.load_verify_locations(self._ca_file)
        except OSError:
            raise SecretRefused(f"the certificates in {self._ca_file} can't be read") from None
        return httpx2.Client(
            verify=context,
            trust_env=not self._direct,
            follow_redirects=False,
            timeout=httpx2.Timeout(connect=5, read=15, write=10, pool=30),
            headers={"User-Agent": "tasks-service", "Accept": "application/json"},
        )

    def close(self) -> None:
        """Close connections; later requests fail. Idempotent."""
        with self._lock:
            self._closed = True
            client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        cancel: Cancellation,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Send a request, again while the server is busy, and return its last answer.

        A redirect is an error: the request carries a login that is meant for
        this host only.

        Raises:
            SecretRefused: The server redirects or floods, or its certificate is
                wrong.
            SecretUnavailable: No answer, or it broke off.
            RunnerError: The reason of ``cancel``.
        """
        pause = FIRST_PAUSE_S
        for left in reversed(range(attempts)):
            cancel.check()
            try:
                answer, wished = self._attempt(method, url, headers, form, cancel)
            except SecretUnavailable:
                if not left:
                    raise
                wished = 0.0
            else:
                if answer.status not in _BUSY or not left:
                    return answer
            cancel.wait(min(max(pause, wished), MAX_PAUSE_S))
            pause *= 2
        raise AssertionError("unreachable")

    def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
        cancel: Cancellation,
    ) -> tuple[Answer, float]:
        import httpx2

        host = urlsplit(url).netloc
        try:
            with self._client().stream(method, url, headers=headers, data=form) as response:
                if response.has_redirect_location:
                    target = urlsplit(response.headers.get("location", "")).netloc or host
                    raise SecretRefused(
                        f"{host} redirects to {target}, which is not followed",
                        hint="set the address of the server that answers itself",
                    )
                body = _read(response, host, cancel)
                return (
                    Answer(response.status_code, _json(body)),
                    _seconds(response.headers.get("retry-after", "")),
                )
        except httpx2.TimeoutException:
            raise SecretUnavailable(f"{host} doesn't answer in time") from None
        except httpx2.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise SecretRefused(
                    f"the certificate of {host} is not trusted",
                    hint="name the authority's file in SSL_CERT_FILE (VAULT_CACERT for Vault)",
                ) from None
            raise SecretUnavailable(f"{host} can't be reached") from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise SecretRefused(f"'{host}' can't be a server's address") from None
        except (httpx2.HTTPError, httpx2.StreamError, RuntimeError) as error:
            # RuntimeError: the client was closed by the run's end.
            raise SecretUnavailable(
                f"{host} broke the connection ({type(error).__name__})"
            ) from None


def _read(response: httpx2.Response, host: str, cancel: Cancellation) -> bytes:
    """Return the body; a server that drips or floods is given up."""
    until = time.monotonic() + ATTEMPT_S
    body = bytearray()
    for chunk in response.iter_bytes(64 * 1024):
        body += chunk
        cancel.check()
        if len(body) > MAX_BODY_BYTES:
            raise SecretRefused(f"{host} sends more than {MAX_BODY_BYTES} bytes")
        if time.monotonic() > until:
            raise SecretUnavailable(f"{host} doesn't answer in time")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0
