"""Owners, places, ranges of ids, settings and verdicts: what is read back is what was written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from runners.backends.dind import (
    cgroups,
    config,
    diagnosis,
    engine_api,
    image,
    owner,
    places,
    probe,
    subids,
)
from runners.model.errors import InvalidInput, SystemFault, Unavailable


def test_this_process_is_alive_and_survives_its_label() -> None:
    me = owner.me()
    assert me.alive
    assert owner.Owner.parse(str(me)) == me


def test_an_ended_process_is_dead_whoever_has_its_number() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        ended = replace(owner.me(), pid=process.pid)
    assert not ended.alive
    assert not replace(owner.me(), start=owner.me().start + 1).alive


def test_an_owner_before_the_last_boot_is_dead() -> None:
    assert not replace(owner.me(), boot_id="another").alive


def test_an_owner_that_cannot_be_looked_up_counts_as_alive() -> None:
    assert replace(owner.me(), pid_namespace="1", pid=1 << 30).alive


@pytest.mark.parametrize("labels", [None, {}, {owner.OWNER: "nonsense"}, {owner.OWNER: "a/b/c/d"}])
def test_what_has_no_readable_owner_is_not_dead(labels: dict[str, str] | None) -> None:
    assert not owner.is_dead(labels)


def test_a_closed_directory_moves_state_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert not places.passable(tmp_path / "state")
    assert places.data_root(tmp_path / "state").is_relative_to("/var/lib/tasks-service")
    assert places.run_root(tmp_path / "state").is_relative_to("/run/tasks-service")


def test_a_long_path_moves_only_sockets() -> None:
    state = Path("/var/tmp") / ("x" * 80)
    assert places.data_root(state) == state
    assert places.run_root(state).is_relative_to("/run/tasks-service")


def test_made_directories_let_others_through(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        made = places.make(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (made, made.parent)] == [0o711, 0o711]


def test_a_range_of_ids_overlaps_no_other(tmp_path: Path) -> None:
    taken = "alice:100000:65536\nbob:200010000:1\nbroken\n"
    (tmp_path / "subuid").write_text(taken)
    subids.ensure_user(tmp_path)
    text = (tmp_path / "subuid").read_text()
    assert text == taken + f"{subids.USER}:200010001:65536\n"
    assert (tmp_path / "subgid").read_text() == f"{subids.USER}:200010001:65536\n"
    subids.ensure_user(tmp_path)
    assert (tmp_path / "subuid").read_text() == text


def test_no_free_range_is_told() -> None:
    with pytest.raises(SystemFault):
        subids.free_start([(0, 1 << 32)])


def test_settings_are_read_back(tmp_path: Path) -> None:
    made = config.DindConfig(tmp_path.resolve(), "unix:///x", "image:1", "D3", ("10.0.0.0/8",))
    config.save(made)
    assert config.load(tmp_path) == made
    assert config.load(tmp_path, "D2").level == "D2"
    with pytest.raises(InvalidInput):
        config.load(tmp_path, "D9")


def test_missing_or_broken_settings_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as told:
        config.load(tmp_path)
    assert "tasks setup" in told.value.hint
    (tmp_path / "runner.json").write_text("{")
    with pytest.raises(Unavailable, match="can't be read"):
        config.load(tmp_path)


def test_interface_names_fit_the_kernel() -> None:
    made = config.DindConfig(Path("/x"), "", "")
    assert len(made.bridge_prefix + "12345678") <= 15


def test_verdicts_are_read_and_an_unfinished_probe_is_no_good_sign() -> None:
    said = b"noise\na|refused|x\nb|accepted|y|z\nend|refused|all tried\n"
    first, second = probe.parse("runner", said)
    assert (first.name, first.refused, second.refused, second.detail) == ("a", True, False, "y|z")
    for broken in (b"", b"a|refused|x\n"):
        with pytest.raises(SystemFault):
            probe.parse("runner", broken)


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("1.1.5+ds1", "warning"),
        ("1.2.8", "ok"),
        ("1.3.2", "warning"),
        ("1.3.3", "ok"),
        ("", "warning"),
    ],
)
def test_an_old_runc_is_warned_about(version: str, status: str) -> None:
    assert diagnosis._runc(version).status == status


def test_requests_name_their_query() -> None:
    path = engine_api.target("/x", {"a": True, "b": None, "c": {"k": ["v"]}, "d": "ü /"})
    assert path == "/v1.41/x?a=1&c=%7B%22k%22%3A%20%5B%22v%22%5D%7D&d=%C3%BC%20%2F"


def test_an_empty_reply_is_nothing_and_a_broken_one_an_error() -> None:
    assert engine_api.decode(b" ") is None
    assert engine_api.decode(b"[1]") == [1]
    with pytest.raises(SystemFault):
        engine_api.decode(b"<html>")


def test_the_images_context_holds_the_machines_package_sources() -> None:
    with tarfile.open(fileobj=io.BytesIO(image._context({"sources.list": b"deb x"}))) as tar:
        assert tar.getnames() == ["apt", "Dockerfile", "entry", "apt/sources.list"]
        assert tar.getmember("entry").mode == 0o755


def test_frozen_groups_are_woken_deepest_first(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for place in (deep, tmp_path):
        (place / "freezer.state").write_text("FROZEN")
    (deep / "cgroup.freeze").write_text("1")
    cgroups.thaw([tmp_path])
    assert (deep / "freezer.state").read_text() == "THAWED"
    assert (deep / "cgroup.freeze").read_text() == "0"


def test_limits_that_were_hit_are_named(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nmax 9\noom_kill 2\n")
    (tmp_path / "pids.events").write_text("max 0\n")
    assert cgroups.limits_hit([tmp_path]) == ["memory"]
    (tmp_path / "pids.events").write_text("max 3\n")
    assert cgroups.limits_hit([tmp_path]) == ["memory", "processes"]


def test_a_process_of_another_container_has_no_groups() -> None:
    assert cgroups.directories(os.getpid(), "not-a-container-of-ours") == []
    assert cgroups.directories(1 << 30, "x") == []


def test_labels_carry_run_owner_and_state() -> None:
    labels = owner.labels("run1", Path("/state"))
    assert json.loads(json.dumps(labels)) == {
        owner.RUN: "run1",
        owner.OWNER: str(owner.me()),
        owner.STATE: "/state",
    }
