"""Submodules over real smart HTTP: fetched when asked for, under the rules of every source (G3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput, RunnerError
from tasks_service.devstack.git_server import GitServer
from tasks_service.egress.policy import EgressPolicy
from tasks_service.sources.folders import base_folder
from tasks_service.sources.location import Credential
from tasks_service.sources.mirror import Mirrors
from tasks_service.sources.open import open_source
from tasks_service.sources.settings import SourceSettings

from .conftest import Repository
from .test_http_faults import FaultyServer, page, server

__all__ = ["server"]

Make = Callable[[str], Repository]


@pytest.fixture
def settings(source_folder: Path) -> SourceSettings:
    return SourceSettings(folder=source_folder, stall_s=5, deadline_s=60, submodules=True)


@pytest.fixture
def library(new_repository: Make) -> Repository:
    repository = new_repository("library")
    repository.commit({"lib": "old"})
    return repository


def link(repository: Repository, path: str, url: str, commit: str, more: str = "") -> None:
    """Commit a submodule that nobody has to fetch here."""
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    with (repository.work / ".gitmodules").open("a") as file:
        file.write(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n{more}')
    repository.git("add", ".gitmodules")
    repository.git("commit", "--quiet", "-m", "module")
    repository.publish()


def files(url: str, settings: SourceSettings) -> dict[str, str]:
    with open_source(url, settings=settings, cancel=Cancellation()) as source:
        root = source.directory
        assert root is not None
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_text() for path in found}


def test_submodules_come_at_the_commit_that_is_named(
    new_repository: Make, library: Repository, settings: SourceSettings, source_folder: Path
) -> None:
    old = library.git("rev-parse", "HEAD")
    library.commit({"lib": "new"})
    middle = new_repository("middle")
    link(middle, "deep/lib", library.url, old)
    app = new_repository("app")
    app.commit({"file": "app"})
    more = "\tupdate = !touch /tmp/never\n\tbranch = main\n"
    link(app, "third/middle", "../middle.git", middle.git("rev-parse", "HEAD"), more)
    mirrors = Mirrors(source_folder / "mirrors", 1 << 30)
    for given in (settings, replace(settings, mirrors=mirrors), replace(settings, mirrors=mirrors)):
        found = files(app.url, given)
        assert found["file"] == "app"
        assert found["third/middle/deep/lib/lib"] == "old"
        assert not any(".git/" in name for name in found)
        assert list(base_folder(source_folder).glob("s-*")) == []
    assert "third/middle/deep/lib/lib" not in files(app.url, replace(settings, submodules=False))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ext::sh -c true", "not allowed"),
        ("file:///etc", "not allowed"),
        ("/etc", "none of a Git repository"),
        ("--upload-pack=x", "looks like an option"),
        ("https://u:p@host/x.git", "none of a Git repository"),
        ("../../../../x.git", "leaves the host"),
        ("http://10.0.0.1/x.git", "not allowed"),
    ],
)
def test_urls_of_submodules_are_judged_like_those_of_sources(
    new_repository: Make, library: Repository, settings: SourceSettings, url: str, text: str
) -> None:
    app = new_repository("app")
    link(app, "module", url, library.git("rev-parse", "HEAD"))
    with pytest.raises(InvalidInput, match=text):
        files(app.url, settings)


def test_a_submodule_leads_only_where_the_egress_rules_let_it(
    new_repository: Make, library: Repository, settings: SourceSettings
) -> None:
    app = new_repository("app")
    link(app, "module", "https://127.0.0.1:1/x.git", library.git("rev-parse", "HEAD"))
    policy = EgressPolicy((f"127.0.0.1:{urlsplit(app.url).port}",))
    with pytest.raises(Denied, match="loopback"):
        files(app.url, replace(settings, egress=policy))


def test_a_link_without_a_url_is_told(
    new_repository: Make, library: Repository, settings: SourceSettings
) -> None:
    app = new_repository("app")
    link(app, "module", library.url, library.git("rev-parse", "HEAD"))
    text = (app.work / ".gitmodules").read_text()
    # A path that ends in a carriage return is another path.
    (app.work / ".gitmodules").write_text(text.replace("path = module", 'path = "module\r"'))
    app.git("add", ".gitmodules")
    app.git("commit", "--quiet", "-m", "strange")
    app.publish()
    with pytest.raises(InvalidInput, match="'module' has no URL"):
        files(app.url, settings)


def test_submodules_are_bounded_in_number_depth_and_size(
    new_repository: Make, library: Repository, settings: SourceSettings
) -> None:
    itself = new_repository("itself")
    first = itself.commit({"file": "x" * 600_000})
    for _ in range(4):
        link(itself, "again", "../itself.git", first)
        first = itself.git("rev-parse", "HEAD")
    with pytest.raises(InvalidInput, match="deeper than 3"):
        files(itself.url, settings)
    with pytest.raises(InvalidInput, match="larger than"):
        files(itself.url, replace(settings, max_bytes=1_000_000))
    many = new_repository("many")
    commit = library.git("rev-parse", "HEAD")
    with (many.work / ".gitmodules").open("w") as file:
        for number in range(51):
            many.git("update-index", "--add", "--cacheinfo", f"160000,{commit},m{number}")
            file.write(f'[submodule "{number}"]\n\tpath = m{number}\n\turl = ../absent.git\n')
    many.git("add", ".gitmodules")
    many.git("commit", "--quiet", "-m", "many")
    many.publish()
    with pytest.raises(InvalidInput, match="more than 50 submodules"):
        files(many.url, settings)


def test_a_login_goes_to_its_own_host_only(
    new_repository: Make, library: Repository, settings: SourceSettings, server: FaultyServer
) -> None:
    server.answer = page(401, **{"WWW-Authenticate": 'Basic realm="x"'})
    app = new_repository("app")
    commit = library.git("rev-parse", "HEAD")
    link(app, "own", "../library.git", commit)
    with GitServer(app.bare.parent, login=("user", "token")) as private:
        host = urlsplit(private.url()).netloc
        known = replace(settings, login=Credential(host, "user", "token", "http"))
        assert files(private.url("app"), known)["own/lib"] == "old"
        link(app, "theirs", f"{server.url}/x.git", commit)
        with pytest.raises(RunnerError):
            files(private.url("app"), known)
    assert server.requests
    assert not any("Authorization" in headers for _, headers in server.requests)
