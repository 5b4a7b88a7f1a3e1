"""Tarballs: plain ones unpack, every hostile entry is refused by its rule."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tasks_service.sources.confine import Refusal
from tasks_service.sources.unpack import unpack_archive

Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.chdir(tmp_path)

    def run(data: bytes, max_bytes: int = 1 << 20, **more: object) -> Path:
        Path("tree").mkdir()
        Path("archive").write_bytes(data)
        limits = {"max_bytes": max_bytes, "max_entries": 100, "max_ratio": 250}
        unpack_archive({**limits, **more})
        return tmp_path / "tree"

    return run


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", data: bytes = b"") -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, len(data), 0o6777
    return info, data


def tar(*entries: Entry, mode: str = "w:gz") -> bytes:
    if mode == "w:zst":
        return zstandard.compress(tar(*entries, mode="w"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        for info, data in entries:
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "w:zst"])
def test_every_compression_unpacks(unpack: Callable[..., Path], mode: str) -> None:
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


def test_special_bits_stay_behind(unpack: Callable[..., Path]) -> None:
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
    unpack: Callable[..., Path], entries: list[Entry], rule: str
) -> None:
    with pytest.raises(Refusal) as caught:
        unpack(tar(*entries))
    assert caught.value.answer["reason"] == "entry"
    assert rule in caught.value.answer["rule"]


def test_a_bomb_ends_at_the_limit(unpack: Callable[..., Path]) -> None:
    with pytest.raises(Refusal, match="too_large"):
        unpack(tar(entry("zeros", data=bytes(2 << 20))))


def test_a_bomb_after_the_end_of_the_tar_ends_too(unpack: Callable[..., Path]) -> None:
    data = gzip.compress(bytes(10240) + bytes(80 << 20), compresslevel=1)
    with pytest.raises(Refusal):
        unpack(data)


def test_too_many_entries_end_at_the_limit(unpack: Callable[..., Path]) -> None:
    with pytest.raises(Refusal, match="too_many"):
        unpack(tar(*(entry(f"f{n}") for n in range(101))))


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w:zst"])
@pytest.mark.parametrize("keep", [30, 45, 60, 90])
def test_a_cut_archive_is_noticed(unpack: Callable[..., Path], keep: int, mode: str) -> None:
    data = tar(entry("file", data=os.urandom(5000)), mode=mode)
    with pytest.raises(Refusal, match="bad_archive"):
        unpack(data[: len(data) * keep // 100])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>no</html>", "not_archive"),
        (b"", "not_archive"),
        (b"PK\x03\x04rest", "format"),
        (b"\x28\xb5\x2f\xfdrest", "bad_archive"),
        (zstandard.compress(b"no tar"), "bad_archive"),
        (gzip.compress(gzip.compress(bytes(1024))), "bad_archive"),
        (b"\x1f\x8bnot really", "bad_archive"),
    ],
)
def test_other_files_are_named(unpack: Callable[..., Path], data: bytes, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        unpack(data)


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_endless_header_is_not_read(unpack: Callable[..., Path], kind: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        unpack(gzip.compress(header(kind, 100 << 20) + bytes(1 << 20)), max_bytes=1 << 30)
    assert "header larger" in caught.value.answer["rule"]


@pytest.mark.parametrize("size", [-1, -512, 1 << 50])
def test_sizes_that_cannot_be_are_refused(unpack: Callable[..., Path], size: int) -> None:
    with pytest.raises(Refusal):
        unpack(gzip.compress(header(tarfile.REGTYPE, size) + bytes(2048)))


def test_a_sparse_petabyte_is_refused(unpack: Callable[..., Path]) -> None:
    info = tarfile.TarInfo("hole")
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": str(1 << 50), "GNU.sparse.name": "hole",
    }  # fmt: skip
    info.size = 512
    data = info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n0\n".ljust(512, b"\0") + bytes(1024)
    with pytest.raises(Refusal):
        unpack(gzip.compress(data))


def test_a_link_tree_longer_than_any_path_leads_nowhere(unpack: Callable[..., Path]) -> None:
    # The shape of CVE-2025-4517: links that make a resolved path too long to
    # be followed, then a way out behind it.
    entries, path = [], ""
    for letter in "abcdefghijklmnop":
        name = letter * 240
        entries.append(entry(f"{path}{name}", tarfile.DIRTYPE))
        entries.append(entry(f"{path}{letter}", tarfile.SYMTYPE, link=name))
        path += f"{letter}/"
    entries.append(entry(f"{path}{'l' * 200}", tarfile.SYMTYPE, link="../" * 16))
    entries.append(entry("escape", tarfile.SYMTYPE, link=f"{path}{'l' * 200}/../etc"))
    entries.append(entry("escape/passwd", data=b"x"))
    with pytest.raises(Refusal) as caught:
        unpack(tar(*entries))
    assert caught.value.answer["reason"] == "entry"


def test_what_unpacks_to_too_many_times_its_size_is_refused(unpack: Callable[..., Path]) -> None:
    data = tar(entry("zeros", data=bytes(300 << 20)))
    with pytest.raises(Refusal, match="ratio"):
        unpack(data, max_bytes=4 << 30)


def test_a_zstd_window_bomb_is_refused(unpack: Callable[..., Path]) -> None:
    # A frame that asks for a window of 2 GiB before it has said anything.
    data = b"\x28\xb5\x2f\xfd" + bytes([0x00, 21 << 3]) + b"\x01\x00\x00"
    with pytest.raises(Refusal, match="bad_archive"):
        unpack(data)


def test_a_context_keeps_permissions_and_links_but_nothing_goes_through_them(
    unpack: Callable[..., Path],
) -> None:
    entries = [
        entry("tool", data=b"x"),
        entry("dir", tarfile.DIRTYPE),
        entry("dir/time", tarfile.SYMTYPE, link="/usr/share/zoneinfo/UTC"),
    ]
    entries[0][0].mode = 0o4751
    tree = unpack(tar(*entries), as_packed=True)
    assert (tree / "tool").stat().st_mode & 0o7777 == 0o751
    assert str((tree / "dir" / "time").readlink()) == "/usr/share/zoneinfo/UTC"


def test_a_context_does_not_write_through_its_links(unpack: Callable[..., Path]) -> None:
    hostile = [entry("d", tarfile.SYMTYPE, link="/"), entry("d/x", data=b"1")]
    with pytest.raises(Refusal) as caught:
        unpack(tar(*hostile), as_packed=True)
    assert "goes through a link" in caught.value.answer["rule"]
