"""One packet filter chain for all networks of runners on this machine.

Runners sit on bridges whose names begin with a prefix of their engine. From
there, packets may leave for the internet and for what the configuration
allows, and nowhere else: not to the machine itself, not to link-local
addresses (cloud metadata), not to private networks, so not to other runners
(threats N4, N10). The chain hangs in ``mangle``/``PREROUTING``: before the
engine's own address translation, and out of reach of the rules that an engine
keeps reordering in ``FORWARD``.

Installed by ``private_engine`` and ``runner``, removed by ``remove``.
"""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from runners.backends.dind.programs import environment
from runners.model.errors import SystemFault

# Everything that is not the public internet (RFC 6890 and its followers).
_CLOSED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)


def available() -> bool:
    """Return True if this process could install the chain."""
    return shutil.which("iptables") is not None and _run("iptables", "-S", "PREROUTING") == 0


def nameservers(resolv_conf: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the IPv4 name servers this machine uses, loopback ones left out.

    The engine asks loopback ones itself, on behalf of the runner.
    """
    if not resolv_conf.exists():
        return []
    found = []
    for line in resolv_conf.read_text().splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.ip_address(words[1])
        except ValueError:
            continue
        if address.version == 4 and not address.is_loopback:
            found.append(str(address))
    return found


def rules(resolvers: Iterable[str], allowed: Iterable[str]) -> list[list[str]]:
    """Return the chain's rules in order, each as the words after ``-A chain``.

    ``allowed`` networks win over the closed ones, never over the machine's
    own addresses; name servers may be asked on port 53 only.
    """
    lines = [["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN"]]
    for resolver in resolvers:
        lines += [
            ["-d", resolver, "-p", protocol, "--dport", "53", "-j", "RETURN"]
            for protocol in ("udp", "tcp")
        ]
    lines.append(["-m", "addrtype", "--dst-type", "LOCAL", "-j", "DROP"])
    lines += [["-d", network, "-j", "RETURN"] for network in allowed]
    lines += [["-d", network, "-j", "DROP"] for network in _CLOSED]
    return lines


def install(chain: str, prefix: str, allowed: Iterable[str] = ()) -> None:
    """Make the chain and hang it in for interfaces ``<prefix>*``. Idempotent.

    Raises:
        SystemFault: a rule was refused.
    """
    wanted = rules(nameservers(), allowed)
    if _installed(chain, prefix, len(wanted)):
        return
    text = ["*mangle", f":{chain} - [0:0]"]
    text += [" ".join(["-A", chain, *rule]) for rule in wanted]
    text += ["COMMIT", ""]
    # One restore swaps the whole chain at once; without a flush of the table,
    # whatever others keep in it stays.
    _must(["iptables-restore", "-w", "5", "--noflush"], "\n".join(text))
    _hang_in("iptables", chain, prefix)
    closed = f"*mangle\n:{chain} - [0:0]\n-A {chain} -j DROP\nCOMMIT\n"
    # A machine without IPv6 has nothing to close.
    if Path("/proc/net/if_inet6").exists() and shutil.which("ip6tables-restore"):
        _must(["ip6tables-restore", "-w", "5", "--noflush"], closed)
        _hang_in("ip6tables", chain, prefix)


def remove(chain: str, prefix: str) -> None:
    """Take the chain away again. Idempotent."""
    for tool in ("iptables", "ip6tables"):
        if shutil.which(tool) is None:
            continue
        while _run(tool, "-D", "PREROUTING", "-i", f"{prefix}+", "-j", chain) == 0:
            pass
        _run(tool, "-F", chain)
        _run(tool, "-X", chain)


def _installed(chain: str, prefix: str, count: int) -> bool:
    listed = subprocess.run(
        ["iptables", "-w", "5", "-t", "mangle", "-S"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    ).stdout.splitlines()
    mine = [line for line in listed if line.startswith(f"-A {chain} ")]
    return f"-A PREROUTING -i {prefix}+ -j {chain}" in listed and len(mine) == count


def _hang_in(tool: str, chain: str, prefix: str) -> None:
    jump = ("PREROUTING", "-i", f"{prefix}+", "-j", chain)
    if _run(tool, "-C", *jump) != 0:
        _must([tool, "-w", "5", "-t", "mangle", "-I", *jump], "")


def _run(tool: str, *words: str) -> int:
    done = subprocess.run(
        [tool, "-w", "5", "-t", "mangle", *words],
        capture_output=True,
        env=environment(),
        check=False,
    )
    return done.returncode


def _must(words: list[str], text: str) -> None:
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, env=environment(), check=False
    )
    if done.returncode != 0:
        raise SystemFault(
            f"the packet filter of the runners' networks was refused: {done.stderr.strip()}",
            hint="runners need `iptables` and root, or an engine whose networks are closed already",
        )
