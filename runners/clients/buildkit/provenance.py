"""Base images of a finished build: its provenance in, references with digests out.

What was used, and at which digest, is what BuildKit says; what for, and
whether the Dockerfile holds it at that digest, is what the Dockerfile says.
Called by solve.py after a successful Solve. Daemons since 0.11 keep a
history record with a provenance statement for every build, whatever becomes
of its result; older ones name the images in their vertices. Neither is part
of the build: what cannot be read is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import grpc

from runners.clients.buildkit._pb import content_pb2, control_pb2
from runners.clients.buildkit.daemon import DaemonFacts
from runners.clients.buildkit.dockerfile import BUILD, FRONTEND, ONBUILD, ORDER, RUNTIME, Reading
from runners.clients.buildkit.status import BuildState, Vertex
from runners.model.errors import InvalidInput
from runners.model.image import ImageRef
from runners.model.record import BaseImage

DigestLookup = Callable[[str], str]
"""Return the digest of an image in the engine's store, empty where there is none."""

_TIMEOUT_S = 10.0
_PREDICATE = "in-toto.io/predicate-type"
_SLSA = "https://slsa.dev/provenance/"
_IMAGE_SOURCE = "docker-image://"
_PURL = "pkg:docker/"
_FROM = re.compile(r"^(?:\[[^\]]*\] )?FROM (\S+)")
_COPIES = re.compile(r"^\[[^\]]*\] (?:COPY|ADD) ")
_MAX_STEPS = 10_000


def read_base_images(
    channel: grpc.Channel,
    ref: str,
    facts: DaemonFacts,
    state: BuildState,
    local: DigestLookup,
    readings: Sequence[Reading] = (),
) -> tuple[BaseImage, ...]:
    """Return the images the build started from, without duplicates.

    Args:
        channel: The control channel.
        ref: The finished build.
        facts: The daemon's abilities.
        state: The build's vertices, for daemons that keep no history.
        local: Knows the digests of images that a graph driver's store had
            at hand; BuildKit itself knows only their layers there.
        readings: What the Dockerfile says for each platform; none where it
            is not at hand.
    """
    images: list[BaseImage] = []
    if not facts.legacy:
        for predicate in _predicates(channel, ref):
            images += _from_predicate(predicate)
    if not images:
        images = _from_vertices(state)
    resolved = {match for vertex in state.vertices.values() if (match := _pinned(vertex.name))}
    found: dict[tuple[str, str], BaseImage] = {}
    for image in images:
        digest = image.digest
        if not facts.manifests and (image.reference, digest) not in resolved:
            digest = local(image.reference)
        known = found.get((image.reference, digest))
        role = RUNTIME if known and known.role == RUNTIME else image.role
        pinned = image.pinned and (known is None or known.pinned)
        found[image.reference, digest] = BaseImage(image.reference, digest, role, pinned)
    # Old daemons tell the digest of what they start from, not of what they copy from.
    told = {image.reference for image in found.values() if image.digest}
    return tuple(
        _joined(image, readings)
        for image in found.values()
        if image.digest or image.reference not in told
    )


def _joined(image: BaseImage, readings: Sequence[Reading]) -> BaseImage:
    uses = [
        use
        for reading in readings
        for use in reading.uses
        if use.reference == image.reference and use.pinned in ("", image.digest)
    ]
    if uses:
        role = min((use.role for use in uses), key=ORDER.index)
        return replace(image, role=role, pinned=all(use.pinned for use in uses))
    if readings and all(reading.complete for reading in readings):
        # The Dockerfile does not name it: an image that it names brought it in.
        return replace(image, role=ONBUILD)
    return image


def _predicates(channel: grpc.Channel, ref: str) -> Iterator[dict[str, Any]]:
    listen = channel.unary_stream(
        "/moby.buildkit.v1.Control/ListenBuildHistory",
        request_serializer=control_pb2.BuildHistoryRequest.SerializeToString,
        response_deserializer=control_pb2.BuildHistoryEvent.FromString,
    )
    read = channel.unary_stream(
        "/containerd.services.content.v1.Content/Read",
        request_serializer=content_pb2.ReadContentRequest.SerializeToString,
        response_deserializer=content_pb2.ReadContentResponse.FromString,
    )
    request = control_pb2.BuildHistoryRequest(Ref=ref, EarlyExit=True)
    try:
        for event in listen(request, timeout=_TIMEOUT_S):
            record = event.record
            for result in (record.Result, *record.Results.values()):
                for statement in result.Attestations:
                    if statement.annotations.get(_PREDICATE, "").startswith(_SLSA):
                        blob = content_pb2.ReadContentRequest(digest=statement.digest)
                        parts = read(blob, timeout=_TIMEOUT_S)
                        loaded = json.loads(b"".join(part.data for part in parts))
                        yield loaded.get("predicate", loaded)
    except (grpc.RpcError, ValueError, AttributeError):
        return


def _from_predicate(predicate: Mapping[str, Any]) -> list[BaseImage]:
    # Version 1 of the predicate moved both parts.
    definition = predicate.get("buildDefinition") or {}
    config = predicate.get("buildConfig") or (definition.get("internalParameters") or {}).get(
        "buildConfig"
    )
    materials = predicate.get("materials") or definition.get("resolvedDependencies") or []
    found = list(filter(None, map(_material, materials)))
    digests = {image.reference: image.digest for image in found}
    held = {image.reference for image in found if image.pinned}
    steps = {step.get("id"): step for step in (config or {}).get("llbDefinition") or []}
    runtime = _base_step(steps)
    images = []
    for name, step in steps.items():
        identifier = _operation(step, "source").get("identifier", "")
        if identifier.startswith(_IMAGE_SOURCE):
            reference, digest = _split(identifier.removeprefix(_IMAGE_SOURCE))
            role = RUNTIME if name == runtime else BUILD
            digest = digest or digests.get(reference, "")
            images.append(BaseImage(reference, digest, role, reference in held))
    if not steps:
        # What each was for is not told then: it may be the base.
        return [replace(image, role=RUNTIME) for image in found]
    # What no step starts from is what read the Dockerfile.
    known = {image.reference for image in images}
    return images + [replace(i, role=FRONTEND) for i in found if i.reference not in known]


def _operation(step: Mapping[str, Any], kind: str) -> dict[str, Any]:
    operation = (step.get("op") or {}).get("Op") or {}
    found = operation.get(kind)
    return found if isinstance(found, dict) else {}


def _base_step(steps: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the id of the source below the final result's root file system."""
    current = list(steps)[-1] if steps else None
    for _ in range(_MAX_STEPS):
        step = steps.get(current or "")
        if step is None or _operation(step, "source"):
            return current
        inputs = step.get("inputs") or []
        number = _base_input(step)
        if not 0 <= number < len(inputs):
            return None
        current = str(inputs[number]).rpartition(":")[0]
    return None


def _base_input(step: Mapping[str, Any]) -> int:
    """Return which input an operation's result is based on; -1 for an empty root."""
    for mount in _operation(step, "exec").get("mounts") or []:
        if mount.get("dest") == "/":
            return int(mount.get("input", 0))
    for action in _operation(step, "file").get("actions") or []:
        return int(action.get("input", 0))
    return 0


def _material(material: Mapping[str, Any]) -> BaseImage | None:
    uri = str(material.get("uri", ""))
    digest = (material.get("digest") or {}).get("sha256")
    if not uri.startswith(_PURL) or not digest:
        return None
    path, _, query = unquote(uri.removeprefix(_PURL)).partition("?")
    name, _, version = path.partition("@")
    text = f"{name}:{version}" if version and not version.startswith("sha256:") else name
    pinned = any(part.startswith("digest=") for part in query.split("&"))
    return BaseImage(_split(text)[0], f"sha256:{digest}", BUILD, pinned)


def _split(text: str) -> tuple[str, str]:
    """Return the full name without digest, and the digest."""
    name, _, digest = text.partition("@")
    try:
        return ImageRef.parse(name).with_default_tag().canonical, digest
    except InvalidInput:
        return name, digest


def _pinned(name: str) -> tuple[str, str] | None:
    found = _FROM.match(name)
    if found is None or "@" not in found[1]:
        return None
    return _split(found[1])


def _from_vertices(state: BuildState) -> list[BaseImage]:
    used = {digest for vertex in state.vertices.values() for digest in vertex.inputs}
    ends = [
        vertex
        for vertex in state.vertices.values()
        if vertex.digest not in used and (vertex.inputs or _FROM.match(vertex.name))
    ]
    runtime = {base.digest for end in ends if (base := _base_vertex(end, state)) is not None}
    images = []
    for vertex in state.vertices.values():
        if found := _FROM.match(vertex.name):
            reference, digest = _split(found[1])
            role = RUNTIME if vertex.digest in runtime else BUILD
            images.append(BaseImage(reference, digest, role))
    return images


def _base_vertex(vertex: Vertex, state: BuildState) -> Vertex | None:
    current: Vertex | None = vertex
    for _ in range(_MAX_STEPS):
        if current is None or _FROM.match(current.name):
            return current
        # A copy has its base and its source as inputs; with one of them it starts from nothing.
        if not current.inputs or (len(current.inputs) == 1 and _COPIES.match(current.name)):
            return None
        current = state.vertices.get(current.inputs[0])
    return None
