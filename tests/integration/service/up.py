"""A real ``tasks up``: a process of its own, real runners, spoken to over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

FINISHED = ("Succeeded", "Failed", "Error", "Canceled", "Timeout")


class Up:
    """Starts at ``with``, can be killed and started again over the same state."""

    def __init__(self, folder: Path, runners: Path, *flags: str, **settings: str) -> None:
        self.folder = folder
        self._words = ["up", "--state-dir", str(folder / "state"), "--listen", "127.0.0.1:0"]
        self._words += ["--runner-state-dir", str(runners), "--log-format", "json", *flags]
        token = folder / "token"
        self._words += ["--admin-token-file", str(token)]
        self._token = token
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(signal.SIGKILL)

    def start(self) -> None:
        """Start it and return when it serves."""
        log = (self.folder / "log").open("ab")
        out = (self.folder / "out").open("wb+")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TASKSD_")}
        environment |= {f"TASKSD_{k.upper()}": v for k, v in self._settings.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tasks_service.cli.main", *self._words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            env=environment,
        )
        deadline = time.monotonic() + 30
        while b"Serving" not in (said := (self.folder / "out").read_bytes()):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        self.url = said.decode().partition("Serving ")[2].split()[0]
        log.close()
        out.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(60)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    @property
    def token(self) -> str:
        return self._token.read_text().strip()

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """Return the JSON of an answer that must be good."""
        answer = httpx2.request(
            method,
            f"{self.url}/api/v1{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            **kwargs,
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def run(self, command: str, **more: Any) -> str:
        """Start a command as a quick run and return its id."""
        return str(self.call("POST", "/runs", json={"command": command, **more})["id"])

    def wait(self, run: str, *statuses: str, within_s: float = 120) -> dict[str, Any]:
        """Return a run once it has one of the statuses; finished ones by default."""
        deadline = time.monotonic() + within_s
        wanted = statuses or FINISHED
        while (found := self.call("GET", f"/runs/{run}"))["status"] not in wanted:
            assert found["status"] not in FINISHED, found
            assert time.monotonic() < deadline, (found, self.log())
            time.sleep(0.05)
        result: dict[str, Any] = found
        return result

    def text(self, path: str) -> str:
        """Return the body of an answer."""
        answer = httpx2.get(
            f"{self.url}/api/v1{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.text
