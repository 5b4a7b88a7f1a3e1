"""Trees, patterns and the filtered walk."""

from __future__ import annotations

import os
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from runners.clients.buildkit import beneath
from runners.clients.buildkit._pb import fsutil_pb2
from runners.clients.buildkit.contextfs import (
    MODE_CHAR_DEVICE,
    MODE_DEVICE,
    MODE_DIR,
    MODE_SETUID,
    MODE_SYMLINK,
    ContextFS,
    FileUnreadable,
    go_mode,
)
from runners.clients.buildkit.filesync import FileSync
from runners.clients.buildkit.localfs import LocalFS
from runners.clients.buildkit.memoryfs import MemoryFS
from runners.clients.buildkit.patterns import BadPattern, Matcher
from runners.clients.buildkit.tarfs import TarFS
from runners.clients.buildkit.walk import filtered, follow_links
from runners.model.errors import InvalidInput
from tests.unit.runners.clients.buildkit.peer import Peer

SYNC = "/moby.filesync.v1.FileSync/DiffCopy"
Packet = fsutil_pb2.Packet


def paths(fs: ContextFS, **filters: tuple[str, ...]) -> list[str]:
    return [os.fsdecode(entry.path) for entry in filtered(fs, **filters)]


def matched(patterns: list[str], path: str) -> bool:
    matcher = Matcher(patterns)
    state, found, parts = matcher.initial, False, path.split("/")
    for depth in range(1, len(parts) + 1):
        found, state = matcher.match("/".join(parts[:depth]), state)
    return found


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["a"], "a/b/c", True),
        (["a/b"], "a/c", False),
        (["*.log"], "x.log", True),
        (["*.log"], "d/x.log", False),
        (["**/*.log"], "x.log", True),
        (["**/*.log"], "d/e/x.log", True),
        (["a/**"], "a/b/c", True),
        (["a/**"], "a", False),
        (["**"], "anything/at/all", True),
        (["a/**/z"], "a/z", True),
        (["a/**/z"], "a/b/c/z", True),
        (["?.txt"], "ab.txt", False),
        (["[a-c].txt"], "b.txt", True),
        (["[^a-c].txt"], "b.txt", False),
        (["a\\*b"], "a*b", True),
        (["a\\*b"], "axb", False),
        (["a.b"], "axb", False),
        (["/a/"], "a", True),
        (["./a//b"], "a/b", True),
        (["*", "!keep"], "keep", False),
        (["*", "!keep", "keep"], "keep", True),
        (["a", "!a/b"], "a/b/c", False),
        (["a", "!a/b"], "a/c", True),
        (["!a"], "a", False),
        (["größe?"], "größen", True),
        (["new\nline*"], "new\nline\nx", True),
    ],
)
def test_patterns_match_as_docker_does(patterns: list[str], path: str, expected: bool) -> None:
    assert matched(patterns, path) is expected


@pytest.mark.parametrize("pattern", ["[", "[a", "a\\", "!", "[z-a]"])
def test_patterns_that_cannot_be_are_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Matcher([pattern])


def test_entries_come_in_byte_order_with_contents_right_behind() -> None:
    fs = MemoryFS(dict.fromkeys(("foo/x", "foo-bar", "foo.d/y", "Z", "é"), b""))
    assert paths(fs) == ["Z", "foo", "foo/x", "foo-bar", "foo.d", "foo.d/y", "é"]


def test_parents_of_a_match_are_sent_first_and_only_they() -> None:
    fs = MemoryFS(dict.fromkeys(("a/b/c", "a/x", "d/e"), b""))
    assert paths(fs, include=("a/b/c",)) == ["a", "a/b", "a/b/c"]


def test_an_excluded_directory_is_entered_for_an_exception_only() -> None:
    fs = MemoryFS(dict.fromkeys(("a/keep", "a/no", "b/no"), b""))
    assert paths(fs, exclude=("a", "b", "!a/keep")) == ["a", "a/keep"]


def test_followed_paths_bring_whole_trees_and_link_targets(tmp_path: Path) -> None:
    (tmp_path / "v1" / "deep").mkdir(parents=True)
    (tmp_path / "v1" / "deep" / "f").touch()
    (tmp_path / "other").touch()
    (tmp_path / "current").symlink_to("/v1")
    (tmp_path / "loop").symlink_to("loop")
    with LocalFS(tmp_path) as fs:
        assert paths(fs, follow=("current/deep",)) == ["current", "v1", "v1/deep", "v1/deep/f"]
        assert paths(fs, follow=("cur*",)) == ["current", "v1", "v1/deep", "v1/deep/f"]
        assert paths(fs, follow=("missing",)) == []
        assert paths(fs, follow=("loop",)) == ["loop"]
        assert follow_links(fs, [".", "x"]) is None
        assert len(paths(fs, follow=("..",))) == 6


def test_modes_are_those_of_go() -> None:
    assert go_mode(stat.S_IFDIR | 0o755) == MODE_DIR | 0o755 == 0o20000000755
    assert go_mode(stat.S_IFLNK | 0o777) == MODE_SYMLINK | 0o777
    assert go_mode(stat.S_IFREG | 0o4755) == MODE_SETUID | 0o755
    assert go_mode(stat.S_IFCHR | 0o600) == MODE_DEVICE | MODE_CHAR_DEVICE | 0o600
    assert go_mode(stat.S_IFSOCK | 0o755) == 0o755


@pytest.fixture(params=["kernel", "stepwise"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"kernel": beneath.openat2, "stepwise": beneath.open_stepwise}[request.param]
    monkeypatch.setattr("runners.clients.buildkit.localfs._beneath", lambda: chosen)


@pytest.mark.usefixtures("opener")
@pytest.mark.parametrize(
    "path", ["out", "d/out", "linked/secret", "d/fifo", "d", "gone", "d/gone/x"]
)
def test_nothing_but_regular_files_beneath_the_root_is_opened(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (root / "out").symlink_to("../secret")
    (root / "d" / "out").symlink_to("/etc/passwd")
    (root / "linked").symlink_to("..")
    os.mkfifo(root / "d" / "fifo")
    with LocalFS(root) as fs, pytest.raises(FileUnreadable):
        list(fs.read(path.encode(), 100))


@pytest.mark.usefixtures("opener")
def test_files_deep_down_are_read(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"12345")
    with LocalFS(tmp_path) as fs:
        assert list(fs.read(b"a/b/c", 2)) == [b"12", b"34", b"5"]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with LocalFS(tmp_path) as fs:
        list(fs.walk(lambda _: True))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_missing_context_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be opened"):
        LocalFS(tmp_path / "no")


def test_hard_links_name_the_first_and_keep_their_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    with socket.socket(socket.AF_UNIX) as listener, LocalFS(tmp_path) as fs:
        listener.bind(str(tmp_path / "s"))
        with Peer({SYNC: FileSync({"context": fs}).diff_copy}) as peer:
            call = peer.open(SYNC, (("dir-name", "context"),))
            packets = [Packet.FromString(m) for m in peer.until_messages(call, 4)]
            a, b, s = (packet.stat for packet in packets[:3])
            assert (a.linkname, a.size) == (b"", 5)
            assert (b.linkname, b.size) == (b"a", 5)
            assert not packets[3].HasField("stat")
            request = Packet(type=Packet.PACKET_REQ, ID=2).SerializeToString()
            peer.send(call, request, Packet(type=Packet.PACKET_FIN).SerializeToString())
            answers = [Packet.FromString(m) for m in peer.until_end(call).messages[4:]]
    assert (s.path, s.mode & ~0o777) == (b"s", 0)
    assert [(packet.type, packet.ID, packet.data) for packet in answers] == [
        (Packet.PACKET_DATA, 2, b""),
        (Packet.PACKET_FIN, 0, b""),
    ]


@pytest.mark.parametrize("number", [0, 7])
def test_a_request_for_what_has_no_content_is_an_error_packet(tmp_path: Path, number: int) -> None:
    (tmp_path / "d").mkdir()
    with LocalFS(tmp_path) as fs, Peer({SYNC: FileSync({"c": fs}).diff_copy}) as peer:
        call = peer.open(SYNC, (("dir-name", "c"),))
        request = Packet(type=Packet.PACKET_REQ, ID=number).SerializeToString()
        peer.send(call, request, end=True)
        last = Packet.FromString(peer.until_end(call).messages[-1])
    assert last.type == Packet.PACKET_ERR
    assert b"has no content" in last.data


def test_an_unknown_directory_is_not_found() -> None:
    with Peer({SYNC: FileSync({}).diff_copy}) as peer:
        assert peer.unary(SYNC, b"", ("dir-name", "x")).status == 5


def test_an_archive_is_a_tree(tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "d").mkdir(parents=True)
    (source / "d" / "f").write_bytes(b"content")
    (source / "h").hardlink_to(source / "d" / "f")
    (source / "l").symlink_to("d/f")
    with tarfile.open(tmp_path / "t", "w") as archive:
        archive.add(source / "d" / "f", "deep/down/f")
        archive.add(source, ".")
    with (tmp_path / "t").open("rb") as file:
        fs = TarFS(file, identity="t")
        assert paths(fs) == ["d", "d/f", "deep", "deep/down", "deep/down/f", "h", "l"]
        assert b"".join(fs.read(b"h", 3)) == b"content"
        assert fs.readlink(b"l") == b"d/f"
        with pytest.raises(FileUnreadable):
            list(fs.read(b"l", 3))


def test_an_archive_that_leads_out_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t", "w") as archive:
        archive.addfile(tarfile.TarInfo("../x"))
    with (tmp_path / "t").open("rb") as file, pytest.raises(InvalidInput, match="leads out"):
        TarFS(file, identity="t")


def test_no_two_generated_trees_share_a_time() -> None:
    trees = [MemoryFS({"f": b"x"}) for _ in range(100)]
    assert len({next(fs.walk(lambda _: True)).mtime_ns for fs in trees}) == 100
