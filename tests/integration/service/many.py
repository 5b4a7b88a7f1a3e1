"""The service as many processes: PostgreSQL, Redis, workers on machines of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks_service.devstack.databases import PostgresServer, RedisServer
from tests.faults.network import Machine, Network
from tests.faults.parts import quiet_port
from tests.integration.service.up import Process, Service


class Many(Service):
    """A server, a scheduler, and a worker on each machine. Made by ``many``."""

    def __init__(
        self,
        folder: Path,
        runners: Path,
        network: Network,
        postgres: PostgresServer,
        redis: RedisServer,
        registry: str,
        **settings: str,
    ) -> None:
        super().__init__(folder)
        self.postgres = postgres
        self.redis = redis
        self.network = network
        shared = {
            "state_dir": str(self.state),
            "log_format": "json",
            "database_url": postgres.url,
            "redis_url": redis.url,
            "registry": registry,
            "heartbeat": "1s",
            "sweep": "0.5s",
        } | settings
        words = ["server", "--listen", "127.0.0.1:0", "--admin-token-file", str(folder / "token")]
        self.server = Process(folder, "server", words, shared)
        self.scheduler = Process(folder, "scheduler", ["scheduler"], shared, ready=b" runs")
        self.workers = [
            Process(
                folder,
                f"worker{number}",
                ["worker", "--runner-state-dir", str(runners)],
                shared,
                before=machine.words,
                ready=b" runs",
            )
            for number, machine in enumerate(network.machines)
        ]
        self._settings = shared

    @property
    def machines(self) -> Sequence[Machine]:
        return self.network.machines

    @property
    def processes(self) -> Sequence[Process]:
        return (self.server, self.scheduler, *self.workers)

    def upgrade(self) -> None:
        """Make the schema, as an administrator does first."""
        environment = os.environ | {
            f"TASKSD_{name.upper()}": value for name, value in self._settings.items()
        }
        words = [sys.executable, "-m", "tasks_service.cli.main", "db", "upgrade"]
        done = subprocess.run(words, capture_output=True, env=environment, text=True, check=False)
        assert done.returncode == 0, done.stderr


@contextmanager
def many(
    folder: Path, runners: Path, registry: str, *, ports: Sequence[int] = (), **settings: str
) -> Iterator[Many]:
    """Yield it started.

    Args:
        ports: More loopback ports of this machine that workers reach.
    """
    # The databases' users pass through.
    for place in (folder, *folder.parents):
        if not place.stat().st_mode & 0o001:
            place.chmod(0o755)
    with Network() as network:
        postgres = PostgresServer(folder / "postgres", quiet_port(), listen=network.address)
        redis = RedisServer(folder / "redis", quiet_port(), listen=network.address)
        try:
            postgres.start()
            redis.start()
            for machine in network.machines:
                machine.relay((int(registry.rpartition(":")[2]), *ports))
            service = Many(folder, runners, network, postgres, redis, registry, **settings)
            service.upgrade()
            with service:
                yield service
        finally:
            redis.stop()
            postgres.stop()
