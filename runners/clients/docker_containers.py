"""What the Engine API is asked for, for one ContainerRequest.

Pure: a request and the sandbox's names in, the JSON body of
``POST /containers/create`` out. Used by clients/docker_run.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runners.model.errors import Denied, InvalidInput
from runners.model.plan import WORKSPACE
from runners.sandbox import ContainerRequest

RUN_LABEL = "tasks.run"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_HOST_CONFIG = "HostConfig."


@dataclass(frozen=True, slots=True)
class Policy:
    """What an administrator lets the steps of a sandbox have (threat A1)."""

    privileged: bool = False
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """How the plan's names are called on the engine.

    ``prefix`` keeps the runs of a shared engine apart; it is empty where the
    engine belongs to one run. DNS names on a network never have it.
    """

    run_id: str
    prefix: str = ""
    workspace_volume: str = "workspace"
    workspace_name: str = "workspace"
    """What the plan calls the workspace's volume (V-02)."""
    owner: Mapping[str, str] = field(default_factory=dict)
    """Further labels."""

    @property
    def labels(self) -> dict[str, str]:
        """Labels of everything made for the run."""
        return {RUN_LABEL: self.run_id, **self.owner}

    def of(self, name: str) -> str:
        """Return the engine's name for a container, network or volume of the plan."""
        full = f"{self.prefix}{name}"
        if _NAME.fullmatch(full):
            return full
        # Step ids may hold what the engine's names may not; stay unique.
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{self.prefix}step-{re.sub(r'[^a-zA-Z0-9_.-]', '-', name)[:60]}-{digest}"


def container_body(
    request: ContainerRequest, names: Names, volumes: frozenset[str], policy: Policy
) -> dict[str, Any]:
    """Return the body that creates the container of ``request``.

    ``HOME`` stays what the image or the engine makes it. The original shares
    one home with logins in it between all steps (X-03); here no step gets a
    login, nor anything of another step but the workspace. No engine socket is
    mounted either (X-02).

    Raises:
        InvalidInput: a value of the request cannot be.
        Denied: the request wants what ``policy`` does not allow.
    """
    _check_policy(request, policy)
    exposed, bindings = _ports(request.ports)
    exposed |= {_exposed(port): {} for port in request.expose}
    host: dict[str, Any] = {
        "Mounts": _mounts(request, names, volumes),
        "PortBindings": bindings,
        "LogConfig": _log_config(request),
        "Privileged": request.privileged,
    }
    body: dict[str, Any] = {
        "Image": request.image,
        "Env": [f"{key}={value}" for key, value in request.env],
        "Labels": dict(names.labels),
        "ExposedPorts": exposed,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host,
    }
    if request.args:
        body["Cmd"] = list(request.args)
    if request.entry_point is not None:
        # An empty one resets the image's own, as in the CLI.
        body["Entrypoint"] = [request.entry_point]
    if request.working_directory is not None:
        body["WorkingDir"] = request.working_directory
    if request.user is not None:
        body["User"] = request.user
    if request.cpus is not None:
        host["NanoCpus"] = _nano_cpus(request.cpus)
    _options(body, host, request.options)
    _network(body, host, request, names)
    return body


def _check_policy(request: ContainerRequest, policy: Policy) -> None:
    wants = [
        ("'privileged: true'", request.privileged and not policy.privileged),
        ("'network: host'", request.network == "host" and not policy.host_network),
        (f"'network: {request.network}'", (request.network or "").startswith("container:")),
    ]
    for what, refused in wants:
        if refused:
            raise Denied(
                f"step '{request.name}' asks for {what}, which this runner does not give",
                hint="an administrator can allow it for a pool of runners; a task file cannot",
            )


def _options(body: dict[str, Any], host: dict[str, Any], options: Mapping[str, object]) -> None:
    for key, value in options.items():
        target = host if key.startswith(_HOST_CONFIG) else body
        name = key.removeprefix(_HOST_CONFIG)
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            target[name] |= value
        elif isinstance(value, list | tuple) and isinstance(target.get(name), list):
            target[name] = [*target[name], *value]
        else:
            target[name] = value


def _network(
    body: dict[str, Any], host: dict[str, Any], request: ContainerRequest, names: Names
) -> None:
    if request.network is None:
        return
    if request.network in ("none", "host", "bridge", "default"):
        host["NetworkMode"] = request.network
        return
    network = names.of(request.network)
    host["NetworkMode"] = network
    extra = body.pop("NetworkAliases", ())
    aliases = list(dict.fromkeys([request.name, *extra]))
    body["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": aliases}}}


def _mounts(
    request: ContainerRequest, names: Names, volumes: frozenset[str]
) -> list[dict[str, Any]]:
    mounts = [_volume_mount(names.workspace_volume, WORKSPACE)]
    for mount in request.volume_mounts:
        if mount.name in (names.workspace_name, names.workspace_volume):
            source = names.workspace_volume
        elif mount.name in volumes:
            source = names.of(mount.name)
        else:
            raise InvalidInput(f"step '{request.name}' mounts an unknown volume {mount.name!r}")
        mount_path = mount.mount_path
        mounts.append(_volume_mount(source, mount_path) | {"ReadOnly": mount.read_only})
    return mounts


def _volume_mount(source: str, target: str) -> dict[str, Any]:
    return {"Type": "volume", "Source": source, "Target": target}


def _log_config(request: ContainerRequest) -> dict[str, Any]:
    if request.detach or request.keep:
        # Later steps may ask for these logs (Y-209); bound what they fill.
        return {"Type": "json-file", "Config": {"max-size": "16m", "max-file": "2"}}
    return {"Type": "none", "Config": {}}


def _nano_cpus(text: str) -> int:
    try:
        cpus = float(text)
    except ValueError:
        cpus = 0.0
    if not 0 < cpus < 1024:
        raise InvalidInput(f"invalid cpus {text!r}", hint="write a number such as '1.5'")
    return int(cpus * 1e9)


def _exposed(text: str) -> str:
    port, _, protocol = str(text).partition("/")
    protocol = protocol or "tcp"
    if protocol not in ("tcp", "udp", "sctp") or not _is_port_range(port):
        raise InvalidInput(f"invalid port {text!r}", hint="write '8080' or '8080/udp'")
    return f"{port}/{protocol}"


def _is_port_range(text: str) -> bool:
    parts = text.split("-")
    return len(parts) <= 2 and all(p.isdigit() and 0 < int(p) < 65536 for p in parts)


def _ports(
    texts: tuple[str, ...],
) -> tuple[dict[str, dict[str, str]], dict[str, list[dict[str, str]]]]:
    """Parse ``[ip:][host port:]container port[/protocol]``, ranges of equal length too."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        rest, _, protocol = str(text).partition("/")
        outer, _, inner = rest.rpartition(":")
        address, _, host_port = outer.rpartition(":")
        if host_port and not _is_port_range(host_port):
            raise InvalidInput(
                f"invalid published port {text!r}", hint="write '8080:80', '127.0.0.1::80' or '80'"
            )
        inner_ports = _expand(_exposed(f"{inner}/{protocol or 'tcp'}"))
        host_ports = _expand(f"{host_port}/tcp") if host_port else [""] * len(inner_ports)
        if len(host_ports) != len(inner_ports):
            raise InvalidInput(f"invalid published port {text!r}: ranges of different length")
        for inner_port, outer_port in zip(inner_ports, host_ports, strict=True):
            exposed[inner_port] = {}
            bindings.setdefault(inner_port, []).append(
                {"HostIp": address.strip("[]"), "HostPort": outer_port.removesuffix("/tcp")}
            )
    return exposed, bindings


def _expand(port: str) -> list[str]:
    ports, _, protocol = port.partition("/")
    first, _, last = ports.partition("-")
    return [f"{number}/{protocol}" for number in range(int(first), int(last or first) + 1)]
