"""Tarballs: plain ones unpack, every hostile entry is refused by its rule."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks_service.sources.confine import Refusal
from tasks_service.sources.unpack import unpack_archive

Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    monkeypatch.chdir(tmp_path)

    def run(data: bytes, max_bytes: int = 1 << 20, max_entries: int = 100) -> Path:
        Path("tree").mkdir()
        Path("archive").write_bytes(data)
        unpack_archive({"max_bytes": max_bytes, "max_entries": max_entries})
        return tmp_path / "tree"

    return run


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", data: bytes = b"") -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, len(data), 0o6777
    return info, data


def tar(*entries: Entry, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        for info, data in entries:
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_compression_unpacks(unpack: Callable[[bytes], Path], mode: str) -> None:
    tree = unpack(
        tar(
            entry("./dir", tarfile.DIRTYPE),
            entry("./dir/file", data=b"hello"),
            entry("dir/link", tarfile.SYMTYPE, link="file"),
            entry("dir/up", tarfile.SYMTYPE, link="../dir/file"),
            entry("hard", tarfile.LNKTYPE, link="dir/file"),
            mode=mode,
        )
    )
    assert (tree / "dir" / "file").read_bytes() == b"hello"
    assert (tree / "dir" / "up").read_bytes() == b"hello"
    assert (tree / "hard").stat().st_ino == (tree / "dir" / "file").stat().st_ino


def test_special_bits_stay_behind(unpack: Callable[[bytes], Path]) -> None:
    tree = unpack(tar(entry("tool", data=b"x")))
    assert (tree / "tool").stat().st_mode & 0o7777 == 0o755


HOSTILE: list[tuple[str, list[Entry], str]] = [
    ("parent", [entry("../x", data=b"x")], "points outside"),
    ("inner parent", [entry("a/../../x", data=b"x")], "points outside"),
    ("absolute", [entry("/x", data=b"x")], "absolute path"),
    ("link to root", [entry("d", tarfile.SYMTYPE, link="/"), entry("d/x")], "link out of"),
    ("link up", [entry("d", tarfile.SYMTYPE, link="../.."), entry("d/x")], "link out of"),
    (
        "write through link",
        [entry("r", tarfile.DIRTYPE), entry("d", tarfile.SYMTYPE, link="r"), entry("d/x")],
        "goes through a link",
    ),
    (
        "hard link to link",
        [entry("l", tarfile.SYMTYPE, link="f"), entry("h", tarfile.LNKTYPE, link="l")],
        "hard link to a link",
    ),
    ("hard link outside", [entry("h", tarfile.LNKTYPE, link="../../etc/passwd")], "points outside"),
    ("hard link to nothing", [entry("h", tarfile.LNKTYPE, link="none")], "hard link to nothing"),
    ("device", [entry("n", tarfile.CHRTYPE)], "device, pipe or sparse"),
    ("block device", [entry("n", tarfile.BLKTYPE)], "device, pipe or sparse"),
    ("pipe", [entry("p", tarfile.FIFOTYPE)], "device, pipe or sparse"),
    ("twice", [entry("f", data=b"1"), entry("f", data=b"2")], "appears twice"),
    ("file then folder", [entry("f", data=b"1"), entry("f/x")], "goes through a link or file"),
    ("long name", [entry("x" * 256, data=b"1")], "too long"),
    ("deep", [entry("d/" * 200 + "f", data=b"1")], "nested deeper"),
    ("root", [entry("./", data=b"1")], "root of the archive"),
]


@pytest.mark.parametrize(("entries", "rule"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_hostile_entries_are_refused(
    unpack: Callable[[bytes], Path], entries: list[Entry], rule: str
) -> None:
    with pytest.raises(Refusal) as caught:
        unpack(tar(*entries))
    assert caught.value.answer["reason"] == "entry"
    assert rule in caught.value.answer["rule"]


def test_a_bomb_ends_at_the_limit(unpack: Callable[[bytes], Path]) -> None:
    with pytest.raises(Refusal, match="too_large"):
        unpack(tar(entry("zeros", data=bytes(2 << 20))))


def test_a_bomb_after_the_end_of_the_tar_ends_too(unpack: Callable[[bytes], Path]) -> None:
    data = gzip.compress(bytes(10240) + bytes(80 << 20), compresslevel=1)
    with pytest.raises(Refusal):
        unpack(data)


def test_too_many_entries_end_at_the_limit(unpack: Callable[[bytes], Path]) -> None:
    with pytest.raises(Refusal, match="too_many"):
        unpack(tar(*(entry(f"f{n}") for n in range(101))))


@pytest.mark.parametrize("keep", [30, 60, 90])
def test_a_cut_archive_is_noticed(unpack: Callable[[bytes], Path], keep: int) -> None:
    data = tar(entry("file", data=os.urandom(5000)))
    with pytest.raises(Refusal, match="bad_archive"):
        unpack(data[: len(data) * keep // 100])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>no</html>", "not_archive"),
        (b"", "not_archive"),
        (b"PK\x03\x04rest", "format"),
        (b"\x28\xb5\x2f\xfdrest", "format"),
        (b"\x1f\x8bnot really", "bad_archive"),
    ],
)
def test_other_files_are_named(unpack: Callable[[bytes], Path], data: bytes, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        unpack(data)
