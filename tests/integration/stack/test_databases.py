"""Redis and PostgreSQL of the stack: started twice, killed, stopped; never as root."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine, text

from tasks_service.devstack.databases import PostgresServer, RedisServer, Server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer])
def test_a_server_keeps_its_data_over_a_kill(kind: type[Server], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    server = kind(tmp_path / "data", free_port())
    try:
        server.start()
        first = server.pid
        server.start()
        assert server.pid == first
        assert first is not None
        assert owner_of(first) != 0
        write(server)
        server.kill()
        server.start()
        assert read(server) == "kept"
        assert server.stop()
        assert server.pid is None
        assert not server.stop()
    finally:
        server.stop()


def write(server: Server) -> None:
    if isinstance(server, RedisServer):
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "kept")
        return
    engine = create_engine(server.url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 'kept' AS word"))
    engine.dispose()


def read(server: Server) -> str:
    if isinstance(server, RedisServer):
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            return str(client.get("key"))
    engine = create_engine(server.url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.connect() as connection:
        found = str(connection.execute(text("SELECT word FROM kept")).scalar_one())
    engine.dispose()
    return found
