"""Levels by name, and what a container of each is given."""

from __future__ import annotations

import json

import pytest

from runners.backends.base import Limits
from runners.backends.dind import levels, outer, seccomp
from runners.backends.dind.engine_api import EngineApi, unix_dial
from runners.model.errors import Denied, InvalidInput


def engine(*, remaps: bool) -> outer.Outer:
    api = EngineApi(unix_dial("/nowhere"), "the engine")
    base = (200_000_000, 200_000_000) if remaps else (0, 0)
    return outer.Outer(api, "unix:///nowhere", "26.1", base, remaps, True, (), 1, 2, 1 << 30)


def settings(name: str, *security: str) -> dict[str, object]:
    return levels.host_config(levels.level(name), Limits(), security)


def test_no_level_is_privileged_or_shares_a_namespace() -> None:
    for name in levels.NAMES:
        body = settings(name)
        assert not {"Privileged", "PidMode", "IpcMode", "Devices", "Binds"} & set(body)
        assert body["CapDrop"] == ["ALL"]


def test_dangerous_capabilities_are_not_given() -> None:
    bad = {"SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "SYS_BOOT", "SYS_TIME", "BPF", "PERFMON"}
    assert not bad & set(levels.CAPABILITIES)


def test_limits_are_the_runs() -> None:
    limits = Limits(cpus=1.5, memory_bytes=1 << 30, pids=77)
    body = levels.host_config(levels.level("D3"), limits, ())
    assert body["NanoCpus"] == 1_500_000_000
    assert (body["Memory"], body["MemorySwap"], body["PidsLimit"]) == (1 << 30, 1 << 30, 77)


def test_stock_confinement_is_lifted_only_where_there_is_one() -> None:
    assert len(settings("D3")["SecurityOpt"]) == 1  # type: ignore[arg-type]
    options = settings("D3", "apparmor", "selinux")["SecurityOpt"]
    assert options[1:] == ["apparmor=unconfined", "label=disable"]  # type: ignore[index]


def test_a_runtime_keeps_its_own_ways() -> None:
    body = settings("runsc")
    assert body["Runtime"] == "runsc"
    assert "SecurityOpt" not in body


def test_weaker_levels_warn() -> None:
    assert levels.level("D3").warning == ""
    assert all(levels.level(name).warning for name in levels.NAMES if name != "D3")


def test_an_unknown_level_names_the_known() -> None:
    with pytest.raises(InvalidInput) as told:
        levels.level("D9")
    assert "D3" in told.value.hint


def test_the_strong_level_is_refused_without_user_namespaces() -> None:
    with pytest.raises(Denied) as told:
        outer.require(engine(remaps=False), levels.level("D3"))
    assert "--isolation D2" in told.value.hint


def test_the_weak_level_is_had_without_user_namespaces() -> None:
    outer.require(engine(remaps=False), levels.level("D2"))
    outer.require(engine(remaps=True), levels.level("D3"))


def test_an_engine_behind_a_network_is_refused() -> None:
    with pytest.raises(Denied, match="tcp://"):
        outer.describe("tcp://127.0.0.1:2375")


def test_the_filter_refuses_what_is_not_named() -> None:
    profile = json.loads(seccomp.text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }
    assert {"clone", "mount", "pivot_root", "keyctl", "openat2"} <= allowed
    assert (
        not {
            *("bpf", "kexec_load", "init_module", "finit_module", "io_uring_setup", "fsopen"),
            *("perf_event_open", "userfaultfd", "open_by_handle_at", "socket", "socketcall"),
            *("swapon", "settimeofday", "iopl", "acct", "personality", "syscall"),
        }
        & allowed
    )


def test_no_call_is_named_by_two_rules_that_differ() -> None:
    seen: dict[str, str] = {}
    for rule in seccomp.profile()["syscalls"]:
        for name in rule["names"]:
            assert seen.setdefault(name, rule["action"]) == rule["action"]
