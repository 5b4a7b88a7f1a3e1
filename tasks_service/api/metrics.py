"""Metrics for Prometheus, read from the store at each scrape: right after any restart.

No label holds a run's id: the number of series stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from runners.model.errors import RunnerError
from tasks_service.process_metrics import REGISTRY
from tasks_service.store import Store
from tasks_service.store.recovery import PoolStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST


class StoreCollector(Collector):
    """What the database knows of runs, pools and workers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield all families; only ``tasks_up 0`` while the database is away."""
        try:
            pools, counts = self._store.recovery.pools(), self._store.recovery.counts()
            workers = self._store.workers.list()
        except RunnerError:
            yield GaugeMetricFamily("tasks_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("tasks_up", "Whether the database answers.", 1)
        families: dict[str, tuple[str, Callable[[PoolStatus], float]]] = {
            "queued": ("Runs that wait.", lambda pool: pool.queued),
            "queue_oldest_seconds": (
                "How long the first of them waits.",
                lambda pool: pool.oldest_s,
            ),
            "active": ("Runs under way.", lambda pool: pool.active),
            "workers": ("Worker processes that live.", lambda pool: pool.workers),
            "slots": ("Runs they execute at once.", lambda pool: pool.slots),
        }
        for name, (text, value) in families.items():
            family = GaugeMetricFamily(f"tasks_pool_{name}", text, labels=["pool"])
            for pool in pools:
                family.add_metric([pool.pool], value(pool))
            yield family
        runs = GaugeMetricFamily("tasks_runs", "Runs in the database.", labels=["status"])
        for status, count in sorted(counts.items()):
            runs.add_metric([status], count)
        yield runs
        draining = sum(worker.draining for worker in workers)
        yield GaugeMetricFamily("tasks_workers_draining", "Workers that stop.", draining)


def render(store: Store) -> bytes:
    """Return all metrics of the store, and those of this process, as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreCollector(store))
    return generate_latest(registry) + generate_latest(REGISTRY)
