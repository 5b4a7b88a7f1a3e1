"""What kind of daemon this is: worker records in, the facts a build depends on out.

Called by client.py once for each connection. Versions are no guide (Debian's
engines report none), so everything is told by the workers' labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runners.clients.buildkit._pb.worker_pb2 import WorkerRecord

_PREFIX = "org.mobyproject.buildkit.worker."
_GATEWAY = f"{_PREFIX}moby.host-gateway-ip"


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of the daemon."""

    id: str
    labels: Mapping[str, str]
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """The daemon's abilities.

    Attributes:
        engine: True for a Docker Engine, False for a standalone buildkitd.
        containerd_store: The engine keeps images in containerd: manifests,
            indexes, attestations and direct pushes exist.
        legacy: BuildKit before 0.10 or so (Docker 20.10): one exporter
            form, no error details, no history, no named contexts.
    """

    engine: bool
    containerd_store: bool
    legacy: bool
    host_gateway: str
    workers: tuple[Worker, ...]

    @property
    def manifests(self) -> bool:
        """True where results are manifests: pushes, attestations and indexes work."""
        return self.containerd_store or not self.engine

    @property
    def store(self) -> str:
        """``graphdriver``, ``containerd`` or ``buildkitd``, for messages."""
        if not self.engine:
            return "buildkitd"
        return "containerd" if self.containerd_store else "graphdriver"


def read_facts(records: Sequence[WorkerRecord], *, engine: bool) -> DaemonFacts:
    """Return what the workers' records tell."""
    workers = tuple(
        Worker(record.ID, dict(record.Labels), tuple(map(_platform, record.platforms)))
        for record in records
    )
    labels = dict(workers[0].labels) if workers else {}
    return DaemonFacts(
        engine=engine,
        containerd_store=engine and f"{_PREFIX}snapshotter" in labels,
        legacy=engine and not labels,
        host_gateway=labels.get(_GATEWAY, ""),
        workers=workers,
    )


def _platform(platform: object) -> str:
    parts = [getattr(platform, name) for name in ("OS", "Architecture", "Variant")]
    return "/".join(part for part in parts if part)
