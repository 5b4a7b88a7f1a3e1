"""Git sources over real smart HTTP: every form, and every hostile repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, Denied, InvalidInput, RunnerError, Unavailable
from tasks_service.devstack.git_server import GitServer
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.folders import base_folder, sweep
from tasks_service.sources.location import Credential
from tasks_service.sources.open import Source, open_source
from tasks_service.sources.settings import SourceSettings

from .conftest import Repository

Opener = Callable[..., AbstractContextManager[Source]]


@pytest.fixture
def settings(source_folder: Path) -> SourceSettings:
    return SourceSettings(folder=source_folder, stall_s=5, deadline_s=60)


@pytest.fixture
def opened(settings: SourceSettings) -> Opener:
    def start(text: str, **changes: object) -> AbstractContextManager[Source]:
        changed = replace(settings, **changes)  # type: ignore[arg-type]
        return open_source(text, settings=changed, cancel=Cancellation())

    return start


@pytest.fixture
def app(new_repository: Callable[[str], Repository]) -> Repository:
    repository = new_repository("app")
    repository.commit({"file": "one", "sub/inner": "below"}, "one")
    repository.git("tag", "v1")
    repository.git("tag", "-a", "v2", "-m", "annotated")
    repository.git("branch", "side/way")
    repository.commit({"file": "two"}, "two")
    repository.git("update-ref", "refs/pull/7/head", "HEAD~1")
    repository.publish()
    return repository


def test_no_ref_is_the_default_branch(opened: Opener, app: Repository) -> None:
    with opened(app.url) as source:
        assert source.directory is not None
        assert (source.directory / "file").read_text() == "two"
        assert source.commit == app.git("rev-parse", "main")
        assert (source.branch, source.tag, source.repository) == ("main", "", app.url)


@pytest.mark.parametrize(
    ("ref", "branch", "tag"),
    [
        ("side/way", "side/way", ""),
        ("refs/heads/side/way", "side/way", ""),
        ("v1", "", "v1"),
        ("v2", "", "v2"),
        ("refs/tags/v2", "", "v2"),
        ("pull/7/head", "", ""),
        ("refs/pull/7/head", "", ""),
    ],
)
def test_refs_are_found_and_named(
    opened: Opener, app: Repository, ref: str, branch: str, tag: str
) -> None:
    with opened(f"{app.url}#{ref}") as source:
        assert source.directory is not None
        assert (source.directory / "file").read_text() == "one"
        assert source.commit == app.git("rev-parse", "main~1")
        assert (source.branch, source.tag) == (branch, tag)


@pytest.mark.parametrize("digits", [40, 12, 7])
def test_commits_are_found_by_their_id(opened: Opener, app: Repository, digits: int) -> None:
    commit = app.git("rev-parse", "main~1")
    with opened(f"{app.url}#{commit[:digits]}") as source:
        assert source.commit == commit
        assert source.branch == ""


def test_a_subdirectory_is_all_there_is(opened: Opener, app: Repository) -> None:
    with opened(f"{app.url}#v1:sub") as source:
        assert source.directory is not None
        assert [path.name for path in source.directory.iterdir()] == ["inner"]


def test_nothing_stays_behind(opened: Opener, app: Repository, settings: SourceSettings) -> None:
    with opened(app.url) as source:
        assert source.directory is not None
    assert not source.directory.exists()
    assert list(base_folder(settings.folder).glob("s-*")) == []


def test_no_git_folder_reaches_the_workspace(opened: Opener, app: Repository) -> None:
    with opened(app.url) as source:
        assert source.directory is not None
        assert not (source.directory / ".git").exists()


def test_what_is_fetched_belongs_to_nobody_else(opened: Opener, app: Repository) -> None:
    with opened(app.url) as source:
        assert source.directory is not None
        owner = (source.directory / "file").stat().st_uid
        assert owner != 0 or os.geteuid() != 0


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        ("#nope", "has no branch or tag 'nope'"),
        ("#" + "0" * 40, "is no longer in"),
        ("#abcdef1", "is no longer in"),
        ("#main:nope", "'nope' does not exist"),
    ],
)
def test_what_is_not_there_is_named(
    opened: Opener, app: Repository, fragment: str, text: str
) -> None:
    with pytest.raises(SourceNotFound, match=text), opened(app.url + fragment):
        pass


def test_a_directory_must_be_one(opened: Opener, app: Repository) -> None:
    with pytest.raises(InvalidInput, match="is not a directory"), opened(f"{app.url}#main:file"):
        pass


def test_a_missing_repository_is_named(opened: Opener, git_server: GitServer) -> None:
    url = git_server.url("absent")
    with pytest.raises(SourceNotFound, match="no Git repository at"), opened(url):
        pass


def test_an_empty_repository_is_named(
    opened: Opener, new_repository: Callable[[str], Repository]
) -> None:
    with pytest.raises(SourceNotFound, match="empty repository"), opened(new_repository("e").url):
        pass


def test_the_commit_is_told_whatever_its_message_is(
    settings: SourceSettings, app: Repository
) -> None:
    def told() -> str:
        lines: list[str] = []
        with open_source(
            app.url, settings=settings, cancel=Cancellation(), notice=lines.append
        ) as source:
            assert lines[-1].startswith(f"Commit {source.commit[:12]}")
        return lines[-1][len("Commit 123456789abc") :]

    assert told() == ": two"
    app.commit({"file": "three"}, "\x1b[31mGr\u00fc\u00dfe\u202e " + "x" * 300)
    assert told() == ": [31mGr\u00fc\u00dfe " + "x" * 69 + "\u2026"
    app.git("-c", "i18n.commitEncoding=nowhere", "commit", "--allow-empty", "-m", "\u00fc")
    app.publish()
    assert told() in ("", ": \ufffd\ufffd", ": \u00fc")


def test_a_name_of_two_things_is_not_guessed(opened: Opener, app: Repository) -> None:
    app.git("tag", "main", "v1")
    app.publish()
    with pytest.raises(InvalidInput) as caught, opened(f"{app.url}#main"):
        pass
    assert "#refs/heads/main or #refs/tags/main" in caught.value.hint
    with opened(f"{app.url}#refs/tags/main") as source:
        assert source.tag == "main"


def test_a_branch_called_like_an_option_is_no_option(opened: Opener, app: Repository) -> None:
    app.git("update-ref", "refs/heads/--upload-pack=x", "HEAD")
    app.publish()
    with opened(f"{app.url}#refs/heads/--upload-pack=x") as source:
        assert source.branch == "--upload-pack=x"


def test_hooks_filters_and_configuration_are_not_obeyed(
    opened: Opener, app: Repository, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    app.commit(
        {
            ".gitattributes": "* filter=evil diff=evil merge=evil\n",
            ".gitconfig": f'[filter "evil"]\n\tsmudge = touch {marker}\n',
            "hooks/post-checkout": f"#!/bin/sh\ntouch {marker}\n",
            ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n",
        }
    )
    with opened(app.url) as source:
        assert source.directory is not None
        assert (source.directory / "file").read_text() == "two"
    assert not marker.exists()


def test_submodules_are_told_and_not_fetched(settings: SourceSettings, app: Repository) -> None:
    app.git("update-index", "--add", "--cacheinfo", f"160000,{app.git('rev-parse', 'HEAD')},mod")
    (app.work / ".gitmodules").write_text('[submodule "../x"]\n\tpath = mod\n\turl = ext::sh\n')
    app.git("add", ".gitmodules")
    app.git("commit", "--quiet", "-m", "module")
    app.publish()
    told: list[str] = []
    with open_source(
        app.url, settings=settings, cancel=Cancellation(), notice=told.append
    ) as source:
        assert source.directory is not None
        assert list((source.directory / "mod").iterdir()) == []
    assert any("1 submodule" in text for text in told)


def test_a_link_out_of_the_repository_is_no_subdirectory(opened: Opener, app: Repository) -> None:
    (app.work / "leak").symlink_to("/etc")
    app.commit({})
    with pytest.raises(InvalidInput, match="leaves the source"), opened(f"{app.url}#main:leak"):
        pass


def test_a_checkout_beyond_the_limit_is_refused(opened: Opener, app: Repository) -> None:
    # Small to send, large to unpack.
    app.commit({"zeros": "0" * (8 << 20)})
    with pytest.raises(InvalidInput, match="is larger than"), opened(app.url, max_bytes=4 << 20):
        pass


def test_a_transfer_beyond_the_limit_is_refused(opened: Opener, app: Repository) -> None:
    (app.work / "noise").write_bytes(os.urandom(8 << 20))
    app.commit({})
    with pytest.raises(InvalidInput, match="is larger than"), opened(app.url, max_bytes=1 << 20):
        pass


def test_too_many_files_are_refused(opened: Opener, app: Repository) -> None:
    app.commit({f"many/{n}": "" for n in range(50)})
    with pytest.raises(InvalidInput, match="more than 20 files"), opened(app.url, max_entries=20):
        pass


def test_a_cancel_ends_a_fetch(settings: SourceSettings, app: Repository) -> None:
    cancel = Cancellation()
    cancel.cancel(Canceled("enough"))
    with (
        pytest.raises(Canceled, match="enough"),
        open_source(app.url, settings=settings, cancel=cancel),
    ):
        pass


@pytest.fixture
def private(tmp_path: Path, app: Repository) -> GitServer:
    del app
    return GitServer(tmp_path / "git", login=("someone", "token123"))


def test_a_login_is_asked_for_and_named(opened: Opener, private: GitServer) -> None:
    with private, pytest.raises(Denied) as caught, opened(private.url("app")):
        pass
    assert "asks for a login" in caught.value.message
    assert "TASKS_GIT_TOKEN" in caught.value.hint


def test_a_wrong_login_is_refused_and_not_shown(opened: Opener, private: GitServer) -> None:
    url = private.url("app").replace("http://", "http://someone:wrongtoken@")
    with private, pytest.raises(Denied) as caught, opened(url):
        pass
    shown = caught.value.message + caught.value.hint + caught.value.detail
    assert "refused the login" in shown
    assert "wrongtoken" not in shown


def test_a_login_in_the_url_works_and_is_masked(opened: Opener, private: GitServer) -> None:
    url = private.url("app").replace("http://", "http://someone:token123@")
    with private, opened(url) as source:
        assert source.commit
        assert "token123" not in source.location + source.repository
        assert "token123" in source.mask


def test_a_stored_login_goes_to_its_host_only(opened: Opener, private: GitServer) -> None:
    host = private.url().removeprefix("http://").rstrip("/")
    mine = Credential(host, "someone", "token123", "http")
    other = Credential("elsewhere.example", "someone", "token123", "http")
    with private:
        with opened(private.url("app"), login=mine) as source:
            assert source.commit
        with pytest.raises(Denied), opened(private.url("app"), login=other):
            pass


def test_an_address_that_nobody_answers_is_named(opened: Opener) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"), opened("http://127.0.0.1:1/r.git"):
        pass


def test_a_dead_process_leaves_a_folder_that_the_next_removes(settings: SourceSettings) -> None:
    base = base_folder(settings.folder)
    dead = base / "s-dead"
    (dead / "source" / "tree").mkdir(parents=True)
    (dead / ".lock").touch()
    assert sweep(settings.folder) == 1
    assert not dead.exists()


def test_errors_name_no_login_whatever_happens(opened: Opener) -> None:
    for host in ("127.0.0.1:1", "no-such-host.invalid"):
        with pytest.raises(RunnerError) as caught, opened(f"https://u:tok3n@{host}/r.git"):
            pass
        assert "tok3n" not in f"{caught.value} {caught.value.hint} {caught.value.detail}"
