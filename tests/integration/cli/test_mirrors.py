"""Mirrors over real smart HTTP: the next fetch brings what is new, and is never wrong for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.mirror import Mirrors
from tasks_service.sources.open import Source, open_source
from tasks_service.sources.settings import SourceSettings

from .conftest import Repository

LARGE = 1_000_000


@pytest.fixture
def mirrors(tmp_path: Path) -> Path:
    return tmp_path / "mirrors"


@pytest.fixture
def settings(source_folder: Path, mirrors: Path) -> SourceSettings:
    return SourceSettings(
        folder=source_folder, stall_s=5, deadline_s=60, mirrors=Mirrors(mirrors, 1 << 30)
    )


@pytest.fixture
def app(new_repository: Callable[[str], Repository]) -> Repository:
    repository = new_repository("app")
    noise = random.Random(7).randbytes(LARGE // 2).hex()
    repository.commit({"large": noise, "file": "0"})
    return repository


def read(text: str, settings: SourceSettings) -> tuple[str, Source, list[str]]:
    said: list[str] = []
    with open_source(text, settings=settings, cancel=Cancellation(), notice=said.append) as source:
        assert source.directory is not None
        assert (source.directory / "large").stat().st_size == LARGE
        return (source.directory / "file").read_text(), source, said


def packs(mirrors: Path) -> list[int]:
    """Return the sizes of all kept packs, oldest first."""
    found = sorted(mirrors.glob("*/*.pack"), key=lambda path: path.stat().st_mtime_ns)
    return [path.stat().st_size for path in found]


def test_the_tenth_run_fetches_only_what_is_new(
    app: Repository, settings: SourceSettings, mirrors: Path
) -> None:
    for number in range(10):
        commit = app.commit({"file": str(number)})
        content, source, said = read(app.url, settings)
        assert (content, source.commit) == (str(number), commit)
    assert any("the rest was here already" in line for line in said)
    first, *later = packs(mirrors)
    assert first > LARGE / 3
    assert len(later) == 9
    assert max(later) < 2000


def test_an_unchanged_commit_brings_nothing(
    app: Repository, settings: SourceSettings, mirrors: Path
) -> None:
    for _ in range(3):
        read(app.url, settings)
    assert len(packs(mirrors)) == 1


def test_every_form_of_a_ref_is_right_with_a_mirror(
    app: Repository, settings: SourceSettings
) -> None:
    commits = [app.commit({"file": str(number)}) for number in range(4)]
    app.git("tag", "-a", "v1", "-m", "one", commits[1])
    app.git("branch", "side", commits[2])
    app.publish()
    read(app.url, settings)
    for ref, expected in (
        (commits[0], "0"), ("v1", "1"), ("side", "2"), (commits[3][:9], "3"),
        (commits[0][:9], "0"), ("main", "3"),
    ):  # fmt: skip
        assert read(f"{app.url}#{ref}", settings)[0] == expected, ref


def test_history_that_was_written_anew_is_followed(
    app: Repository, settings: SourceSettings
) -> None:
    app.commit({"file": "old"})
    read(app.url, settings)
    app.git("reset", "--quiet", "--hard", "HEAD~1")
    app.git("commit", "--quiet", "--allow-empty", "--amend", "-m", "anew")
    app.git("push", "--quiet", "--force", str(app.bare), "main")
    assert read(app.url, settings)[0] == "0"


@pytest.mark.parametrize("what", ["*.pack", "*.idx", "shallow", "commits"])
def test_a_damaged_mirror_is_made_anew(
    what: str, app: Repository, settings: SourceSettings, mirrors: Path
) -> None:
    read(app.url, settings)
    for path in mirrors.glob(f"*/{what}"):
        path.chmod(0o644)
        path.write_bytes(b"\0broken\n" * 100)
    app.commit({"file": "new"})
    assert read(app.url, settings)[0] == "new"
    app.commit({"file": "newer"})
    assert read(app.url, settings)[0] == "newer"
    assert packs(mirrors)[-1] < 2000


def test_logins_do_not_share_a_mirror(settings: SourceSettings) -> None:
    mirrors = settings.mirrors
    assert mirrors is not None
    url = "https://host/app.git"
    keys = {mirrors.key(url), mirrors.key(url, "a", "b"), mirrors.key(url, "a", "c")}
    assert len(keys) == 3


def test_what_is_not_there_is_not_there_with_a_mirror_either(
    app: Repository, settings: SourceSettings
) -> None:
    read(app.url, settings)
    with pytest.raises(SourceNotFound):
        read(f"{app.url}#" + "1" * 40, settings)
    assert read(app.url, settings)[0] == "0"


def test_mirrors_used_longest_ago_make_room(
    new_repository: Callable[[str], Repository], settings: SourceSettings, mirrors: Path
) -> None:
    small = replace(settings, mirrors=Mirrors(mirrors, int(1.4 * LARGE)))
    for number in range(3):
        repository = new_repository(f"app{number}")
        noise = random.Random(number).randbytes(LARGE // 2).hex()
        repository.commit({"large": noise, "file": "0"})
        read(repository.url, small)
    assert sum(packs(mirrors)) < 1.4 * LARGE
    assert len(packs(mirrors)) == 2
