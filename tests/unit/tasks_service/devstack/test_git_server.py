"""The Git server: real clones, by every way a client may ask."""

from __future__ import annotations

import gzip
import http.client
import os
import subprocess
from pathlib import Path

import pytest

from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.git_server import GitServer


def git(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HOME": os.devnull,
    }
    return subprocess.run(
        ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("hello.txt")
    return folder


def test_clone_gives_the_published_files(tmp_path: Path, source: Path) -> None:
    commit = publish(source, tmp_path / "served" / "app.git", tags=("v1.0.0",))
    with GitServer(tmp_path / "served") as server:
        done = git("clone", "-q", "-b", "v1.0.0", server.url("app"), "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert (out / "hello.txt").read_text() == "hello\n"
    assert os.access(out / "run.sh", os.X_OK)
    assert (out / "link").is_symlink()
    assert git("rev-parse", "HEAD", folder=out).stdout.strip() == commit


@pytest.mark.parametrize("version", ["0", "2"])
def test_fetch_of_one_commit_by_its_id(tmp_path: Path, source: Path, version: str) -> None:
    first = publish(source, tmp_path / "served" / "app.git")
    (source / "hello.txt").write_text("changed\n")
    second = publish(source, tmp_path / "served" / "app.git")
    assert first != second
    git("init", "-q", "out", folder=tmp_path)
    with GitServer(tmp_path / "served") as server:
        words = ("-c", f"protocol.version={version}", "fetch", "-q", "--depth=1")
        done = git(*words, server.url("app"), first, folder=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    fetched = git("rev-parse", "FETCH_HEAD", folder=tmp_path / "out").stdout.strip()
    assert fetched == first


def test_publishing_unchanged_files_keeps_the_commit(tmp_path: Path, source: Path) -> None:
    bare = tmp_path / "served" / "app.git"
    assert publish(source, bare, tags=("a",)) == publish(source, bare, tags=("a", "b"))


def test_same_files_give_the_same_commit_anywhere(tmp_path: Path, source: Path) -> None:
    assert publish(source, tmp_path / "1.git") == publish(source, tmp_path / "2.git")


def test_unknown_repository_is_refused(tmp_path: Path) -> None:
    with GitServer(tmp_path) as server:
        done = git("ls-remote", server.url("nothing"), folder=tmp_path)
    assert done.returncode == 128
    assert "not found" in done.stderr


@pytest.mark.parametrize("path", ["/../secret.git/HEAD", "/%2e%2e/secret.git/HEAD"])
def test_nothing_outside_the_root_is_served(tmp_path: Path, source: Path, path: str) -> None:
    publish(source, tmp_path / "secret.git")
    (tmp_path / "served").mkdir()
    with GitServer(tmp_path / "served") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", path)
        assert connection.getresponse().status >= 400
        connection.close()


def test_a_login_is_asked_for_and_accepted(tmp_path: Path, source: Path) -> None:
    publish(source, tmp_path / "app.git")
    with GitServer(tmp_path, login=("me", "pass word")) as server:
        url = server.url("app")
        assert git("ls-remote", url, folder=tmp_path).returncode != 0
        named = url.replace("http://", "http://me:pass%20word@")
        assert git("ls-remote", named, folder=tmp_path).returncode == 0


def test_push_only_where_it_is_allowed(tmp_path: Path, source: Path) -> None:
    publish(source, tmp_path / "app.git")
    for writable, expected in ((False, 128), (True, 0)):
        with GitServer(tmp_path, writable=writable) as server:
            git("clone", "-q", server.url("app"), f"out{writable}", folder=tmp_path)
            out = tmp_path / f"out{writable}"
            done = git("push", "-q", "origin", "HEAD:refs/heads/other", folder=out)
        assert done.returncode == expected, done.stderr


def test_large_chunked_push_arrives(tmp_path: Path, source: Path) -> None:
    publish(source, tmp_path / "app.git")
    with GitServer(tmp_path, writable=True) as server:
        git("clone", "-q", server.url("app"), "out", folder=tmp_path)
        out = tmp_path / "out"
        (out / "large").write_bytes(os.urandom(3 << 20))
        git("add", ".", folder=out)
        git("-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "large", folder=out)
        # A buffer smaller than the pack makes Git send chunks of unknown length.
        words = ("-c", "http.postBuffer=65536", "push", "-q", "origin", "HEAD:main")
        done = git(*words, folder=out)
    assert done.returncode == 0, done.stderr


def test_gzip_bodies_are_understood(tmp_path: Path, source: Path) -> None:
    commit = publish(source, tmp_path / "app.git")
    body = gzip.compress(b"0014command=ls-refs\n0000")
    with GitServer(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request(
            "POST",
            "/app.git/git-upload-pack",
            body,
            {
                "Content-Type": "application/x-git-upload-pack-request",
                "Content-Encoding": "gzip",
                "Git-Protocol": "version=2",
            },
        )
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
    assert answer.status == 200
    assert commit.encode() in text
