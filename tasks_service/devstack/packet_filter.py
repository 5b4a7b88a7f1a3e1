"""Undo what an engine of ours left in the packet filter.

An engine that stops leaves its rules and chains. Those that name our bridges
always go; the chains every Docker Engine shares, the forward policy and IP
forwarding go back to what they were, if there was no engine when ours first
started and no other has come since.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tasks_service.devstack.layout import Layout, load, save

_TOOLS = ("iptables", "ip6tables")
_TABLES = ("filter", "nat", "raw")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_SHARED = "DOCKER"


def remember(where: Layout) -> None:
    """Note how the packet filter is before the first start of an engine of ours."""
    path = _memory(where)
    if path.exists() or shutil.which("iptables") is None:
        return
    rules = _rules("iptables", "filter")
    content = {
        "clean": not any(line.startswith(f"-N {_SHARED}") for line in rules),
        "policy": next((line for line in rules if line.startswith("-P FORWARD ")), ""),
        "forwarding": _FORWARDING.read_text().strip(),
    }
    save(path, content)


def restore(where: Layout, prefixes: Iterable[str]) -> None:
    """Remove the rules of bridges whose names begin with ``prefixes``. Idempotent.

    Call it when no engine of ours runs.
    """
    memory = load(_memory(where))
    ours = re.compile(rf"-[io] (?:{'|'.join(re.escape(prefix) for prefix in prefixes)})")
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            continue
        for table in _TABLES:
            for line in _rules(tool, table):
                if line.startswith("-A ") and ours.search(line):
                    _delete(tool, table, line)
        if memory.get("clean") and not _anothers(tool):
            _remove_shared(tool)
    if memory.get("clean") and not _anothers("iptables"):
        words = shlex.split(memory.get("policy", ""))
        if words:
            _run("iptables", "filter", *words)
        with suppress(OSError):
            _FORWARDING.write_text(memory["forwarding"])
    _memory(where).unlink(missing_ok=True)


def let_through(pool: str, mark: str) -> None:
    """Let containers of ``pool`` talk with each other, whatever the forward policy. Idempotent.

    For an engine that keeps no rules of its own: where bridged packets are
    filtered, another engine's policy would drop them. ``mark`` names the rule.
    """
    shut_again(mark)
    if shutil.which("iptables") is not None:
        words = ("-s", pool, "-d", pool, "-m", "comment", "--comment", mark, "-j", "ACCEPT")
        _run("iptables", "filter", "-I", "DOCKER-USER", *words)


def shut_again(mark: str) -> None:
    """Remove the rules of that mark. Idempotent."""
    if shutil.which("iptables") is None:
        return
    for line in _rules("iptables", "filter"):
        if line.startswith("-A ") and mark in shlex.split(line):
            _delete("iptables", "filter", line)


def _memory(where: Layout) -> Path:
    return where.state / "packet-filter.json"


def _anothers(tool: str) -> bool:
    """Tell whether an engine keeps rules of a bridge, or a person rules for engines."""
    for line in _rules(tool, "filter"):
        if not line.startswith("-A "):
            continue
        chain = line.split()[1]
        about_engines = chain.startswith(_SHARED) or f"-j {_SHARED}" in line
        names_interface = re.search(r" -[io] ", line) is not None
        persons = chain == "DOCKER-USER" and line != "-A DOCKER-USER -j RETURN"
        if (about_engines and names_interface) or persons:
            return True
    return False


def _remove_shared(tool: str) -> None:
    for table in _TABLES:
        rules = _rules(tool, table)
        for line in rules:
            if line.startswith("-A ") and f"-j {_SHARED}" in line:
                _delete(tool, table, line)
        chains = [line.split()[1] for line in rules if line.startswith(f"-N {_SHARED}")]
        for verb in ("-F", "-X"):
            for chain in chains:
                _run(tool, table, verb, chain)


def _rules(tool: str, table: str) -> list[str]:
    return _run(tool, table, "-S").splitlines()


def _delete(tool: str, table: str, line: str) -> None:
    _run(tool, table, "-D", *shlex.split(line)[1:])


def _run(tool: str, table: str, *words: str) -> str:
    done = subprocess.run(
        [tool, "-w", "5", "-t", table, *words], capture_output=True, text=True, check=False
    )
    # A table the kernel lacks holds nothing of ours.
    return done.stdout
