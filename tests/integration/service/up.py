"""A real service: processes of its own, real runners, spoken to over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

FINISHED = ("Succeeded", "Failed", "Error", "Canceled", "Timeout")


class Process:
    """One ``tasks`` daemon. ``start`` returns once it says that it serves.

    Args:
        folder: Where its output goes, as ``NAME.log`` and ``NAME.out``.
        words: The command and its flags.
        settings: More settings, by name.
        before: What starts it elsewhere, such as ``nsenter …``.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        words: Sequence[str],
        settings: Mapping[str, str],
        *,
        before: Sequence[str] = (),
        ready: bytes = b"Serving",
    ) -> None:
        self._out = folder / f"{name}.out"
        self._log = folder / f"{name}.log"
        self._words = [*before, sys.executable, "-m", "tasks_service.cli.main", *words]
        self._settings = settings
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TASKSD_")}
        environment |= {f"TASKSD_{k.upper()}": v for k, v in self._settings.items()}
        with self._log.open("ab") as log, self._out.open("wb+") as out:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment
            )

    def await_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 60
        while self._ready not in self._out.read_bytes():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    @property
    def said(self) -> str:
        return self._out.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self) -> int:
        """Return its exit code."""
        assert self._process is not None
        return self._process.wait(60)

    def log(self) -> str:
        return self._log.read_text()[-4000:]


class Service:
    """What up and many have in common: how they are spoken to, started and ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.accepted: list[str] = []

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def processes(self) -> Sequence[Process]:
        """All of it, the API first."""
        raise NotImplementedError

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
        """Start all and return when all serve."""
        for process in self.processes:
            process.launch()
        for process in self.processes:
            process.await_ready()
        self.url = self.processes[0].said.partition("Serving ")[2].split()[0]

    def end(self, number: int) -> int:
        """Send all a signal and return the largest exit code."""
        for process in self.processes:
            process.signal(number)
        return max(process.wait() for process in self.processes)

    def log(self) -> str:
        return "\n".join(process.log() for process in self.processes)

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

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
        return self.accept({"command": command, **more})

    def accept(self, body: Mapping[str, Any]) -> str:
        """Start any run and return its id."""
        run = str(self.call("POST", "/runs", json=body)["id"])
        self.accepted.append(run)
        return run

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


class Up(Service):
    """``tasks up``: starts at ``with``, can be killed and started again over the same state."""

    def __init__(self, folder: Path, runners: Path, *flags: str, **settings: str) -> None:
        super().__init__(folder)
        words = ["up", "--state-dir", str(self.state), "--listen", "127.0.0.1:0"]
        words += ["--runner-state-dir", str(runners), "--log-format", "json", *flags]
        words += ["--admin-token-file", str(folder / "token")]
        self._process = Process(folder, "up", words, settings)

    @property
    def processes(self) -> Sequence[Process]:
        return (self._process,)

    @property
    def pid(self) -> int:
        return self._process.pid
