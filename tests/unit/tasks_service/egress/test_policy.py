"""Egress: what is public passes, everything else only when listed (5.4)."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2
import pytest

from runners.model.errors import Denied, InvalidInput, RunnerError, Unavailable
from tasks_service.egress.policy import EgressPolicy
from tasks_service.egress.transport import EgressTransport

NAMES: dict[str, Sequence[str]] = {
    "public.example": ["93.184.215.14"],
    "both.example": ["93.184.215.14", "2606:2800:21f:cb07::1"],
    "inside.example": ["10.0.0.5"],
    "mixed.example": ["93.184.215.14", "198.41.0.4", "192.168.1.1"],
    "localtest.example": ["127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "127.1": ["127.0.0.1"], "0": ["0.0.0.0"], "2130706433": ["127.0.0.1"],
    "0x7f.1": ["127.0.0.1"], "0177.0.0.1": ["127.0.0.1"],
}  # fmt: skip


def resolve(host: str, port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError("Name or service not known")
    return NAMES[host]


POLICY = EgressPolicy(resolver=resolve)


def test_a_public_host_is_reached_at_its_checked_addresses() -> None:
    target = POLICY.check("https://both.example/x")
    assert target.addresses == ("93.184.215.14", "2606:2800:21f:cb07::1")
    assert target.curl_resolve == "both.example:443:93.184.215.14,[2606:2800:21f:cb07::1]"


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.1", "loopback"),
        ("0", "unspecified"),
        ("2130706433", "loopback"),
        ("0x7f.1", "loopback"),
        ("0177.0.0.1", "loopback"),
        ("[::1]", "loopback"),
        ("[::]", "unspecified"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::ffff:7f00:1]", "loopback"),
        ("[::127.0.0.1]", "loopback"),
        ("[64:ff9b::10.0.0.1]", "private"),
        ("[2002:7f00:1::]", "loopback"),
        ("[2002:a9fe:a9fe::]", "metadata"),
        ("[2001:db8::5efe:10.0.0.1]", "private"),
        ("169.254.169.254", "metadata"),
        ("[fd00:ec2::254]", "metadata"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("169.254.1.1", "link-local"),
        ("[fe80::1]", "link-local"),
        ("[fd00::]", "private"),
        ("172.31.255.255", "private"),
        ("100.64.0.1", "shared"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("198.18.0.1", "reserved"),
        ("inside.example", "private"),
        ("mixed.example", "private"),
        ("localtest.example", "loopback"),
        ("mapped.example", "loopback"),
    ],
)
def test_addresses_that_are_not_public_are_refused_by_their_kind(host: str, kind: str) -> None:
    with pytest.raises(Denied, match=rf"resolves to a {kind}.* address \(.*\), not allowed"):
        POLICY.check(f"https://{host}/x")


@pytest.mark.parametrize("port", [22, 6379, 2375, 5000])
def test_other_ports_are_refused(port: int) -> None:
    policy = EgressPolicy(resolver=resolve, ports=frozenset({443}))
    with pytest.raises(Denied, match=f"port {port} of the URL is not allowed"):
        policy.check(f"https://public.example:{port}/")


@pytest.mark.parametrize(
    "url",
    [
        "gopher://public.example/", "file:///etc/passwd", "ftp://public.example/x",
        "unix:/var/run/docker.sock", "unix:///run/x.sock", "http://public.example/",
        "https://public.example\\@127.0.0.1/", "https://a@b@127.0.0.1/", "https:///x",
        "https://public.example:0/", "https://public.example:99999/", "https://[::1", "",
        "https://public.example/\nHost: x", "https://ex ample/", "https://-a.example/",
        "https://[fe80::1%25lo]/", "https://exämple.org/", "https://public.example./",
        "https://" + "a." * 200 + "example/",
    ],
)  # fmt: skip
def test_what_is_no_url_of_ours_is_refused_before_it_is_resolved(url: str) -> None:
    def never(host: str, port: int) -> Sequence[str]:
        raise AssertionError("resolved")

    with pytest.raises(InvalidInput):
        EgressPolicy(resolver=never).check(url)


@pytest.mark.parametrize(
    "url", ["https://public.example@127.0.0.1/", "https://127.0.0.1#@public.example/"]
)
def test_the_host_is_the_one_that_would_be_asked(url: str) -> None:
    with pytest.raises(Denied, match="127"):
        POLICY.check(url)


def test_a_name_nobody_knows_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"host nowhere\.example of the source is not known"):
        POLICY.check("https://nowhere.example/", what="source")


def test_listed_hosts_may_be_anywhere_at_any_port_and_without_tls() -> None:
    policy = EgressPolicy(allow_hosts=("inside.example", "127.0.0.1:5000"), resolver=resolve)
    assert policy.check("http://inside.example:8080/").addresses == ("10.0.0.5",)
    assert policy.check("http://127.0.0.1:5000/").port == 5000
    with pytest.raises(Denied, match="loopback"):
        policy.check("https://127.0.0.1:5001/")
    with pytest.raises(Denied, match="private"):
        policy.check("https://mixed.example/")


def test_a_listed_domain_means_the_names_below_it() -> None:
    policy = EgressPolicy(allow_hosts=("*.example",), resolver=resolve)
    assert policy.check("https://inside.example/").addresses == ("10.0.0.5",)
    with pytest.raises(Unavailable):
        policy.check("https://evilexample/")


def test_listed_networks_free_their_addresses_but_no_port() -> None:
    policy = EgressPolicy(allow_networks=("10.0.0.0/8", "169.254.0.0/16"), resolver=resolve)
    assert policy.check("https://inside.example/").addresses == ("10.0.0.5",)
    with pytest.raises(Denied, match="port 6379"):
        policy.check("https://inside.example:6379/")
    with pytest.raises(Denied, match="metadata"):
        policy.check("https://169.254.169.254/")
    exact = EgressPolicy(allow_networks=("169.254.169.254/32",), resolver=resolve)
    assert exact.check("https://169.254.169.254/").addresses == ("169.254.169.254",)


@pytest.mark.parametrize("entry", ["", "http://x", "a/b", "a b", "u@h"])
def test_a_wrong_entry_of_the_lists_is_told(entry: str) -> None:
    with pytest.raises(InvalidInput, match="allowed host"):
        EgressPolicy(allow_hosts=(entry,))
    with pytest.raises(InvalidInput, match="allowed network"):
        EgressPolicy(allow_networks=("10.0.0.300/8",))


def test_stored_urls_are_checked_without_the_network() -> None:
    def never(host: str, port: int) -> Sequence[str]:
        raise AssertionError("resolved")

    policy = EgressPolicy(resolver=never)
    policy.check_text("https://inside.example/")
    with pytest.raises(Denied, match="private"):
        policy.check_text("https://10.0.0.1/")


def test_messages_show_no_login_and_no_query() -> None:
    for url in ("https://user:s3cret@host.example/\\?sig=s3cret", "ftp://u:s3cret@h/?s3cret"):
        with pytest.raises(RunnerError) as caught:
            POLICY.check(url)
        assert "s3cret" not in caught.value.message + caught.value.hint


def test_a_policy_survives_the_way_to_another_process() -> None:
    policy = EgressPolicy(("h:1",), ("10.0.0.0/8",), True, frozenset({1, 2}))
    assert EgressPolicy.from_json(policy.to_json()) == policy


def test_requests_go_to_the_checked_address_under_their_own_name() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if len(asked) == 1:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200)

    transport = EgressTransport(POLICY, inner=httpx2.MockTransport(answer))
    with httpx2.Client(transport=transport) as client:
        assert client.get("https://both.example/path?q=1").status_code == 200
    # The second address is tried when the first takes no connection.
    assert [r.url.host for r in asked] == ["93.184.215.14", "2606:2800:21f:cb07::1"]
    assert asked[1].headers["Host"] == "both.example"
    assert asked[1].extensions["sni_hostname"] == "both.example"
    assert asked[1].url.path == "/path"


@pytest.mark.parametrize(
    "target", ["https://inside.example/", "https://[::ffff:10.0.0.1]/", "http://169.254.169.254/"]
)
def test_every_hop_of_a_redirect_is_checked(target: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"Location": target})

    transport = EgressTransport(POLICY, inner=httpx2.MockTransport(answer))
    client = httpx2.Client(transport=transport, follow_redirects=True)
    with client, pytest.raises((Denied, InvalidInput)):
        client.get("https://public.example/")


def test_a_second_answer_of_the_resolver_changes_nothing() -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(200)

    policy = EgressPolicy(resolver=lambda host, port: next(answers))
    transport = EgressTransport(policy, inner=httpx2.MockTransport(answer))
    with httpx2.Client(transport=transport) as client:
        client.get("https://rebind.example/")
        assert asked == ["93.184.215.14"]
        # A new request is a new question, and judged anew.
        with pytest.raises(Denied, match="loopback"):
            client.get("https://rebind.example/")


@pytest.mark.parametrize("port", [2375, 5000, 6379])
def test_a_port_is_judged_before_any_name_is_resolved(port: int) -> None:
    def nobody(host: str, number: int) -> list[str]:
        raise AssertionError((host, number))

    policy = EgressPolicy(allow_hosts=("inside.example:5000",), resolver=nobody)
    with pytest.raises(Denied, match=f"port {port}"):
        policy.check_text(f"https://host.example:{port}/x")
    policy.check_text("https://inside.example:5000/x")
    policy.check_text("https://host.example/x")


def test_other_schemes_are_taken_only_where_they_are_asked_for() -> None:
    mail = EgressPolicy(resolver=resolve, schemes=("smtps", "smtp"), ports=frozenset({465, 587}))
    assert mail.check("smtps://public.example").port == 465
    assert mail.check("smtp://public.example").port == 587
    for policy, url in ((mail, "https://public.example"), (POLICY, "smtp://public.example")):
        with pytest.raises(InvalidInput, match="is not allowed"):
            policy.check(url)
    with pytest.raises(Denied, match="port 25"):
        mail.check("smtp://public.example:25")
    assert POLICY.lists("public.example", 443) is False
    assert EgressPolicy(allow_hosts=("inside.example:25",)).lists("inside.example", 25)
