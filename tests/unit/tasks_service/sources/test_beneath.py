"""Paths below a foreign root: links inside are followed, none leads out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runners.model.errors import InvalidInput
from tasks_service.sources.beneath import read_beneath, read_regular, resolve_beneath
from tasks_service.sources.errors import SourceNotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    return root


def test_plain_paths_are_found(root: Path) -> None:
    assert read_beneath(root, "a/file", limit=100, what="task file") == b"inside"
    assert read_beneath(root, "./a/b/../file", limit=100, what="task file") == b"inside"


def test_links_inside_are_followed(root: Path) -> None:
    (root / "a" / "b" / "up").symlink_to("../file")
    (root / "dir").symlink_to("a/b")
    assert resolve_beneath(root, "dir/up", what="x") == root / "a" / "file"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "a/../../secret", "a/b/../../.."])
def test_links_that_leave_are_refused(root: Path, target: str) -> None:
    (root / "leak").symlink_to(target)
    with pytest.raises(InvalidInput, match="leak"):
        read_beneath(root, "leak", limit=100, what="task file")


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a/../../secret"])
def test_paths_that_leave_are_refused(root: Path, path: str) -> None:
    with pytest.raises(InvalidInput, match="outside the source"):
        resolve_beneath(root, path, what="task file")


def test_a_circle_of_links_ends(root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(InvalidInput, match="more than 40 links"):
        resolve_beneath(root, "x", what="task file")


@pytest.mark.parametrize("path", ["nope", "a/file/below"])
def test_nothing_there_is_not_found(root: Path, path: str) -> None:
    with pytest.raises(SourceNotFound, match="does not exist"):
        resolve_beneath(root, path, what="task file")


def test_a_pipe_does_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(InvalidInput, match="not a regular file"):
        read_regular(root / "pipe", limit=10, what="task file")


def test_a_large_file_is_refused(root: Path) -> None:
    (root / "big").write_bytes(b"x" * 3000)
    with pytest.raises(InvalidInput, match="larger than 2 KiB"):
        read_beneath(root, "big", limit=2048, what="task file")
