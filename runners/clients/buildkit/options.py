"""SolveOptions: one build, described in full; and what comes of it.

Filled by a sandbox or by ``__main__``; turned into the request by request.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from runners.clients.buildkit.auth import Logins, no_logins
from runners.clients.buildkit.contextfs import ContextFS

if TYPE_CHECKING:
    from runners.clients.buildkit.secrets import Secret
    from runners.model.record import BaseImage


@dataclass(frozen=True, slots=True)
class TarContext:
    """A context as a tar stream (plain, gzip, bzip2 or xz), with the Dockerfile in it.

    ``open`` is called once and its stream read to the end and closed.
    """

    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the result.

    Attributes:
        type: ``image`` (into the engine's images, or where a buildkitd
            keeps them), ``tar``, ``oci`` or ``docker`` (an archive, written to
            ``destination``), ``local`` (files below the directory
            ``destination``), or ``cache`` (nothing but the build cache).
        destination: Path of a file or directory on this side.
        attrs: Further exporter attributes in BuildKit's words, for instance
            ``compression``, ``compression-level``, ``oci-mediatypes``. Images
            are compressed with gzip at level 1 unless ``compression`` says
            otherwise, where the image store keeps compressed layers.
    """

    type: str = "image"
    destination: str = ""
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SolveOptions:
    """One build. Everything is optional but a context.

    Attributes:
        context: A tree, a Git or HTTP URL that the daemon fetches, or a tar
            stream. None builds from a Dockerfile that needs no files.
        dockerfile: Path of the Dockerfile in ``dockerfile_fs``, or in the
            context.
        dockerfile_fs: Tree that holds the Dockerfile, where it is not the context.
        tags: Names for the image; completed to ``host/repository:tag``.
        push: Push every tag from the builder (needs a containerd image store
            or a buildkitd). The engine keeps the image too, but unpacks it
            only when a container is made of it.
        insecure_registry: Push over plain HTTP.
        build_args, labels: As given.
        platforms: ``os/arch[/variant]`` each.
        no_cache: None uses the cache, ``()`` ignores it for all stages, names
            ignore it for those stages.
        pull: Ask the registry for every base image, also for those at hand.
        network: None or ``default``, ``none``, ``host``.
        add_hosts: (host, address) pairs; ``host-gateway`` is replaced.
        ulimits: ``name=soft:hard`` each.
        secrets: Id → secret.
        ssh: Id (``default``) → path of an agent's socket.
        logins: Registry logins, asked by host.
        named_contexts: Name → a tree, or a text such as
            ``docker-image://alpine``, a Git or an HTTP URL.
        cache_from, cache_to: Entries with ``type`` and its attributes.
        provenance: Attestation options such as ``mode=max``; None for none.
            Left out where the engine's image store cannot hold it.
        sbom: Attestation options; ``""`` for the defaults; None for none.
        entitlements: ``network.host`` is added by itself.
        attrs: Further frontend attributes, in BuildKit's words.
        shared_key: Identity of the context for incremental transfer; by
            default made of this client's id and the trees' identities.
    """

    context: ContextFS | TarContext | str | None = None
    dockerfile: str = "Dockerfile"
    dockerfile_fs: ContextFS | None = None
    tags: tuple[str, ...] = ()
    output: Output = field(default_factory=Output)
    push: bool = False
    insecure_registry: bool = False
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    platforms: tuple[str, ...] = ()
    no_cache: tuple[str, ...] | None = None
    pull: bool = False
    network: str | None = None
    add_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int | None = None
    ulimits: tuple[str, ...] = ()
    cgroup_parent: str | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    ssh: Mapping[str, str] = field(default_factory=dict)
    logins: Logins = no_logins
    named_contexts: Mapping[str, ContextFS | str] = field(default_factory=dict)
    cache_from: tuple[Mapping[str, str], ...] = ()
    cache_to: tuple[Mapping[str, str], ...] = ()
    provenance: str | None = "mode=max"
    sbom: str | None = None
    entitlements: tuple[str, ...] = ()
    attrs: Mapping[str, str] = field(default_factory=dict)
    shared_key: str | None = None


@dataclass(frozen=True, slots=True)
class Transferred:
    """What the daemon fetched from the local trees of one build."""

    listed: int = 0
    files: int = 0
    content_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SolveResult:
    """What a successful build made.

    Attributes:
        image_id: What the engine calls the image: the config's digest in a
            graph driver's store, the manifest's or index's in a containerd
            store. Empty where no image was made.
        digest: Digest of the manifest or index; empty in a graph driver's
            store, which has none before a push.
        config_digest: Digest of the image's configuration, empty for an index.
        references: Full names the image got.
        base_images: Images the build started from, in order of use.
        response: The daemon's answer as it is.
        transferred: Local files sent.
        warnings: Texts of the Dockerfile linter and the like.
    """

    image_id: str = ""
    digest: str = ""
    config_digest: str = ""
    references: tuple[str, ...] = ()
    base_images: tuple[BaseImage, ...] = ()
    response: Mapping[str, str] = field(default_factory=dict)
    transferred: Transferred = field(default_factory=Transferred)
    warnings: tuple[str, ...] = ()
