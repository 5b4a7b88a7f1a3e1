"""Address ranges, packet filter rules and loopback registries, without any network."""

from __future__ import annotations

import ipaddress
import socket
import time
from pathlib import Path

import pytest

from runners.backends.dind import bridge, firewall, pump, relay
from runners.model.errors import InvalidInput


def verdict(address: str, rules: list[list[str]], port: int = 443) -> str:
    """Walk the rules as the kernel would for a new TCP packet to a foreign address."""
    for rule in rules:
        words = dict(zip(rule[::2], rule[1::2], strict=True))
        if words["-m"] in ("conntrack", "addrtype") if "-m" in words else False:
            continue
        network = ipaddress.ip_network(words["-d"])
        matches = ipaddress.ip_address(address) in network
        matches &= words.get("-p", "tcp") == "tcp"
        matches &= words.get("--dport", str(port)) == str(port)
        if matches:
            return words["-j"]
    return "RETURN"


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.17.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "127.0.0.1"],
)
def test_what_is_not_the_internet_is_dropped(address: str) -> None:
    assert verdict(address, firewall.rules([], [])) == "DROP"


def test_the_internet_is_reached() -> None:
    assert verdict("93.184.215.14", firewall.rules([], [])) == "RETURN"


def test_a_name_server_answers_on_its_port_only() -> None:
    rules = firewall.rules(["10.0.0.53"], [])
    assert verdict("10.0.0.53", rules, port=53) == "RETURN"
    assert verdict("10.0.0.53", rules, port=22) == "DROP"


def test_an_allowed_network_never_opens_the_machine_itself() -> None:
    rules = firewall.rules([], ["10.9.0.0/16"])
    assert verdict("10.9.1.1", rules) == "RETURN"
    assert verdict("10.8.1.1", rules) == "DROP"
    local = next(i for i, rule in enumerate(rules) if "LOCAL" in rule)
    opened = next(i for i, rule in enumerate(rules) if "10.9.0.0/16" in rule)
    assert local < opened


def test_loopback_and_ipv6_name_servers_need_no_rule(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# mine\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.2 # x\nnameserver\n"
        "nameserver nonsense\nsearch example.org\n"
    )
    assert firewall.nameservers(file) == ["10.0.0.2"]
    assert firewall.nameservers(tmp_path / "none") == []


def test_the_chosen_range_overlaps_no_route() -> None:
    pool = bridge.free_pool()
    assert pool.prefixlen == 16
    assert not [route for route, _ in bridge.routes() if route.prefixlen and route.overlaps(pool)]


@pytest.mark.parametrize(
    ("registry", "ports"),
    [
        ("localhost:5000", (5000,)),
        ("127.0.0.1:5000", (5000,)),
        ("127.8.9.1:81", (81,)),
        ("[::1]:5000", (5000,)),
        ("localhost", (443, 80)),
        ("registry.localhost:7", (7,)),
        ("registry.example.org:5000", ()),
        ("10.0.0.1:5000", ()),
        ("localhost.example.org:5000", ()),
    ],
)
def test_only_loopback_registries_are_tied(registry: str, ports: tuple[int, ...]) -> None:
    assert relay.loopback_ports([registry]) == ports


def test_a_port_is_tied_once() -> None:
    assert relay.loopback_ports(["localhost:1", "127.0.0.1:1"]) == (1,)


@pytest.mark.parametrize("registry", ["localhost:0", "localhost:99999", "localhost:x"])
def test_a_port_that_cannot_be_is_refused(registry: str) -> None:
    with pytest.raises(InvalidInput):
        relay.loopback_ports([registry])


def test_frames_are_taken_apart_and_other_streams_dropped() -> None:
    plain, ours = socket.socketpair()
    framed, theirs = socket.socketpair()
    with ours, theirs:
        pump.start_demultiplexed(plain, framed)
        theirs.sendall(b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x01c")
        theirs.shutdown(socket.SHUT_WR)
        ours.sendall(b"request")
        ours.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: ours.recv(100), b"")) == b"abc"
        assert b"".join(iter(lambda: theirs.recv(100), b"")) == b"request"


def test_a_pump_waits_whatever_the_default_timeout_is() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5)
    try:
        left, ours = socket.socketpair()
        right, theirs = socket.socketpair()
    finally:
        socket.setdefaulttimeout(before)
    with ours, theirs:
        pump.start(left, right)
        time.sleep(0.05)
        ours.sendall(b"late")
        assert theirs.recv(10) == b"late"


def test_both_ends_of_a_pump_close_when_both_are_done() -> None:
    left, ours = socket.socketpair()
    right, theirs = socket.socketpair()
    with ours, theirs:
        pump.start(left, right)
        ours.sendall(b"x" * 100_000)
        ours.close()
        assert len(b"".join(iter(lambda: theirs.recv(65536), b""))) == 100_000
        theirs.sendall(b"late")
