"""A hostile runner can't put anything in the place of its engine's socket (threat A10)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runners.backends.dind.config import DindConfig
from runners.backends.dind.dialer import SOCKET, ExecDialer, NotTheRunner, ProcRootDialer
from runners.backends.dind.engine_api import EngineApi
from runners.backends.dind.outer import Outer
from runners.backends.dind.runner import Runner
from runners.model.errors import RunnerLost
from tests.integration.isolation.conftest import inside, started

HOSTILE = {
    "link": "ln -s {target} /run/docker.sock",
    "link to the old name": "ln -s real.sock /run/docker.sock",
    "pipe": "mkfifo /run/docker.sock",
    "file": "touch /run/docker.sock",
    "directory": "mkdir /run/docker.sock",
    "magic link": "ln -s /proc/1/root/run/real.sock /run/docker.sock",
    "linked directory": "mv /run /run2; ln -s /run2 /run",
}


@pytest.fixture(scope="module")
def victim(config: DindConfig, outer_engine: Outer) -> Iterator[Runner]:
    with started(config, outer_engine) as one:
        inside(outer_engine, one, "cp -a /run /tmp/run; mv /run/docker.sock /run/real.sock")
        yield one


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "linked directory"])
def test_what_is_not_the_engines_socket_is_not_dialled(
    outer_engine: Outer, victim: Runner, name: str
) -> None:
    target = outer_engine.address.removeprefix("unix://")
    inside(outer_engine, victim, "rm -rf /run/docker.sock")
    inside(outer_engine, victim, HOSTILE[name].format(target=target))
    with pytest.raises(NotTheRunner):
        victim.dialer()


def test_a_linked_directory_on_the_way_is_not_followed(outer_engine: Outer, victim: Runner) -> None:
    dialer = victim.dialer
    assert isinstance(dialer, ProcRootDialer)
    inside(outer_engine, victim, "ln -sfn /run /tmp/way")
    state = outer_engine.api.get(f"/containers/{victim.container}/json")["State"]
    ids = range(outer_engine.base[0], outer_engine.base[0] + 65536)
    linked = ProcRootDialer(state["Pid"], victim.container, ids, "tmp/way/real.sock")
    try:
        with pytest.raises(NotTheRunner):
            linked()
    finally:
        linked.close()


def test_a_path_never_leaves_the_runners_root(victim: Runner, outer_engine: Outer) -> None:
    state = outer_engine.api.get(f"/containers/{victim.container}/json")["State"]
    up = "../../../../../../.." + outer_engine.address.removeprefix("unix://")
    escaping = ProcRootDialer(state["Pid"], victim.container, range(1 << 32), up)
    try:
        with pytest.raises(OSError, match="No such file"):
            escaping()
    finally:
        escaping.close()


@pytest.mark.parametrize(
    ("ids", "container", "told"),
    [(range(1000, 2000), "", "belongs to"), (range(1), "not-our-group", "not in the runner")],
)
def test_a_listener_outside_of_the_runner_is_refused(
    tmp_path: Path, ids: range, container: str, told: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        here = str(tmp_path / "s").lstrip("/")
        dialer = ProcRootDialer(os.getpid(), container, ids, here)
        try:
            with pytest.raises(NotTheRunner, match=told):
                dialer()
        finally:
            dialer.close()


def test_the_relay_inside_the_runner_reaches_the_engine(
    outer_engine: Outer, runner: Runner
) -> None:
    dial = ExecDialer(outer_engine.api, runner.container)
    api = EngineApi(dial, "the engine")
    assert api.ping()
    assert api.get("/version")["Version"] == runner.engine.get("/version")["Version"]


def test_without_the_runners_namespaces_in_reach_the_relay_is_used(
    config: DindConfig, outer_engine: Outer
) -> None:
    with started(config, replace(outer_engine, beside=False)) as one:
        assert isinstance(one.dialer, ExecDialer)
        assert one.engine.ping()


def test_a_workspace_replaced_by_a_link_is_not_opened(
    config: DindConfig, outer_engine: Outer
) -> None:
    with started(config, outer_engine, ready=False) as one:
        os.close(one.open_workspace())
        inside(outer_engine, one, "cd /var/lib/runner && rmdir workspace && ln -s /etc workspace")
        with pytest.raises(RunnerLost):
            one.open_workspace()


def test_the_socket_that_was_dialled_is_the_one_in_the_runner(runner: Runner) -> None:
    with runner.dialer() as connection:
        assert connection.getpeername() in ("", f"/{SOCKET}")
