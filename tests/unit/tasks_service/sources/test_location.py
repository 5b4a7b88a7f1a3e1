"""Source locations: every K- form is understood, every hostile text is refused with its rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.model.errors import InvalidInput
from tasks_service.sources.location import (
    ArchiveLocation,
    ArtifactLocation,
    Credential,
    GitLocation,
    LocalDirectory,
    NoSource,
    parse_location,
    redactions,
)

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("text", ["/dev/null", "/DEV/NULL"])
def test_dev_null_is_no_source(text: str) -> None:
    assert isinstance(parse_location(text), NoSource)


@pytest.mark.parametrize("text", [".", "./-x", "/srv/app", "dir with space", "a:b", "host:path"])
def test_other_text_is_a_directory(text: str) -> None:
    assert parse_location(text) == LocalDirectory(Path(text))


@pytest.mark.parametrize(
    ("text", "url", "ref", "directory"),
    [
        ("https://github.com/u/r.git", "https://github.com/u/r.git", "", ""),
        ("https://h/u/r", "https://h/u/r", "", ""),
        ("https://h/u/r.git#main", "https://h/u/r.git", "main", ""),
        ("https://h/u/r.git#v1.2.0:src/app", "https://h/u/r.git", "v1.2.0", "src/app"),
        ("https://h/u/r.git#:src", "https://h/u/r.git", "", "src"),
        (f"https://h/u/r.git#{SHA}", "https://h/u/r.git", SHA, ""),
        ("https://h/u/r.git#pull/7/head", "https://h/u/r.git", "pull/7/head", ""),
        ("https://h/u/r.git#refs/pull/7/merge:d", "https://h/u/r.git", "refs/pull/7/merge", "d"),
        ("github.com/u/r", "https://github.com/u/r", "", ""),
        ("https://dev.azure.com/o/p/_git/r#b:d", "https://dev.azure.com/o/p/_git/r", "b", "d"),
        ("http://127.0.0.1:8080/r.git", "http://127.0.0.1:8080/r.git", "", ""),
        ("http://localhost/r.git", "http://localhost/r.git", "", ""),
        ("http://[::1]:80/r.git", "http://[::1]:80/r.git", "", ""),
        ("ssh://git@h:2222/u/r.git#main", "ssh://git@h:2222/u/r.git", "main", ""),
        ("git@h:u/r.git#main:d", "git@h:u/r.git", "main", "d"),
    ],
)
def test_git_forms(text: str, url: str, ref: str, directory: str) -> None:
    found = parse_location(text)
    assert isinstance(found, GitLocation)
    assert (found.url, found.ref, found.directory) == (url, ref, directory)


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("https://h/x.tar.gz", "https://h/x.tar.gz", "https://h/x.tar.gz"),
        ("https://h/x.tgz#:d", "https://h/x.tgz", "https://h/x.tgz"),
        ("https://h/get?sig=abc", "https://h/get?sig=abc", "https://h/get?…"),
        ("https://h/u/r/tar.gz/main", "https://h/u/r/tar.gz/main", "https://h/u/r/tar.gz/main"),
    ],
)
def test_archive_forms_hide_their_query(text: str, url: str, shown: str) -> None:
    found = parse_location(text)
    assert isinstance(found, ArchiveLocation)
    assert (found.url, found.display) == (url, shown)
    assert "sig=" not in repr(found)


@pytest.mark.parametrize(
    ("text", "credential"),
    [
        ("https://tok@h/r.git", Credential("h", "dummy", "tok")),
        ("https://u:p%40w@h:8443/r.git", Credential("h:8443", "u", "p@w")),
        ("https://:pass@h/r.git", Credential("h", "dummy", "pass")),
    ],
)
def test_a_login_leaves_the_url(text: str, credential: Credential) -> None:
    found = parse_location(text)
    assert isinstance(found, GitLocation)
    assert found.credential == credential
    assert "@" not in found.url
    assert credential.password not in found.display
    assert credential.password not in repr(found)
    assert credential.password in redactions(found)


# Each text with the rule its message must name (corpus of hostile sources).
HOSTILE = [
    ("", "empty"),
    ("-", "standard input"),
    ("--upload-pack=touch x", "begins with '-'"),
    ("-oProxyCommand=x", "begins with '-'"),
    ("ext::sh -c touch% x", "scheme 'ext' is not allowed (allowed: https, ssh, oci)"),
    ("fd::3", "scheme 'fd' is not allowed"),
    ("file:///etc", "scheme 'file' is not allowed"),
    ("FILE:///etc", "scheme 'file' is not allowed"),
    ("git://h/r.git", "scheme 'git' is not allowed"),
    ("ftp://h/r.git", "scheme 'ftp' is not allowed"),
    ("gopher://h/r", "scheme 'gopher' is not allowed"),
    ("oci://h/r:tag", "does not name a registry"),
    ("oci://h.example", "does not name a registry"),
    ("oci://me:secret@h.example/r:1", "takes no login"),
    ("oci://h.example/r:1#main", "goes before the '#'"),
    ("oci://h.example/r:1#", "goes before the '#'"),
    ("oci://h.example/r:1#:../x", "'..'"),
    ("oci://h.example/UPPER:1", "UPPER"),
    ("oci://h.example/r@sha256:12", "sha256:12"),
    ("http://h/r.git", "scheme 'http' is not allowed"),
    ("http://127.0.0.1.evil/r.git", "scheme 'http' is not allowed"),
    ("http://127.1/r.git", "neither a name nor an address"),
    ("http://2130706433/r.git", "neither a name nor an address"),
    ("http://0x7f.1/r.git", "neither a name nor an address"),
    ("https:/h/r.git", "needs '//'"),
    ("https:///r.git", "has no host"),
    ("https://h", "names no repository"),
    ("https://h/", "names no repository"),
    ("https://h\\@evil/r.git", "backslash"),
    ("https://a@b@h/r.git", "more than one '@'"),
    ("https://h/r.git\n", "control character (U+000A)"),
    ("https://h/r\r.git", "control character (U+000D)"),
    ("https://h/r\0.git", "control character (U+0000)"),
    ("https://h/r\t.git", "control character (U+0009)"),
    ("https://h/r%0a.git", "encoded control character"),
    ("https://h/r%00.git", "encoded control character"),
    ("https://h/" + "x" * 3000, "3010 characters long"),
    ("https://bücher.example/r.git", "outside ASCII"),
    ("https://h/a b.git", "percent-encoded"),
    ("https://h:0/r.git", "port '0'"),
    ("https://h:99999/r.git", "port '99999'"),
    ("https://h:x/r.git", "port 'x'"),
    ("https://-h/r.git", "not a valid host name"),
    ("https://h%2eevil/r.git", "not a valid host name"),
    ("https://[::1/r.git", "not an IPv6 address"),
    ("https://h/../r.git", "'..' in its path"),
    ("https://h/%2e%2e/r.git", "'..' in its path"),
    ("https://h/x.zip", "zip archives"),
    ("https://h/x.tar.gz#main", "a tarball has no branches"),
    ("https://h/r.git#", "nothing follows the '#'"),
    ("https://h/r.git#:", "nothing follows the '#'"),
    ("https://h/r.git#main:../..", "points outside the repository"),
    ("https://h/r.git#:/etc", "begins with '/'"),
    ("https://h/r.git#:a\\b", "backslash"),
    ("https://h/r.git#../..", "'../..' is not a valid branch"),
    ("https://h/r.git#--help", "'--help' is not a valid branch"),
    ("https://h/r.git#--upload-pack=touch x", "begins with '-'"),
    ("https://h/r.git#-b", "begins with '-'"),
    ("https://h/r.git#@{-1}", "holds '@{'"),
    ("https://h/r.git#a..b", "holds '..'"),
    ("https://h/r.git#x.lock", "ends with '.lock'"),
    ("https://h/r.git#x.lock/y", "ends with '.lock'"),
    ("https://h/r.git#.x", "begins with '.'"),
    ("https://h/r.git#a b", "space or control"),
    ("https://h/r.git#a~1", "holds one of"),
    ("https://h/r.git#a^{commit}", "holds one of"),
    ("https://h/r.git#a*", "holds one of"),
    ("https://h/r.git#@", "'@' alone"),
    ("https://h/r.git#a//b", "holds '//'"),
    ("https://h/r.git#/a", "begins or ends with '/'"),
    ("https://h/r.git#a.", "ends with '.'"),
    (f"https://h/r.git#{SHA}0", "41 hexadecimal digits"),
    ("https://h/r.git#" + "x" * 300, "300 characters long"),
    ("ssh://-oProxyCommand=touch x/r", "percent-encoded"),
    ("ssh://-oProxyCommand=x/r", "not a valid host name"),
    ("ssh://git:pw@h/r", "takes no password"),
    ("ssh://-o@h/r", "user name '-o'"),
    ("ssh://h/r?x=1", "takes no query"),
    ("git@h:-x", "not a valid repository path"),
    ("git@h:a/../../b", "not a valid repository path"),
    ("git@-oProxyCommand=x:r", "not a valid host name"),
]


@pytest.mark.parametrize(("text", "rule"), HOSTILE, ids=[repr(t)[:40] for t, _ in HOSTILE])
def test_hostile_text_is_refused_with_its_rule(text: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_location(text)
    assert rule in caught.value.message
    assert len(caught.value.message) < 300


def test_http_for_any_host_is_a_choice() -> None:
    assert isinstance(parse_location("http://h/r.git", allow_http=True), GitLocation)


@pytest.mark.parametrize("text", ["https://tok en@h/r.git", "https://tok@h:x/r.git"])
def test_a_refusal_never_shows_the_login(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_location(text)
    assert "tok" not in caught.value.message


@given(st.text(max_size=80))
def test_any_text_is_a_location_or_a_clear_refusal(text: str) -> None:
    message = ""
    try:
        found = parse_location(text)
    except InvalidInput as error:
        message = error.message
    else:
        assert not str(found.display).startswith("-")
    assert "\n" not in message


@given(st.sampled_from(["https://h/r.git#", "https://", "ssh://", "git@"]), st.text(max_size=40))
def test_any_url_keeps_to_its_transport(start: str, rest: str) -> None:
    try:
        found = parse_location(start + rest)
    except InvalidInput:
        return
    if isinstance(found, GitLocation):
        assert found.scheme in ("https", "ssh", "http")
        assert not found.url.startswith("-")
        assert not found.ref.startswith("-")
        assert ".." not in found.directory.split("/")


@pytest.mark.parametrize(
    ("text", "reference", "host", "directory"),
    [
        ("oci://h.example/a/b:1", "h.example/a/b:1", "h.example", ""),
        ("OCI://h.example/a", "h.example/a:latest", "h.example", ""),
        ("oci://127.0.0.1:5000/a:1#:d/e", "127.0.0.1:5000/a:1", "127.0.0.1:5000", "d/e"),
        (f"oci://localhost/a@sha256:{'0' * 64}", f"localhost/a@sha256:{'0' * 64}", "localhost", ""),
    ],
)
def test_artifacts(text: str, reference: str, host: str, directory: str) -> None:
    found = parse_location(text)
    assert isinstance(found, ArtifactLocation)
    assert (found.reference, found.host, found.directory) == (reference, host, directory)
    assert parse_location(found.display) == found
    assert redactions(found) == ()
