"""Known ways out of a runner are closed, in it and in its containers."""

from __future__ import annotations

import socket
from pathlib import Path

from runners.backends.dind.config import DindConfig
from runners.backends.dind.outer import Outer
from runners.backends.dind.probe import examine
from runners.backends.dind.runner import Runner
from runners.model.cancellation import Cancellation
from tests.integration.isolation.conftest import inside, started


def test_every_known_escape_is_refused(config: DindConfig) -> None:
    seen = examine(config, Cancellation())
    assert seen.accepted == ()
    tried = {(verdict.where, verdict.name) for verdict in seen.verdicts}
    for where in ("runner", "nested"):
        assert {
            (where, "release_agent"),
            (where, "core_pattern"),
            (where, "mount-debugfs"),
            (where, "host-disk"),
            (where, "host-sockets"),
            (where, "connect-169.254.169.254:80"),
        } <= tried


def test_a_runners_root_is_nobody_on_this_machine(outer_engine: Outer, runner: Runner) -> None:
    state = outer_engine.api.get(f"/containers/{runner.container}/json")["State"]
    status = Path(f"/proc/{state['Pid']}/status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert set(uids) == {str(outer_engine.base[0])}
    assert outer_engine.base[0] > 0


def test_no_mount_of_a_runner_lies_on_this_machines_disk(
    outer_engine: Outer, runner: Runner
) -> None:
    mounts = inside(outer_engine, runner, "cat /proc/self/mountinfo")
    devices, kinds = set(), {}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        kinds[left.split()[4]] = kind = right.split()[0]
        if kind in ("ext4", "xfs", "btrfs"):
            devices.add(left.split()[2])
    # One file system, a loop device's (major number 7): the disk of the run.
    assert [device.partition(":")[0] for device in devices] == ["7"]
    assert kinds["/"] == "overlay"


def test_a_runner_reaches_no_port_of_this_machine(outer_engine: Outer, runner: Runner) -> None:
    gateway = inside(outer_engine, runner, "ip route 2>/dev/null || cat /proc/net/route")
    assert gateway
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        network = outer_engine.api.get(f"/networks/{runner.name}")
        address = network["IPAM"]["Config"][0]["Gateway"]
        said = inside(
            outer_engine,
            runner,
            f"timeout 2 bash -c 'echo > /dev/tcp/{address}/{port}' && echo reached || echo refused",
        )
    assert said.strip() == "refused"


def test_two_runners_do_not_reach_each_other(
    config: DindConfig, outer_engine: Outer, runner: Runner
) -> None:
    with started(config, outer_engine, ready=False) as other:
        inside(outer_engine, other, "setsid socat TCP-LISTEN:4444,fork,reuseaddr EXEC:true &")
        network = outer_engine.api.get(f"/networks/{other.name}")
        (found,) = network["Containers"].values()
        address = found["IPv4Address"].partition("/")[0]
        dial = "timeout 2 bash -c 'exec 3<>/dev/tcp/{}/4444' && echo reached || echo refused"
        assert inside(outer_engine, other, dial.format(address)).strip() == "reached"
        assert inside(outer_engine, runner, dial.format(address)).strip() == "refused"


def test_a_runner_has_no_route_by_link_local_ipv6(outer_engine: Outer, runner: Runner) -> None:
    interface = f"{runner.name[:7]}{runner.name[-8:]}"
    setting = Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
    assert setting.read_text().strip() == "1"
