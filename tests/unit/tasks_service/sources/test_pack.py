"""A context packed as Docker packs one, and opened again as a source."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from tasks_service.sources.pack import pack_directory
from tasks_service.sources.settings import SourceSettings
from tasks_service.sources.upload import open_upload


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    write(root, Dockerfile="FROM scratch", src__a="a", src__b="b", _dot_git__HEAD="x")
    write(root, _dot_venv__lib="x", src___dot_venv__lib="x")
    return root


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_what_nobody_wants_in_a_context_stays_at_home(context: Path, tmp_path: Path) -> None:
    packed = pack_directory(context, tmp_path / "out")
    assert names(packed.path) == ["Dockerfile", "src", "src/a", "src/b"]
    assert (packed.entries, packed.unpacked) == (4, 14)
    assert packed.largest[0] == ("Dockerfile", 12)


def test_the_same_content_has_the_same_digest(context: Path, tmp_path: Path) -> None:
    first = pack_directory(context, tmp_path / "one")
    os.utime(context / "src/a", (1, 1))
    (context / "src").rename(context / "other")
    (context / "other").rename(context / "src")
    assert pack_directory(context, tmp_path / "two").sha256 == first.sha256
    (context / "src/a").write_text("changed")
    assert pack_directory(context, tmp_path / "two").sha256 != first.sha256


def test_ignore_files_are_honoured_and_brought_along(context: Path, tmp_path: Path) -> None:
    write(context, _dot_dockerignore="# words\nsrc\n!src/b\n!.git/HEAD\nDockerfile\n")
    packed = pack_directory(context, tmp_path / "out", dockerfile=context / "Dockerfile")
    assert names(packed.path) == [
        ".dockerignore",
        ".git",
        ".git/HEAD",
        "Dockerfile",
        "src",
        "src/b",
    ]
    assert packed.dockerfile == "Dockerfile"


def test_the_dockerfiles_own_ignore_file_comes_first(context: Path, tmp_path: Path) -> None:
    write(context, _dot_dockerignore="src/a")
    (context / "Dockerfile.dockerignore").write_text("src/b")
    packed = pack_directory(context, tmp_path / "out", dockerfile=context / "Dockerfile")
    assert "src/a" in names(packed.path)
    assert "src/b" not in names(packed.path)


def test_a_dockerfile_from_outside_is_added_and_kept_out_of_the_image(
    context: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "Other.Dockerfile"
    outside.write_text("FROM other")
    packed = pack_directory(context, tmp_path / "out", dockerfile=outside)
    assert packed.dockerfile.endswith("_Other.Dockerfile")
    with tarfile.open(packed.path) as tar:
        content = tar.extractfile(packed.dockerfile)
        ignore = tar.extractfile(f"{packed.dockerfile}.dockerignore")
        assert content is not None
        assert ignore is not None
        assert content.read() == b"FROM other"
        assert packed.dockerfile in ignore.read().decode().splitlines()


def test_links_stay_links_and_pipes_are_told(context: Path, tmp_path: Path) -> None:
    (context / "link").symlink_to("/etc/passwd")
    os.mkfifo(context / "pipe")
    packed = pack_directory(context, tmp_path / "out")
    with tarfile.open(packed.path) as tar:
        assert tar.getmember("link").linkname == "/etc/passwd"
    assert packed.skipped == ("pipe",)


def test_limits_and_mistakes_are_told(context: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is larger than"):
        pack_directory(context, tmp_path / "out", max_bytes=3)
    with pytest.raises(InvalidInput, match="more than 2 entries"):
        pack_directory(context, tmp_path / "out", max_entries=2)
    with pytest.raises(InvalidInput, match="cannot be read"):
        pack_directory(tmp_path / "none", tmp_path / "out")
    with pytest.raises(InvalidInput, match="does not exist"):
        pack_directory(context, tmp_path / "out", dockerfile=tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_a_packed_context_opens_as_it_was(context: Path, tmp_path: Path) -> None:
    (context / "src/a").chmod(0o755)
    (context / "link").symlink_to("src/a")
    packed = pack_directory(context, tmp_path / "out")
    folder = tmp_path / "folder"
    folder.mkdir()
    settings = SourceSettings(folder=folder)
    with open_upload(packed.path, settings=settings, cancel=Cancellation()) as source:
        assert source.directory is not None
        assert source.remote
        assert (source.directory / "src/b").read_text() == "b"
        assert os.access(source.directory / "src/a", os.X_OK)
        assert (source.directory / "link").readlink() == Path("src/a")
    assert list(folder.iterdir()) == []


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no archive" * 100)
    folder = tmp_path / "folder"
    folder.mkdir()
    opened = open_upload(
        tmp_path / "file", settings=SourceSettings(folder=folder), cancel=Cancellation()
    )
    with pytest.raises(InvalidInput), opened:
        pass
    assert list(folder.iterdir()) == []
