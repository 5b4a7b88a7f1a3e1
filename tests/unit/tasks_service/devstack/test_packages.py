"""Debian packages: what apt is asked, and that nothing it brings is started."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from runners.model.errors import Unavailable
from tasks_service.devstack import packages
from tasks_service.devstack.progress import Step

APT = """#!/bin/sh
echo "apt-get $*" >> {log}
cp {policy} {seen} 2>/dev/null
case "$*" in *broken*) echo "E: Unable to locate package broken"; exit 100 ;; esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose apt writes down what it is asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    policy = tmp_path / "policy-rc.d"
    text = APT.format(log=tmp_path / "log", policy=policy, seen=tmp_path / "seen")
    for name, content in (("apt-get", text), ("dpkg", "#!/bin/sh\n")):
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")
    monkeypatch.setattr(packages, "_POLICY", policy)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


@pytest.fixture
def shown() -> Step:
    step = Step("test", io.StringIO())
    step.close("ok")
    return step


def test_the_lists_are_fetched_before_the_packages(machine: Path, shown: Step) -> None:
    packages.install(["one", "two"], shown)
    update, install = (machine / "log").read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith("install --yes --no-install-recommends one two")


def test_no_service_is_started_and_the_policy_goes(machine: Path, shown: Step) -> None:
    packages.install(["one"], shown)
    done = subprocess.run(["sh", machine / "seen"], check=False)
    assert done.returncode == 101
    assert not (machine / "policy-rc.d").exists()


def test_a_policy_of_a_killed_installation_forbids_nothing(machine: Path, shown: Step) -> None:
    packages.install(["one"], shown)
    ours = (machine / "seen").read_text()
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = ours.replace(f"kill -0 {os.getpid()} ", f"kill -0 {ended.pid} ")
    assert left != ours
    assert subprocess.run(["sh", "-c", left], check=False).returncode == 0


def test_the_machines_own_policy_stays(machine: Path, shown: Step) -> None:
    (machine / "policy-rc.d").write_text("#!/bin/sh\nexit 104\n")
    packages.install(["one"], shown)
    assert (machine / "policy-rc.d").read_text() == "#!/bin/sh\nexit 104\n"


def test_a_failure_shows_what_apt_said(machine: Path, shown: Step) -> None:
    with pytest.raises(Unavailable) as raised:
        packages.install(["broken"], shown)
    assert "Unable to locate package broken" in raised.value.detail
    assert "apt-get install broken" in raised.value.hint
    assert not (machine / "policy-rc.d").exists()


def test_without_root_the_words_to_ask_for_are_given(
    machine: Path, shown: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unavailable) as raised:
        packages.install(["docker.io"], shown)
    assert raised.value.hint == "run as root, or ask for: apt-get install docker.io"
    assert not (machine / "log").exists()


def test_without_apt_nothing_is_tried(
    shown: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"docker\.io"):
        packages.install(["docker.io"], shown)


TARGETS = """#!/bin/sh
cat <<END
http://mirror.invalid/debian-security/|bookworm-security|main|Debian
http://other.invalid/apt/|stable|main|Somebody
http://mirror.invalid/debian/|bookworm-updates|main|Debian
http://mirror.invalid/debian/|bookworm|main|Debian
END
"""


def test_the_mirror_is_the_one_of_the_plain_suite(machine: Path) -> None:
    (machine / "bin" / "apt-get").write_text(TARGETS)
    assert packages.mirror() == "http://mirror.invalid/debian/"


def test_the_sources_of_another_suite_are_at_the_same_mirrors(machine: Path) -> None:
    (machine / "bin" / "apt-get").write_text(TARGETS)
    assert packages.sources("trixie") == (
        "deb http://mirror.invalid/debian-security/ trixie-security main\n"
        "deb http://mirror.invalid/debian/ trixie-updates main\n"
        "deb http://mirror.invalid/debian/ trixie main\n"
    )


def test_a_machine_without_debian_mirrors_has_no_sources(machine: Path) -> None:
    assert packages.sources("trixie") is None
    assert packages.mirror() is None


def test_apts_proxy_is_handed_on(machine: Path) -> None:
    config = machine / "bin" / "apt-config"
    config.write_text(
        "#!/bin/sh\necho \"http='http://proxy.invalid:3142'\"\necho \"https='DIRECT'\"\n"
    )
    config.chmod(0o755)
    assert packages.proxies() == {"http_proxy": "http://proxy.invalid:3142"}
