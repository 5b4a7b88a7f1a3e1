"""Fetch an OCI artifact of a registry into a folder; the throw-away process unpacks it (K-10).

In: a checked ArtifactLocation. Out: ``folder/tree``. This process reads the
manifest and writes blobs to files, whose digests it checks; it never looks
into them.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, Unavailable
from tasks_service.errors import NotFound
from tasks_service.registries import Manifest, RegistryClient
from tasks_service.sources.archive import unpack_error
from tasks_service.sources.child import run_child
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.location import ArtifactLocation, short
from tasks_service.sources.settings import SourceSettings

_MAX_LAYERS = 100
_TITLE = "org.opencontainers.image.title"
_UNPACK = "io.deis.oras.content.unpack"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAR_KIND = re.compile(r"[.+]tar(?:[.+]|$)")
_TAR_NAME = re.compile(r"\.(tar|tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Layer:
    digest: str
    size: int
    name: str
    unpack: bool


def fetch_artifact(
    location: ArtifactLocation, folder: Path, settings: SourceSettings, cancel: Cancellation
) -> str:
    """Fetch and unpack all layers into ``folder/tree``; return the manifest's digest.

    A layer with a title is a file of that name; it is unpacked if it is marked as a
    folder (as ``oras push`` does), or is a tarball and the only layer. A layer without
    a title is a tarball.

    Raises:
        SourceNotFound: The registry has no such artifact.
        Denied: It refuses access.
        InvalidInput: It is no artifact with files, too large, or breaks a rule.
        Unavailable: The registry can't be reached, is too slow or broken.
    """
    ends = time.monotonic() + settings.deadline_s

    def check() -> None:
        cancel.check()
        if time.monotonic() > ends:
            raise Unavailable(
                f"{location.display} did not arrive within {settings.deadline_s:g} s",
                hint="TASKS_SOURCE_TIMEOUT sets another limit, in seconds",
            )

    client = RegistryClient(settings.egress, settings.registry_login)
    try:
        check()
        manifest = client.manifest(location.reference)
        layers = _layers(manifest, location, settings)
        for number, layer in enumerate(layers):
            with (folder / f"layer-{number}").open("wb") as file:
                client.blob(location.reference, layer.digest, layer.size, file, check)
    except NotFound as error:
        raise SourceNotFound(
            f"{location.display}: {error.message}", hint="check its name, tag and registry"
        ) from error
    finally:
        client.close()
    told = [{"name": layer.name, "unpack": layer.unpack} for layer in layers]
    answer = run_child(
        {"action": "artifact", "layers": told}, folder=folder, settings=settings, cancel=cancel
    )
    if not answer["ok"]:
        raise unpack_error(answer, location.display, settings)
    return manifest.digest


def _layers(
    manifest: Manifest, location: ArtifactLocation, settings: SourceSettings
) -> list[_Layer]:
    """Return what a manifest holds.

    Raises:
        InvalidInput: It is none, an index, or names what can't be a file.
    """
    where = location.display
    try:
        body = json.loads(manifest.content)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("manifests"), list):
        raise InvalidInput(
            f"{where} is an index of several manifests, not an artifact with files",
            hint="name one of its manifests by digest: oci://registry/repository@sha256:…",
        )
    found = body.get("layers") if isinstance(body, dict) else None
    if not isinstance(found, list) or not found:
        raise InvalidInput(
            f"{where} holds no files", hint="push a folder: `oras push REFERENCE ./folder/`"
        )
    if len(found) > _MAX_LAYERS:
        raise InvalidInput(f"{where} holds {len(found)} layers (at most {_MAX_LAYERS})")
    layers = [_layer(one, number, len(found), where) for number, one in enumerate(found, 1)]
    if sum(layer.size for layer in layers) > settings.max_bytes:
        raise unpack_error({"reason": "too_large"}, where, settings)
    return layers


def _layer(entry: Any, number: int, count: int, where: str) -> _Layer:
    body = entry if isinstance(entry, dict) else {}
    notes = body.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    digest, size, kind = body.get("digest"), body.get("size"), body.get("mediaType")
    name, mark = notes.get(_TITLE, ""), notes.get(_UNPACK)
    sound = isinstance(digest, str) and _DIGEST.fullmatch(digest) and isinstance(name, str)
    if not sound or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidInput(f"layer {number} of {where} is described in a broken way")
    if name:
        unpack = mark == "true" or (count == 1 and bool(_TAR_NAME.search(name)))
        return _Layer(str(digest), size, name, unpack)
    if not _TAR_KIND.search(str(kind)):
        raise InvalidInput(
            f"layer {number} of {where} is no tarball ({short(str(kind))}) and has no name",
            hint=f"give it one by the annotation {_TITLE}",
        )
    return _Layer(str(digest), size, "", unpack=True)
