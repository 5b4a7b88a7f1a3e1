"""Pull, push and look up through the Engine API, progress as lines, errors told apart.

References in, output lines and digests out. Used by clients/docker_sandbox.py.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from runners.clients.docker_sdk import EngineClient, EngineError, translated
from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput, RunnerError, StepFailed, Unavailable
from runners.model.image import ImageRef
from runners.model.record import PushedImage
from runners.sandbox import Output

MAX_MESSAGE = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHOWN = ("Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted from")
_STATE = re.compile(r"\?_state=[^\s\"]*")
_DENIED = re.compile(
    r"unauthorized|authentication required|denied|no basic auth|403 Forbidden|401 Unauthorized",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"manifest unknown|not found|manifest for .* not found|repository does not exist|name unknown",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"connection refused|no such host|timeout|timed out|deadline exceeded|connection reset|EOF"
    r"|no route to host|network is unreachable|too many ?requests|toomanyrequests"
    r"|server error|5\d\d |status: 429|bad gateway|service unavailable|server misbehaving"
    r"|broken pipe|use of closed network connection|server closed|connection closed"
    r"|TLS handshake|received unexpected HTTP status: (5|429)",
    re.IGNORECASE,
)


class Images:
    """Moves images between one engine and registries. Thread-safe.

    ``logins`` maps a registry's host to (user name, password).
    """

    def __init__(self, client: EngineClient, logins: Mapping[str, tuple[str, str]]) -> None:
        self._client = client
        self._logins = logins

    def pull(self, text: str, output: Output, cancel: Cancellation, *, platform: str = "") -> None:
        """Pull one image once.

        Raises:
            StepFailed: there is no such image.
            Denied: the registry refused.
            Unavailable: the registry does not answer.
        """
        reference = ImageRef.parse(text).with_default_tag()
        params = {"fromImage": reference.repository, "tag": reference.digest or reference.tag}
        if platform:
            params["platform"] = platform
        try:
            for message in self._messages("/images/create", params, reference, cancel):
                _show(message, output)
        except EngineError as error:
            raise _classified(error.reason, "pull", reference) from error

    def digest(self, text: str) -> str | None:
        """Return the digest under which an image of the store was pulled.

        Empty for one that was made here, None where there is no such image.
        """
        reference = ImageRef.parse(text).with_default_tag()
        try:
            found = self._client.call(
                "GET", f"/images/{quote(str(reference))}/json", f"reading '{reference}'"
            )
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        wanted = ImageRef.parse(reference.repository).canonical
        names = found.get("RepoDigests") if isinstance(found, dict) else None
        for one in names if isinstance(names, list) else []:
            name, _, digest = str(one).partition("@")
            with suppress(InvalidInput):
                if ImageRef.parse(name).canonical == wanted and _DIGEST.fullmatch(digest):
                    return digest
        return ""

    def hold(
        self, text: str, digest: str, output: Output, cancel: Cancellation, *, platform: str = ""
    ) -> None:
        """Have an image under its name at a digest, whatever the registry's tag is by now.

        Raises:
            StepFailed, Denied, Unavailable: See ``pull``.
        """
        reference = ImageRef.parse(text).with_default_tag()
        pinned = f"{reference.repository}@{digest}"
        self.pull(pinned, output, cancel, platform=platform)
        self._client.call(
            "POST",
            f"/images/{quote(pinned)}/tag",
            f"naming '{reference}'",
            params={"repo": reference.repository, "tag": reference.tag},
        )

    def ask(self, text: str, cancel: Cancellation) -> str:
        """Return the digest that a tag has in its registry; empty where it does not tell."""
        reference = ImageRef.parse(text).with_default_tag()
        doing = f"asking for '{reference}'"
        try:
            with self._client.cancellable(cancel), translated(doing):
                response = self._client.open_stream(
                    "GET",
                    f"/distribution/{quote(str(reference))}/json",
                    headers={"X-Registry-Auth": self._auth(reference.registry_host)},
                )
                try:
                    found = next(json_messages(response.raw), {})
                finally:
                    response.close()
        except EngineError:
            return ""
        except ValueError:
            return ""
        descriptor = found.get("Descriptor")
        digest = descriptor.get("digest") if isinstance(descriptor, dict) else ""
        return str(digest) if _DIGEST.fullmatch(str(digest)) else ""

    def push(self, text: str, output: Output, cancel: Cancellation) -> PushedImage:
        """Push one image once; see Sandbox.push."""
        reference = ImageRef.parse(text).with_default_tag()
        digest = ""
        path = f"/images/{quote(reference.repository)}/push"
        try:
            for message in self._messages(path, {"tag": reference.tag}, reference, cancel):
                aux = message.get("aux")
                if isinstance(aux, dict):
                    if _DIGEST.fullmatch(str(aux.get("Digest"))):
                        digest = str(aux["Digest"])
                    continue
                _show(message, output)
                digest = digest or _digest_of(str(message.get("status", "")))
        except EngineError as error:
            raise _classified(error.reason, "push", reference) from error
        if not digest:
            raise Unavailable(f"the push of '{reference}' ended without a digest")
        return PushedImage(str(reference), digest, self.size(text))

    def size(self, text: str) -> int | None:
        """Return the bytes of one image of the store as the engine counts them, None if unknown.

        The containerd image store counts compressed content, the older one
        unpacked layers.
        """
        reference = ImageRef.parse(text).with_default_tag()
        with suppress(RunnerError):
            found = self._client.call(
                "GET", f"/images/{quote(str(reference))}/json", f"reading '{reference}'"
            )
            size = found.get("Size") if isinstance(found, dict) else None
            return size if isinstance(size, int) and size > 0 else None
        return None

    def _messages(
        self, path: str, params: Mapping[str, str], reference: ImageRef, cancel: Cancellation
    ) -> Iterator[dict[str, Any]]:
        doing = f"asking the engine for '{reference}'"
        with self._client.cancellable(cancel), translated(doing):
            response = self._client.open_stream(
                "POST",
                path,
                params=params,
                headers={"X-Registry-Auth": self._auth(reference.registry_host)},
            )
            try:
                for message in json_messages(response.raw):
                    if "error" in message:
                        raise EngineError(doing, 500, _error_text(message))
                    yield message
            finally:
                response.close()

    def _auth(self, registry: str) -> str:
        username, password = self._logins.get(registry, ("", ""))
        body = {"username": username, "password": password, "serveraddress": registry}
        if not username:
            body = {}
        return base64.urlsafe_b64encode(json.dumps(body).encode()).decode()


def json_messages(raw: Any) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a progress stream, each at most MAX_MESSAGE bytes.

    Raises:
        ValueError: the stream holds something else.
    """
    decoder = json.JSONDecoder()
    rest = ""
    while True:
        data = raw.read1(65536) if hasattr(raw, "read1") else raw.read(65536)
        rest = (rest + data.decode(errors="replace")).lstrip()
        while rest:
            try:
                message, end = decoder.raw_decode(rest)
            except json.JSONDecodeError:
                if not data or len(rest) > MAX_MESSAGE:
                    raise
                break
            yield message if isinstance(message, dict) else {}
            rest = rest[end:].lstrip()
        if not data:
            return


def _show(message: Mapping[str, Any], output: Output) -> None:
    status = str(message.get("status", ""))[:500]
    if not status or "progress" in message:
        return
    layer = str(message.get("id", ""))[:80]
    if layer and not status.startswith(_SHOWN) and "Pulling from" not in status:
        return
    text = f"{layer}: {status}" if layer else status
    output.write("stderr", text.replace("\n", " ").encode() + b"\n")


def _digest_of(status: str) -> str:
    """Read the digest from ``tag: digest: sha256:… size: n``, the last line of a push."""
    match = re.search(r"digest: (sha256:[0-9a-f]{64})", status)
    return match.group(1) if match else ""


def _error_text(message: Mapping[str, Any]) -> str:
    detail = message.get("errorDetail")
    text = detail.get("message") if isinstance(detail, dict) else None
    # What an upload's address ends in is random, and of no use to anybody.
    return _STATE.sub("", str(text or message.get("error")))[:2000].strip()


def _classified(reason: str, verb: str, reference: ImageRef) -> RunnerError:
    registry = reference.registry_host
    doing = f"cannot {verb} '{reference}'"
    if verb == "push" and re.search(
        r"does not exist locally|no such image|tag does not exist|reference does not exist",
        reason,
        re.IGNORECASE,
    ):
        return StepFailed(
            f"{doing}: there is no such image in this run",
            hint="a build step must make it first, with exactly this tag (-t)",
        )
    if _AWAY.search(reason) and not _DENIED.search(reason):
        return Unavailable(f"{doing}: registry '{registry}' does not answer: {reason}")
    if _DENIED.search(reason) and "does not exist or may require" not in reason:
        return Denied(
            f"{doing}: registry '{registry}' refused: {reason}",
            hint=f"give a login for '{registry}' that may {verb} there",
        )
    if verb == "pull" and (_MISSING.search(reason) or "may require" in reason):
        return StepFailed(
            f"{doing}: registry '{registry}' has no such image (or keeps it private)",
            hint="check name and tag; a private image needs a login for its registry",
            detail=reason,
        )
    if "no space left" in reason:
        return StepFailed(f"{doing}: the disk of the runner is full", detail=reason)
    if "HTTP response to HTTPS" in reason:
        return StepFailed(
            f"{doing}: registry '{registry}' speaks plain HTTP, which the engine does not trust",
            hint="serve it over HTTPS, or name it as an insecure registry of the runner",
        )
    return StepFailed(f"{doing}: {reason}")
