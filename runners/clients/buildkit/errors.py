"""What went wrong, in words: a failed Solve in, an error of runners.model.errors out.

Called by client.py. New daemons send JSON details (which Dockerfile lines,
which step, which exit code); Docker 20.10 sends a message only, which is
taken apart here. The vertices add the failed command's last output.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from runners.clients.buildkit._pb import status_pb2
from runners.clients.buildkit.excerpt import Source, excerpt, find_instruction
from runners.clients.buildkit.status import BuildState, Vertex
from runners.model.errors import (
    Denied,
    InvalidInput,
    RunnerError,
    RunnerLost,
    StepFailed,
    SystemFault,
    Unavailable,
)

CODE_UNKNOWN: Final = 2
CODE_RESOURCE_EXHAUSTED: Final = 8
CODE_UNAVAILABLE: Final = 14

_SOURCE = "github.com/moby/buildkit/errdefs.Source+json"
_VERTEX = "github.com/moby/buildkit/errdefs.Vertex+json"
_EXIT = "github.com/moby/buildkit/gatewayapi.ExitMessage+json"

_NESTED = re.compile(r"^(?:rpc error: code = \w+ desc = )+")
_EXIT_CODE = re.compile(r"exit code: (\d+)")
_PARSE_LINE = re.compile(r"parse error(?: on)? line (\d+)")
_COMMAND = re.compile(r"executor failed running \[(.*)\]: ", re.DOTALL)
_PROCESS = re.compile(r'process "(.*)" did not complete', re.DOTALL)
_IMAGE = re.compile(
    r"(?:failed to resolve source metadata for |load metadata for |pull access denied for "
    r"|failed to load cache key: |failed to copy: )?([\w.-]+(?::\d+)?/[\w./-]+(?:[:@][\w.:-]+)?)"
)
_METADATA_VERTEX = re.compile(r"^\[[^\]]*\] load metadata for (\S+)")
_OUTPUT_LINES = 20


@dataclass(frozen=True, slots=True)
class SolveFailure:
    """A Solve that failed, as it came over the wire."""

    code: int
    message: str
    details: Sequence[tuple[str, bytes]] = ()

    @classmethod
    def from_status(cls, code: int, message: str, packed: bytes | None) -> SolveFailure:
        """Take the status and the ``grpc-status-details-bin`` trailer, if there is one."""
        details: list[tuple[str, bytes]] = []
        if packed:
            status = status_pb2.Status.FromString(packed)
            # The values are JSON: unpacking them as protobuf fails.
            details = [(detail.type_url, detail.value) for detail in status.details]
        return cls(code, message, details)


@dataclass(slots=True)
class _Facts:
    """The failure taken apart."""

    text: str
    exit_code: int | None = None
    vertex: Vertex | None = None
    sources: list[Source] = field(default_factory=list)


def translate(
    failure: SolveFailure,
    state: BuildState,
    dockerfile: Callable[[], Source | None],
    *,
    pushing: bool = False,
) -> RunnerError:
    """Return the error to raise for a failed Solve.

    Args:
        failure: What the daemon answered.
        state: The build's vertices, complete.
        dockerfile: Read the Dockerfile, where the daemon does not send it;
            None when it cannot be had.
        pushing: The build was to push its result as well.
    """
    facts = _take_apart(failure, state)
    if failure.code == CODE_UNAVAILABLE and facts.vertex is None and not facts.sources:
        return RunnerLost(
            f"The build engine went away in the middle of the build: {facts.text}.",
            hint="Its log tells why; a full disk or missing memory are usual.",
        )
    if not facts.sources and (source := dockerfile()) is not None:
        _locate(facts, source)
    for rule in (
        _full_disk,
        _run,
        _remote_context,
        _syntax,
        _base_image,
        _missing_file,
        _pushing,
        _request,
    ):
        if rule is _pushing and not pushing:
            continue
        if (error := rule(facts)) is not None:
            return error
    if failure.code == CODE_RESOURCE_EXHAUSTED or "no active session" in facts.text:
        return SystemFault(f"The build engine gave up: {facts.text}.")
    return StepFailed(f"The build failed: {facts.text}.", detail=_detail(facts))


def _take_apart(failure: SolveFailure, state: BuildState) -> _Facts:
    facts = _Facts(strip(failure.message))
    for kind, value in failure.details:
        if kind == _SOURCE:
            facts.sources += _source(_json(value))
        elif kind == _VERTEX:
            facts.vertex = state.vertices.get(str(_json(value).get("digest")))
        elif kind == _EXIT:
            facts.exit_code = int(_json(value).get("Code", 0))
    if facts.exit_code is None and (found := _EXIT_CODE.search(facts.text)):
        facts.exit_code = int(found[1])
    if facts.vertex is None:
        failed = [vertex for vertex in state.vertices.values() if vertex.state == "error"]
        # A failed cache import leaves an error vertex too: the message names the real one.
        named = [vertex for vertex in failed if strip(vertex.error) in facts.text]
        candidates = named or failed
        facts.vertex = candidates[-1] if candidates else None
    facts.vertex = facts.vertex and _with_output(facts.vertex, state)
    return facts


def _with_output(vertex: Vertex, state: BuildState) -> Vertex:
    vertex.tail.extend(state.last_lines(vertex)[len(vertex.tail) :])
    return vertex


def strip(message: str) -> str:
    """Return the message without nested "rpc error" wrappers and a closing full stop."""
    return _NESTED.sub("", message.strip()).rstrip(".")


def _json(value: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(value)
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _source(detail: dict[str, Any]) -> list[Source]:
    info = detail.get("info") or {}
    try:
        text = base64.b64decode(info.get("data", "")).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return []
    lines: list[int] = []
    for span in detail.get("ranges") or ():
        start = (span.get("start") or {}).get("line", 0)
        lines += range(start, (span.get("end") or {}).get("line", start) + 1)
    return [Source(info.get("filename") or "Dockerfile", text, tuple(lines))] if text else []


def _locate(facts: _Facts, source: Source) -> None:
    if found := _PARSE_LINE.search(facts.text):
        facts.sources.append(source.at(int(found[1])))
    elif facts.vertex is not None and (lines := find_instruction(source.text, facts.vertex.name)):
        facts.sources.append(source.at(*lines))


def _detail(facts: _Facts, command: str = "") -> str:
    parts = [excerpt(source) for source in facts.sources[:1]]
    if command:
        parts.append(f"command: {command}")
    if facts.vertex is not None and facts.vertex.tail:
        lines = list(facts.vertex.tail)[-_OUTPUT_LINES:]
        parts.append("last output:\n" + "\n".join(f"  {line}" for line in lines))
    return "\n".join(part for part in parts if part)


def _where(facts: _Facts) -> str:
    for source in facts.sources[:1]:
        if source.lines:
            return f"{source.filename}:{source.lines[0]}: "
    return ""


def _full_disk(facts: _Facts) -> RunnerError | None:
    if "no space left on device" not in facts.text or facts.exit_code is not None:
        return None
    return StepFailed(
        f"{_where(facts)}The build engine's disk is full: {facts.text}.",
        hint="Give the runner more disk, or prune its build cache.",
        detail=_detail(facts),
    )


def _run(facts: _Facts) -> RunnerError | None:
    command = _PROCESS.search(facts.text) or _COMMAND.search(facts.text)
    if facts.exit_code is None or command is None:
        return None
    name = facts.vertex.name if facts.vertex is not None else "RUN"
    return StepFailed(
        f"{_where(facts)}The build step {name!r} failed with exit code {facts.exit_code}.",
        exit_code=facts.exit_code,
        detail=_detail(facts, command[1]),
    )


def _remote_context(facts: _Facts) -> RunnerError | None:
    text = facts.text
    if "failed to load cache key" not in text:
        return None
    if not any(part in text for part in ("failed to read dockerfile", "downloaded context")):
        return None
    url = re.search(r"(?:https?|git|ssh)://[^\s\"]+", text)
    cause = text.partition("failed to load cache key: ")[2].strip()
    return StepFailed(
        f"The build context {url[0].rstrip(':') if url else ''} cannot be fetched: {cause}.",
        hint="The engine fetches it itself: check the address, its network and its Git.",
    )


_SYNTAX = (
    "dockerfile parse error",
    "failed to parse",
    "parse error",
    "unknown instruction",
    "invalid reference format",
    "target stage",
    "unsupported frontend capability",
    "the Dockerfile cannot be empty",
    "file with no instructions",
    "no build stage in current context",
    "invalid from flag value",
    "circular dependency",
    "refusing to create a tag",
)


def _syntax(facts: _Facts) -> RunnerError | None:
    text = facts.text
    if "failed to read dockerfile" in text or "Cannot locate specified Dockerfile" in text:
        return InvalidInput(
            f"The Dockerfile cannot be read: {_cause(text)}.",
            hint="Give its path relative to the build context with -f.",
        )
    if "unsupported frontend capability" in text:
        return InvalidInput(
            f"This engine's BuildKit is too old for this build: {_cause(text)}.",
            hint="Use Docker Engine 23 or newer.",
        )
    if any(part in text for part in _SYNTAX):
        cause = text.partition("failed to solve with frontend dockerfile.v0: ")[2] or text
        cause = cause.partition("failed to create LLB definition: ")[2] or cause
        return InvalidInput(f"{_where(facts)}{_sentence(cause)}.", detail=_detail(facts))
    return None


def _cause(text: str) -> str:
    return _NESTED.sub("", text.rsplit(": rpc error: ", 1)[-1]).rpartition("desc = ")[2] or text


def _sentence(text: str) -> str:
    text = text.removeprefix("failed to solve: ")
    return text[:1].upper() + text[1:]


_REFUSED = ("authorization failed", "unauthorized", "403 Forbidden", "access denied", "401 ")
_UNREACHABLE = (
    "connection refused", "no such host", "i/o timeout", "failed to do request", "dial tcp",
    "server misbehaving", "TLS handshake", "x509", "network is unreachable", "EOF",
)  # fmt: skip
_ABSENT = ("not found", "manifest unknown", "does not exist")


def _base_image(facts: _Facts) -> RunnerError | None:
    vertex = facts.vertex
    found = _METADATA_VERTEX.search(vertex.name) if vertex is not None else None
    if found is None and "failed to resolve source metadata" not in facts.text:
        return None
    named = found or _IMAGE.search(facts.text)
    image = named[1] if named else "of this build"
    detail = _detail(facts)
    text = facts.text
    if any(part in text for part in _REFUSED) and "pull access denied" not in text:
        return StepFailed(
            f"{_where(facts)}The registry refused the login for the base image {image}: "
            f"{_last(text)}.",
            hint="Check the credentials given for this registry.",
            detail=detail,
        )
    if any(part in text for part in (*_ABSENT, "pull access denied")):
        return StepFailed(
            f"{_where(facts)}The base image {image} does not exist, or reading it needs a login: "
            f"{_last(text)}.",
            hint="Check its name and tag, and the credentials for its registry.",
            detail=detail,
        )
    if any(part in text for part in _UNREACHABLE):
        return StepFailed(
            f"{_where(facts)}The registry of the base image {image} cannot be reached: "
            f"{_last(text)}.",
            hint="Check the network and the registry's address.",
            detail=detail,
        )
    return StepFailed(
        f"{_where(facts)}The base image {image} cannot be had: {_last(text)}.", detail=detail
    )


def _last(text: str) -> str:
    """Return the inner parts of a chained message; the outer ones say "failed to" each."""
    parts = text.split(": ")
    return ": ".join(parts[-3:]) if len(parts) > 3 else text


def _missing_file(facts: _Facts) -> RunnerError | None:
    text = facts.text
    if "error from sender" in text:
        cause = text.partition("error from sender: ")[2]
        return InvalidInput(f"The build context cannot be read: {cause}.", detail=_detail(facts))
    missing = "not found" in text or "no such file or directory" in text
    copying = "failed to compute cache key" in text or "failed to calculate checksum" in text
    if not missing or not (copying or "lstat" in text or "failed to walk" in text):
        return None
    # The daemon names a path of its own; the instruction says what the user asked for.
    step = facts.vertex.name.rpartition("] ")[2] if facts.vertex is not None else ""
    return InvalidInput(
        f"{_where(facts)}A file to copy is not in the build context: {step or _last(text)}.",
        hint="Check the path and the .dockerignore file; paths are relative to the context.",
        detail=_detail(facts),
    )


def _pushing(facts: _Facts) -> RunnerError | None:
    text = facts.text
    if "push" not in text and (facts.vertex is None or "export" not in facts.vertex.name):
        return None
    if any(part in text for part in (*_REFUSED, "denied")):
        return Denied(
            f"The registry refused the push: {_last(text)}.",
            hint="Check the credentials and that they may write to this repository.",
        )
    if re.search(r"\b(429|5\d\d)\b", text) or any(part in text for part in _UNREACHABLE):
        return Unavailable(f"The registry did not take the push: {_last(text)}.")
    return StepFailed(f"The push failed: {_last(text)}.")


def _request(facts: _Facts) -> RunnerError | None:
    text = facts.text
    if "not allowed" in text and ("network.host" in text or "security.insecure" in text):
        return InvalidInput(f"The build engine does not allow this: {text}.")
    if re.search(r'exporter "?\w+"? could not be found|unknown cache exporter', text):
        return InvalidInput(f"This engine cannot do that: {text}.")
    if "secret" in text and ("not given" in text or "not found" in text or "limit" in text):
        return InvalidInput(
            f"{_where(facts)}A secret is missing: {_last(text)}.",
            hint="Give it with --secret.",
            detail=_detail(facts),
        )
    return None
