"""Redis and PostgreSQL for tests: real servers, of Debian's packages, as users of their own.

In: a folder and an address. Out: running servers and their URLs. The stack
keeps one of each; tests that stop, kill or freeze a server start their own
(``RedisServer``, ``PostgresServer``).
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from runners.backends.dind import places
from runners.model.errors import Unavailable
from tasks_service.devstack import processes
from tasks_service.devstack.layout import Layout, load
from tasks_service.devstack.registry import free_port

REDIS = "redis"
POSTGRES = "postgresql"
_START_S = 30
_POSTGRES_USER = "tasks"
_LEAST_PRIVILEGE = "nobody"


class Server:
    """One server process with a folder of its own. Not thread-safe.

    Args:
        folder: Its data; made, and given to the server's user.
        port: On ``listen``.
        run: Where its process record goes.
    """

    name = ""
    user = ""

    def __init__(
        self, folder: Path, port: int, *, listen: str = "127.0.0.1", run: Path | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.listen = listen
        self._run = run or folder.parent
        self._log = self._run / f"{self.name}.log"

    @property
    def url(self) -> str:
        """What the service's settings take."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """Its process, or None if it does not run."""
        record = processes.find(self.name, self._run)
        return None if record is None else record.pid

    def start(self) -> None:
        """Start it with the data it has, unless it runs; return when it answers.

        Raises:
            Unavailable: Its program is missing, or it does not come up.
        """
        if self.pid is not None and self._answers():
            return
        processes.stop(self.name, self._run)
        self._prepare()
        processes.start(self.name, self._as_user(self._words()), run=self._run, log=self._log)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                raise Unavailable(
                    f"{self.name} did not start",
                    hint=f"its log: {self._log}",
                    detail=processes.tail(self._log),
                )
            time.sleep(0.02)

    def stop(self) -> bool:
        """Stop it in order; its data stays. Tell whether it ran."""
        return _stop(self.name, self._run)

    def kill(self) -> None:
        """Kill it as a power failure would, and collect it where it is our own child."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _prepare(self) -> None:
        places.make(self.folder)
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user())
        self.folder.chmod(0o700)

    def _words(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.listen, self.port), timeout=2):
                return True
        except OSError:
            return False

    def _user(self) -> str:
        try:
            return pwd.getpwnam(self.user).pw_name
        except KeyError:
            return _LEAST_PRIVILEGE

    def _as_user(self, words: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return words
        user = pwd.getpwnam(self._user())
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, "--", *words]


class RedisServer(Server):
    """A Redis that keeps what it was told, as ``docs`` tell people to run it."""

    name = REDIS
    user = "redis"

    @property
    def url(self) -> str:
        """See Server."""
        return f"redis://{self.listen}:{self.port}/0"

    def _words(self) -> list[str]:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise _missing("redis-server")
        words = [program, "--port", str(self.port), "--bind", self.listen]
        words += ["--dir", str(self.folder), "--protected-mode", "no", "--daemonize", "no"]
        return [*words, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.listen, self.port), timeout=2) as link:
                link.sendall(b"PING\r\n")
                # While it loads its data it answers with an error.
                return link.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class PostgresServer(Server):
    """A PostgreSQL cluster with one superuser, who needs a password."""

    name = POSTGRES
    user = "postgres"

    @property
    def url(self) -> str:
        """See Server."""
        password = (self.folder / "password").read_text().strip()
        return f"postgresql://{_POSTGRES_USER}:{password}@{self.listen}:{self.port}/postgres"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        super()._prepare()
        if (self._data / "PG_VERSION").exists():
            return
        shutil.rmtree(self._data, ignore_errors=True)
        password = self.folder / "password"
        password.write_text(secrets.token_hex(16) + "\n")
        if os.geteuid() == 0:
            shutil.chown(password, self._user())
        password.chmod(0o600)
        words = [_postgres_program("initdb"), "-D", str(self._data), "-U", _POSTGRES_USER]
        words += ["--pwfile", str(password), "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(
            self._as_user(words),
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise Unavailable("initdb of PostgreSQL failed", detail=done.stderr[-2000:])
        if not ipaddress.ip_address(self.listen).is_loopback:
            # What initdb makes lets in this machine's loopback address only.
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet scram-sha-256\n")

    def _words(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": self.listen,
            "unix_socket_directories": "",
            "max_connections": "200",
            # Tests don't survive a power failure anyway.
            "fsync": "off",
        }
        words = [_postgres_program("postgres"), "-D", str(self._data)]
        return words + [
            word for key, value in settings.items() for word in ("-c", f"{key}={value}")
        ]

    def _answers(self) -> bool:
        if not super()._answers():
            return False
        done = subprocess.run(
            [_postgres_program("pg_isready"), "-q", "-h", self.listen, "-p", str(self.port)],
            check=False,
        )
        return done.returncode == 0


def missing_packages() -> list[str]:
    """Return the Debian packages that bring what is not there."""
    wanted = []
    if not (shutil.which("redis-server") or shutil.which("valkey-server")):
        wanted.append("redis-server")
    if _find_postgres("postgres") is None:
        wanted.append("postgresql")
    return wanted


def start(where: Layout) -> dict[str, str]:
    """Start the stack's Redis and PostgreSQL unless they run; return their URLs by name.

    Raises:
        Unavailable: One of them does not come up.
    """
    servers = _servers(where)
    for server in servers:
        server.start()
    return {server.name: server.url for server in servers}


def stop(where: Layout) -> None:
    """Stop both. Idempotent; their data goes with the stack's state."""
    for name in (REDIS, POSTGRES):
        _stop(name, where.run)


def _stop(name: str, run: Path) -> bool:
    record = processes.find(name, run)
    if record is not None and name == POSTGRES:
        # Asked by SIGTERM it would wait until its last client leaves.
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGINT)
        deadline = time.monotonic() + _START_S
        while processes.find(name, run) is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        processes.stop(name, run)
        return True
    return processes.stop(name, run)


def running(where: Layout, name: str) -> bool:
    """Tell whether the stack's server of that name runs."""
    return processes.find(name, where.run) is not None


def _servers(where: Layout) -> tuple[Server, ...]:
    root = places.data_root(where.state)
    kinds = ((REDIS, RedisServer), (POSTGRES, PostgresServer))
    return tuple(
        kind(
            root / name,
            # A port that its own running server holds is not free, but right.
            _port(where, name),
            run=where.run,
        )
        for name, kind in kinds
    )


def _port(where: Layout, name: str) -> int:
    known = load(where.state / "ports.json").get(name)
    if known is not None and running(where, name):
        return int(known)
    return free_port(where, name)


def _find_postgres(program: str) -> str | None:
    found = shutil.which(program)
    if found is not None:
        return found
    versions = Path("/usr/lib/postgresql")
    folders = sorted(versions.glob("[0-9]*"), key=lambda path: int(path.name.split(".")[0]))
    for folder in reversed(folders):
        if (folder / "bin" / program).exists():
            return str(folder / "bin" / program)
    return None


def _postgres_program(name: str) -> str:
    found = _find_postgres(name)
    if found is None:
        raise _missing("postgresql")
    return found


def _missing(package: str) -> Unavailable:
    return Unavailable(f"{package} is missing", hint=f"apt-get install {package}")
