"""A Docker Engine's API through the docker SDK, over sockets from a dialer.

The only importer of ``docker``. A dialer goes in; an EngineClient comes out
whose every error is one of ours. Used by the other ``docker_*`` modules of
this folder and by the backends.

The engine at the other end may belong to the code of a run, so what it
answers is bounded in size and time, and no answer makes us read a file,
follow a path or send a credential that the caller did not hand over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
import docker.auth
import docker.errors
import docker.utils.proxy
import requests
import urllib3.exceptions

from runners.clients.docker_transport import (
    REPLY_TIMEOUT_S,
    Adapter,
    Dial,
    Hijacked,
    Sockets,
    unix_dialer,
    upgrade,
)
from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError, RunnerLost, SystemFault, Unavailable

__all__ = [
    "Dial",
    "EngineClient",
    "EngineError",
    "Hijacked",
    "connect",
    "translated",
    "unix_dialer",
]

BASE_URL = "http://engine:2375"
"""Never resolved: the adapter dials."""
MAX_REPLY = 16 << 20
OLDEST_API, NEWEST_API = (1, 40), (1, 45)


class EngineError(SystemFault):
    """The engine answered with an error; ``status`` is HTTP's, ``reason`` its words."""

    def __init__(self, doing: str, status: int, reason: str) -> None:
        super().__init__(f"{doing}: {reason}")
        self.status = status
        self.reason = reason


class EngineClient(docker.APIClient):
    """The SDK's low-level client for one engine. Thread-safe.

    Every method of the SDK may be called inside ``translated``, which turns
    whatever it raises into our errors, and inside ``cancellable``, which
    wakes it when the work is cancelled. Made by ``connect``.
    """

    def __init__(self, dial: Dial, version: str) -> None:
        super().__init__(base_url=BASE_URL, version=version, timeout=REPLY_TIMEOUT_S)
        self._dial = dial
        self._local = threading.local()
        self.trust_env = False
        # What the user's own docker client is set up with is not for this engine.
        self._proxy_configs = docker.utils.proxy.ProxyConfig()
        self._auth_configs = docker.auth.AuthConfig({})
        self.mount("http://", Adapter(dial, self._local))

    def negotiate(self) -> None:
        """Agree on the API version, once."""
        with translated("asking the engine for its version"):
            response = self.get(f"{BASE_URL}/_ping", timeout=REPLY_TIMEOUT_S)
            _raise_for_status(response)
        answered = response.headers.get("Api-Version", "")
        try:
            major, minor = (int(part) for part in answered.split("."))
        except ValueError:
            raise Unavailable(f"the engine answers with no API version ({answered!r})") from None
        if (major, minor) < OLDEST_API:
            raise Unavailable(
                f"the engine's API {answered} is too old; {OLDEST_API[0]}.{OLDEST_API[1]} or newer"
                " is needed (Docker Engine 19.03)"
            )
        self._version = ".".join(map(str, min((major, minor), NEWEST_API)))

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send, and read a whole reply only up to the bounds."""
        stream = kwargs.pop("stream", False)
        timeout = kwargs.get("timeout")
        response = super().send(request, stream=True, **kwargs)
        if not stream:
            # requests reads without bounds; these two are what it would set.
            vars(response).update(_content=_bounded(response, timeout), _content_consumed=True)
        return response

    @contextmanager
    def cancellable(self, cancel: Cancellation, grace_s: float = 0) -> Iterator[None]:
        """Wake this thread's calls when ``cancel`` is requested (``grace_s`` later).

        Raises:
            RunnerError: the reason of ``cancel``, in place of what the woken
                call raised.
        """
        sockets = Sockets()
        self._local.sockets = sockets

        def shut() -> None:
            if grace_s:
                timer = threading.Timer(grace_s, sockets.shut)
                timer.daemon = True
                timer.start()
            else:
                sockets.shut()

        forget = cancel.on_cancel(shut)
        try:
            yield
        except RunnerError:
            cancel.check()
            raise
        finally:
            forget()
            self._local.sockets = None

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        body: object = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = REPLY_TIMEOUT_S,
    ) -> Any:
        """Make one request of the versioned API that the SDK has no good call for.

        Returns:
            The JSON answer, or None if the answer is empty.

        Raises:
            EngineError, RunnerLost: see ``translated``.
        """
        with translated(doing):
            response = self.request(
                method,
                f"{BASE_URL}/v{self._version}{path}",
                json=body,
                params=params,
                timeout=timeout_s,
            )
            _raise_for_status(response)
            return response.json() if response.content else None

    def open_stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> requests.Response:
        """Make one request and return the answer with its body unread, without time limit.

        Call it, and read the body, inside ``translated`` and ``cancellable``;
        close what it returns.
        """
        url = f"{BASE_URL}/v{self._version}{path}"
        response = self.request(
            method, url, params=params, headers=headers, data=data, stream=True, timeout=None
        )
        if response.status_code >= 400:
            vars(response).update(
                _content=_bounded(response, REPLY_TIMEOUT_S), _content_consumed=True
            )
            _raise_for_status(response)
        return response

    def hijack(self, path: str, body: bytes = b"") -> Hijacked:
        """POST ``path`` with an upgrade and return the raw stream behind it."""
        url = f"/v{self._version}{path}"
        with translated("attaching to the engine"):
            sock = self._dial()
            try:
                rest = upgrade(sock, url, body)
            except BaseException:
                sock.close()
                raise
        return Hijacked(sock, rest)


def connect(dial: Dial) -> EngineClient:
    """Return a client of the engine that ``dial`` reaches, its API version agreed.

    Raises:
        Unavailable: it does not answer, or not like a Docker Engine.
    """
    client = EngineClient(dial, ".".join(map(str, OLDEST_API)))
    try:
        client.negotiate()
    except SystemFault as error:
        client.close()
        raise Unavailable(f"the Docker Engine does not answer: {error.message}") from error
    return client


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the SDK, requests, urllib3 and sockets raise into our errors.

    Raises:
        EngineError: the engine answered with an HTTP error.
        RunnerLost: it does not answer (any more), or with nonsense.
    """
    try:
        yield
    except docker.errors.APIError as error:
        status = error.response.status_code if error.response is not None else 500
        reason = str(error.explanation or error)[:4096].strip()
        raise EngineError(doing, status, reason) from error
    except (requests.exceptions.Timeout, TimeoutError) as error:
        raise RunnerLost(f"{doing}: the engine does not answer in time") from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        docker.errors.DockerException,
        OSError,
        ValueError,
    ) as error:
        raise RunnerLost(f"{doing}: the engine is gone ({_root(error)})") from error


def _raise_for_status(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def _root(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"{type(error).__name__}: {error}"[:300]


def _bounded(response: Any, timeout: Any) -> bytes:
    seconds = timeout if isinstance(timeout, int | float) else None
    deadline = None if seconds is None else time.monotonic() + seconds
    body = bytearray()
    try:
        for chunk in response.raw.stream(65536, decode_content=True):
            body += chunk
            _check_bounds(len(body), deadline)
    except BaseException:
        response.close()
        raise
    return bytes(body)


def _check_bounds(length: int, deadline: float | None) -> None:
    if length > MAX_REPLY:
        raise requests.exceptions.ConnectionError("the reply is too long")
    if deadline is not None and time.monotonic() > deadline:
        raise requests.exceptions.Timeout("the reply takes too long")
