"""Build the Solve request: options and the daemon's abilities in, the message out.

Pure; called by client.py. Old daemons ignore what they do not know without a
word, so whatever they cannot do is refused here, or asked for as a required
capability where only the frontend can tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from runners.clients.buildkit._pb import control_pb2
from runners.clients.buildkit.contextfs import ContextFS
from runners.clients.buildkit.daemon import DaemonFacts
from runners.clients.buildkit.names import full_name
from runners.clients.buildkit.options import SolveOptions, TarContext
from runners.model.errors import InvalidInput

_FRONTEND = "dockerfile.v0"
_RESERVED_DIRS = ("context", "dockerfile")
_ARCHIVES = ("tar", "oci", "docker")
_MANIFEST_OUTPUTS = ("oci", "docker")
# Layers are made for pushing, and Docker 20.10 must be able to pull them: no zstd. The
# builder's own level of gzip takes twice the time for a tenth fewer bytes.
_COMPRESSION = {"compression": "gzip", "compression-level": "1"}
_CACHE_EXPORTS = ("inline", "registry", "local", "gha", "s3", "azblob")


def local_directories(options: SolveOptions) -> dict[str, ContextFS]:
    """Return the trees to serve, by the names the daemon will use."""
    found: dict[str, ContextFS] = {}
    dockerfile_fs = options.dockerfile_fs
    if isinstance(options.context, ContextFS):
        found["context"] = options.context
        dockerfile_fs = dockerfile_fs or options.context
    if dockerfile_fs is not None:
        found["dockerfile"] = dockerfile_fs
        # A build without a context still gets asked for .dockerignore.
        if options.context is None:
            found["context"] = dockerfile_fs
    for name, value in options.named_contexts.items():
        if not isinstance(value, str):
            found[_directory_name(name)] = value
    return found


def _directory_name(name: str) -> str:
    return f"_{name}" if name in _RESERVED_DIRS else name


def shared_key(options: SolveOptions, client_id: str) -> str:
    """Return the key under which the daemon keeps this context's snapshots.

    Equal for the same directories and client, different for any others: two
    directories under one key would take each other's files where size and
    time happen to be equal.
    """
    if options.shared_key is not None:
        return options.shared_key
    trees = [options.context, options.dockerfile_fs]
    names = [tree.identity if isinstance(tree, ContextFS) else "" for tree in trees]
    return _digest(client_id, *names)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def solve_request(
    options: SolveOptions,
    facts: DaemonFacts,
    *,
    ref: str,
    client_id: str,
    upload_id: str = "",
) -> control_pb2.SolveRequest:
    """Return the request, all but the session's id.

    Raises:
        InvalidInput: an option that cannot be, or that this daemon cannot do.
    """
    _check_daemon(options, facts)
    request = control_pb2.SolveRequest(
        Ref=ref,
        Frontend=_FRONTEND,
        FrontendAttrs=frontend_attrs(options, facts, client_id, upload_id),
        Entitlements=_entitlements(options),
        Cache=_cache(options, facts),
    )
    kind, attrs = exporter(options, facts)
    if kind:
        # Before 0.13 only the first form is read, later the second.
        request.ExporterDeprecated = kind
        request.ExporterAttrsDeprecated.update(attrs)
        request.Exporters.add(Type=kind, Attrs=attrs)
    return request


def _check_daemon(options: SolveOptions, facts: DaemonFacts) -> None:
    old = [
        name
        for name, used in (
            ("--ulimit", options.ulimits),
            ("--shm-size", options.shm_size),
            ("--cgroup-parent", options.cgroup_parent),
            ("several named contexts", options.named_contexts),
        )
        if used and facts.legacy
    ]
    if old:
        raise InvalidInput(
            f"This engine's BuildKit is too old for {', '.join(old)}.",
            hint="It would ignore it silently; use Docker Engine 23 or newer.",
        )
    if facts.manifests:
        return
    impossible = [
        name
        for name, used in (
            ("pushing from the builder", options.push),
            ("several platforms", len(options.platforms) > 1),
            ("SBOM attestations", options.sbom is not None),
            (f"output type={options.output.type}", options.output.type in _MANIFEST_OUTPUTS),
        )
        if used
    ]
    if impossible:
        raise InvalidInput(
            f"This engine's image store cannot do {', '.join(impossible)}.",
            hint="Use an engine with the containerd image store, or a buildkitd.",
        )


def exporter(options: SolveOptions, facts: DaemonFacts) -> tuple[str, dict[str, str]]:
    """Return the exporter's type and attributes; an empty type exports nothing."""
    output = options.output
    attrs = dict(output.attrs)
    if output.type == "cache":
        return "", {}
    if output.type in (*_ARCHIVES, "local"):
        if options.tags and output.type in _MANIFEST_OUTPUTS:
            attrs["name"] = ",".join(map(full_name, options.tags))
        return output.type, attrs
    if output.type != "image":
        raise InvalidInput(
            f"There is no output type {output.type!r}.",
            hint="Known are image, tar, oci, docker, local and cache.",
        )
    if facts.manifests and "compression" not in attrs:
        attrs = _COMPRESSION | attrs
    if options.tags:
        attrs["name"] = ",".join(map(full_name, options.tags))
    if options.push:
        if not options.tags:
            raise InvalidInput("A push needs at least one tag.", hint="Add --tag.")
        attrs["push"] = "true"
        if options.insecure_registry:
            attrs["registry.insecure"] = "true"
        # Names are complete, and unpacking can wait until somebody runs the image here:
        # it takes as long as compressing.
        return "image", attrs
    # The engine's own exporter completes names and unpacks; "image" there does neither.
    return ("moby" if facts.engine else "image"), attrs


def frontend_attrs(
    options: SolveOptions, facts: DaemonFacts, client_id: str, upload_id: str = ""
) -> dict[str, str]:
    """Return the attributes of the Dockerfile frontend."""
    attrs = {"filename": options.dockerfile, **_context_attrs(options, upload_id)}
    local = "local" if facts.engine else "default"
    attrs["image-resolve-mode"] = "pull" if options.pull else local
    if options.target:
        attrs["target"] = options.target
    if options.no_cache is not None:
        attrs["no-cache"] = ",".join(options.no_cache)
    if options.platforms:
        attrs["platform"] = ",".join(options.platforms)
    attrs.update({f"build-arg:{name}": value for name, value in options.build_args.items()})
    attrs.update({f"label:{name}": value for name, value in options.labels.items()})
    attrs.update(_run_attrs(options, facts))
    attrs.update(_attestations(options, facts))
    attrs.update(_named_contexts(options, client_id))
    if options.named_contexts:
        # An old frontend would take the name for an image of Docker Hub.
        attrs["frontend.caps"] = "moby.buildkit.frontend.contexts+forward"
    if options.cache_from:
        entries = [_cache_entry(entry) for entry in options.cache_from]
        attrs["cache-imports"] = json.dumps(
            [{"Type": kind, "Attrs": values} for kind, values in entries]
        )
    attrs.update(options.attrs)
    return attrs


def _context_attrs(options: SolveOptions, upload_id: str) -> dict[str, str]:
    if isinstance(options.context, TarContext):
        return {"context": f"http://buildkit-session/{upload_id}"}
    if not isinstance(options.context, str):
        return {}
    if options.dockerfile_fs is None:
        return {"context": options.context}
    # With this key the Dockerfile comes from here although the context does not.
    return {"context": options.context, "dockerfilekey": "dockerfile"}


def _run_attrs(options: SolveOptions, facts: DaemonFacts) -> dict[str, str]:
    attrs = {}
    if options.network not in (None, "", "default"):
        if options.network not in ("none", "host"):
            raise InvalidInput(
                f"A build cannot use the network {options.network!r}.",
                hint="BuildKit knows default, none and host.",
            )
        attrs["force-network-mode"] = str(options.network)
    if options.add_hosts:
        pairs = [(host, _gateway(address, facts)) for host, address in options.add_hosts]
        attrs["add-hosts"] = ",".join(f"{host}={address}" for host, address in pairs)
    if options.shm_size is not None:
        attrs["shm-size"] = str(options.shm_size)
    if options.ulimits:
        attrs["ulimit"] = ",".join(options.ulimits)
    if options.cgroup_parent:
        attrs["cgroup-parent"] = options.cgroup_parent
    return attrs


def _gateway(address: str, facts: DaemonFacts) -> str:
    if address != "host-gateway":
        return address
    if not facts.host_gateway:
        raise InvalidInput(
            "This engine does not tell the address of host-gateway.",
            hint="Write the address itself.",
        )
    return facts.host_gateway


def _attestations(options: SolveOptions, facts: DaemonFacts) -> dict[str, str]:
    attrs = {}
    makes_image = options.output.type in ("image", "oci", "docker")
    if facts.manifests and not facts.legacy and makes_image:
        if options.provenance is not None:
            attrs["attest:provenance"] = options.provenance
        if options.sbom is not None:
            attrs["attest:sbom"] = options.sbom
    return attrs


def _named_contexts(options: SolveOptions, client_id: str) -> dict[str, str]:
    attrs = {}
    for name, value in options.named_contexts.items():
        if isinstance(value, str):
            attrs[f"context:{name}"] = value
        else:
            directory = _directory_name(name)
            attrs[f"context:{name}"] = f"local:{directory}"
            attrs[f"sharedkey:localdir:{directory}"] = _digest(client_id, value.identity)
    return attrs


def _entitlements(options: SolveOptions) -> list[str]:
    wanted = dict.fromkeys(options.entitlements)
    if options.network == "host":
        wanted["network.host"] = None
    return list(wanted)


def _cache_entry(entry: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    attrs = dict(entry)
    kind = attrs.pop("type", "registry")
    if kind == "local":
        raise InvalidInput(
            "A cache of type=local is not supported.",
            hint="Use type=registry, or type=inline for exports.",
        )
    if kind not in _CACHE_EXPORTS:
        raise InvalidInput(f"There is no cache of type={kind}.", hint=", ".join(_CACHE_EXPORTS))
    return kind, attrs


def _cache(options: SolveOptions, facts: DaemonFacts) -> control_pb2.CacheOptions:
    cache = control_pb2.CacheOptions()
    for entry in options.cache_from:
        kind, attrs = _cache_entry(entry)
        cache.Imports.add(Type=kind, Attrs=attrs)
    exports = [_cache_entry(entry) for entry in options.cache_to]
    if options.build_args.get("BUILDKIT_INLINE_CACHE") in ("1", "true"):
        exports.append(("inline", {}))
    for kind, attrs in exports:
        if kind != "inline" and not facts.manifests:
            raise InvalidInput(
                f"This engine's image store cannot export a cache of type={kind}.",
                hint="Use type=inline, or an engine with the containerd image store.",
            )
        cache.Exports.add(Type=kind, Attrs=attrs)
    return cache
