"""What this process counts by itself, for ``/metrics``; gone with the process.

What the database knows is counted there instead (``api.metrics``). No label
holds a run's id.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)

RUNNER_START = Histogram(
    "tasks_runner_start_seconds",
    "Time from asking for a runner to having it, by how it was had (warm, cold).",
    ["start"],
    buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 15, 60),
    registry=REGISTRY,
)
RUNNER_BOOT = Histogram(
    "tasks_runner_boot_seconds",
    "Time to make a runner that waits for a run.",
    buckets=(0.4, 0.6, 0.8, 1, 1.5, 2, 3, 6, 15, 60),
    registry=REGISTRY,
)
WARM_TAKEN = Counter(
    "tasks_warm_runners_taken",
    "Runs that asked for a runner: hit (one waited), joined (one was being made), miss.",
    ["result"],
    registry=REGISTRY,
)
WARM_DROPPED = Counter(
    "tasks_warm_runners_dropped",
    "Runners that waited and were destroyed unused, by reason (old, dead, failed, stopped).",
    ["reason"],
    registry=REGISTRY,
)
WARM_READY = Gauge(
    "tasks_warm_runners_ready",
    "Runners that wait for a run, by whose runs they are for (trusted, untrusted).",
    ["trust"],
    registry=REGISTRY,
)
WARM_WANTED = Gauge(
    "tasks_warm_runners_wanted",
    "Runners that should wait for a run, by whose runs they are for.",
    ["trust"],
    registry=REGISTRY,
)
