"""What engines leave in the packet filter, removed; in a network namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENGINE = """
iptables -N DOCKER; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN
iptables -A FORWARD -j DOCKER-USER
iptables -A FORWARD -o tskaaaabr -j DOCKER
iptables -A DOCKER -d 10.0.0.2 ! -i tskaaaabr -o tskaaaabr -j ACCEPT
iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 10.213.0.0/24 ! -o tskaaaabr -j MASQUERADE
iptables -P FORWARD DROP
"""
ANOTHER = """
iptables -A FORWARD -o docker0 -j DOCKER
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
"""
PYTHON = """
import sys
from pathlib import Path
from tasks_service.devstack import packet_filter
from tasks_service.devstack.layout import Layout
where = Layout(Path(sys.argv[1]))
"""
REMEMBER = PYTHON + "packet_filter.remember(where)"
RESTORE = PYTHON + "packet_filter.restore(where, ['tskaaaa'])"


def in_namespace(tmp_path: Path, *parts: str) -> str:
    lines = ["set -e", "list() { iptables -S; iptables -t nat -S; }"]
    for part in parts:
        if part.startswith(PYTHON):
            lines.append(f"{sys.executable} - {tmp_path} <<'END'\n{part}\nEND")
        else:
            lines.append(part)
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_clean_filter_is_clean_again(tmp_path: Path) -> None:
    before = in_namespace(tmp_path, "list")
    after = in_namespace(tmp_path, REMEMBER, ENGINE, RESTORE, "list")
    assert after == before


def test_another_engines_rules_stay_and_ours_go(tmp_path: Path) -> None:
    after = in_namespace(tmp_path, REMEMBER, ENGINE, ANOTHER, RESTORE, "list")
    assert "tskaaaa" not in after
    assert "-A FORWARD -o docker0 -j DOCKER" in after
    assert "-N DOCKER" in after
    assert "-P FORWARD DROP" in after


def test_chains_that_were_there_before_stay(tmp_path: Path) -> None:
    earlier = "iptables -N DOCKER-USER"
    late_engine = ENGINE.replace("iptables -N DOCKER-USER; ", "")
    after = in_namespace(tmp_path, earlier, REMEMBER, late_engine, RESTORE, "list")
    assert "tskaaaa" not in after
    assert "-N DOCKER-USER" in after


def test_restoring_twice_is_fine(tmp_path: Path) -> None:
    before = in_namespace(tmp_path, "list")
    assert in_namespace(tmp_path, REMEMBER, ENGINE, RESTORE, RESTORE, "list") == before
