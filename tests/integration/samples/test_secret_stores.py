"""`tasks run` with a secret store over HTTP: values, refusals, Ctrl-C while it waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.json_server import Reply, Request
from tests.fakes.vault_server import FakeVault
from tests.integration.samples.command import ROOT, Tasks

TASK = """\
version: v1.1.0
secrets:
  - id: password
    keyvault: vault:secret/app#password
  - id: other
    keyvault: vault:secret/other#password
steps:
  - id: show
    cmd: $Registry/base/busybox:1.36 sh -c 'echo "${#A} and ${#B}, $A"'
    env: ["A={{.Secrets.password}}", "B={{.Secrets.other}}"]
"""


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    server = FakeVault("a-token-for-this-test")
    server.put("app", {"password": "first-password"})
    server.put("other", {"password": "second-one"})
    yield server
    server.close()


@pytest.fixture
def task(tasks: Tasks) -> Path:
    path = tasks.folder / "task.yaml"
    path.write_text(TASK)
    return path


def settings(vault: FakeVault) -> dict[str, str]:
    return {"VAULT_ADDR": vault.url, "VAULT_TOKEN": vault.token}


def test_values_of_vault_reach_a_step_masked(tasks: Tasks, task: Path, vault: FakeVault) -> None:
    done = tasks.run("/dev/null", "-f", str(task), env=settings(vault))
    assert done.code == 0, done.output
    assert done.lines("show")[-1] == "14 and 10, ***"
    assert "first-password" not in done.output + done.stdout
    assert vault.token not in done.output + done.stdout


def test_a_refusing_vault_ends_the_run_before_it_starts(
    tasks: Tasks, task: Path, vault: FakeVault
) -> None:
    done = tasks.run(
        *("/dev/null", "-f", str(task)), env={**settings(vault), "VAULT_TOKEN": "wrong-token"}
    )
    assert (done.code, done.record["status"], done.record["steps"]) == (2, "Failed", [])
    assert "2 secrets can't be had: password, other" in done.output
    assert "wrong-token" not in done.output + done.stdout


def test_a_sealed_vault_is_not_the_users_fault(tasks: Tasks, task: Path, vault: FakeVault) -> None:
    vault.sealed = True
    done = tasks.run("/dev/null", "-f", str(task), env=settings(vault))
    assert (done.code, done.record["status"]) == (5, "Error")
    assert "sealed" in done.output


def test_ctrl_c_ends_the_wait_for_a_vault(tasks: Tasks, task: Path, vault: FakeVault) -> None:
    asked, answer = threading.Event(), threading.Event()

    def override(request: Request) -> Reply | None:
        asked.set()
        answer.wait(60)
        return None

    vault.override = override
    words = ["run", "/dev/null", "-f", str(task), "-r", tasks.registry, "--progress", "plain"]
    environment = {**os.environ, **settings(vault), "PYTHONPATH": str(ROOT)}
    environment["TASKS_STATE_DIR"] = str(tasks.state)
    with subprocess.Popen(
        [sys.executable, "-m", "tasks_service.cli.main", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        # The server answers after a minute only: what ends before did not wait.
        _, err = process.communicate(timeout=20)
    answer.set()
    assert process.returncode == 130, err
    assert "Traceback" not in err
