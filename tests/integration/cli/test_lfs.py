"""Git LFS files: fetched when asked for, checked, under the rules of every source."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Denied, InvalidInput, RunnerError, Unavailable
from tasks_service.egress.policy import EgressPolicy
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.lfs import fetch_lfs
from tasks_service.sources.location import GitLocation
from tasks_service.sources.open import open_source
from tasks_service.sources.settings import SourceSettings
from tests.fakes.lfs_server import LfsServer, pointer

from .conftest import Repository

Make = Callable[[str], Repository]
LOGIN = ("robot", "canary-git")


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[LfsServer]:
    (tmp_path / "git").mkdir()
    with LfsServer(tmp_path / "git", login=LOGIN) as server:
        yield server


@pytest.fixture
def settings(source_folder: Path) -> SourceSettings:
    return SourceSettings(folder=source_folder, stall_s=5, deadline_s=60, lfs=True)


def with_login(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{':'.join(LOGIN)}@{parts.netloc}{parts.path}"


def files(repository: Repository, settings: SourceSettings) -> dict[str, bytes]:
    with open_source(
        with_login(repository.url), settings=settings, cancel=Cancellation()
    ) as source:
        root = source.directory
        assert root is not None
        found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.fixture
def repository(new_repository: Make, git_server: LfsServer) -> Repository:
    repository = new_repository("app")
    large, small = git_server.add(b"large" * 100_000), git_server.add(b"")
    for name, data in {
        "a/model.bin": large,
        "b/again.bin": large,
        "empty.bin": small,
        "no-pointer": large + b"x\n",
        "plain": b"plain",
    }.items():
        path = repository.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (repository.work / "a/model.bin").chmod(0o755)
    (repository.work / "link").symlink_to("/etc/passwd")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "-m", "files")
    repository.publish()
    return repository


def test_pointers_are_filled_when_asked_for_and_else_left(
    repository: Repository, git_server: LfsServer, settings: SourceSettings
) -> None:
    large = b"large" * 100_000
    found = files(repository, settings)
    assert found.pop("no-pointer") == pointer(large) + b"x\n"
    assert found == {
        "a/model.bin": large, "b/again.bin": large, "empty.bin": b"", "plain": b"plain",
    }  # fmt: skip
    basic = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
    asked = git_server.requests[:]
    assert asked[0] == ("POST /app.git/info/lfs/objects/batch", basic)
    # Each file once, whatever the number of its places.
    assert len(asked) == 3
    assert files(repository, replace(settings, lfs=False))["a/model.bin"] == pointer(large)
    assert git_server.requests == asked


def test_modes_and_links_stay_and_nothing_else_is_left(
    repository: Repository, settings: SourceSettings
) -> None:
    url = with_login(repository.url)
    with open_source(url, settings=settings, cancel=Cancellation()) as source:
        root = source.directory
        assert root is not None
        assert (root / "a/model.bin").stat().st_mode & 0o777 == 0o755
        assert (root / "link").is_symlink()
        assert not list(root.rglob(".lfs-*"))
        assert not (root.parent / "lfs").exists()


def test_servers_that_fail_or_redirect_are_asked_again(
    repository: Repository, git_server: LfsServer, settings: SourceSettings
) -> None:
    git_server.failures = 2
    assert files(repository, settings)["a/model.bin"] == b"large" * 100_000
    git_server.requests.clear()
    git_server.moved = 1
    assert files(repository, settings)["a/model.bin"] == b"large" * 100_000
    git_server.failures = 9
    with pytest.raises(Unavailable, match="fails with status 503"):
        files(repository, settings)


def test_what_is_not_there_or_not_it_ends_the_run(
    repository: Repository, git_server: LfsServer, settings: SourceSettings
) -> None:
    oid = next(oid for oid, data in git_server.files.items() if data)
    kept = git_server.files[oid]
    for wrong in (b"x" + kept[1:], kept + b"x", kept[:-1]):
        git_server.files[oid] = wrong
        with pytest.raises(Unavailable, match=r"'a/model\.bin': the server sent something else"):
            files(repository, settings)
    del git_server.files[oid]
    with pytest.raises(
        SourceNotFound, match=r"'a/model\.bin': the server says 'Object does"
    ) as gone:
        files(repository, settings)
    assert "git lfs push" in gone.value.hint
    git_server.files[oid] = kept
    git_server.header = {"X-Ticket": "no"}
    with pytest.raises(Denied, match="403"):
        files(repository, settings)
    with pytest.raises(InvalidInput, match="hold more than"):
        files(repository, replace(settings, max_bytes=200_000))


def test_the_login_is_for_its_host_only_and_the_store_must_be_allowed(
    repository: Repository, git_server: LfsServer, settings: SourceSettings, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with LfsServer(tmp_path / "other") as store:
        store.files = git_server.files
        git_server.store = store.url()
        assert files(repository, settings)["a/model.bin"] == b"large" * 100_000
        assert store.requests
        assert {login for _, login in store.requests} == {""}
        here = urlsplit(repository.url).netloc
        rules = EgressPolicy(allow_hosts=(here,), allow_http=True)
        with pytest.raises(RunnerError) as refused:
            files(repository, replace(settings, egress=rules))
        assert not isinstance(refused.value, Unavailable)
        assert urlsplit(store.url()).netloc in refused.value.message or "127.0.0.1" in (
            refused.value.message
        )


def test_files_do_not_come_over_ssh(tmp_path: Path, settings: SourceSettings) -> None:
    (tmp_path / "tree").mkdir()
    location = GitLocation("git@git.example:app.git", "ssh", "git.example")
    assert fetch_lfs(location, tmp_path, settings, Cancellation()).files == 0
    (tmp_path / "tree" / "model").write_bytes(pointer(b"x"))
    with pytest.raises(InvalidInput, match="do not come over ssh"):
        fetch_lfs(location, tmp_path, settings, Cancellation())


def test_a_server_without_lfs_says_so(
    new_repository: Make, settings: SourceSettings, tmp_path: Path
) -> None:
    from tasks_service.devstack.git_server import GitServer

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "model").write_bytes(pointer(b"x"))
    (tmp_path / "plain").mkdir()
    with GitServer(tmp_path / "plain") as server:
        url = server.url("app")
        location = GitLocation(url, "http", urlsplit(url).netloc)
        with pytest.raises(RunnerError, match="Git LFS"):
            fetch_lfs(location, tmp_path, settings, Cancellation())
