"""What reaches the daemon of a directory, and what comes back of a result."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from runners.clients.buildkit.contextfs import Entry, FileUnreadable
from runners.clients.buildkit.localfs import LocalFS
from runners.clients.buildkit.memoryfs import MemoryFS
from runners.clients.buildkit.options import Output, TarContext
from runners.clients.buildkit.tarfs import TarFS
from runners.model.errors import InvalidInput, StepFailed
from tests.integration.buildkit.conftest import Builder

COPY_ALL = "FROM scratch\nCOPY . /\n"


def test_a_tree_survives_the_way_there_and_back(builder: Builder, tmp_path: Path) -> None:
    # The cache of COPY does not know times: a unique file makes it copy again.
    unique = os.urandom(8).hex()
    builder.write({"Dockerfile": COPY_ALL, "a.txt": "a", "d/b.sh": "b", "empty": "", "u": unique})
    root = builder.root
    (root / "d" / "b.sh").chmod(0o751)
    (root / "d" / "link").symlink_to("../a.txt")
    (root / "hard").hardlink_to(root / "a.txt")
    (root / "d-ash").write_text("sorts after d/ and its contents")
    (root / "void").mkdir(mode=0o700)
    out = tmp_path / "out"
    builder.export(out)
    assert (out / "d" / "b.sh").stat().st_mode & 0o7777 == 0o751
    assert (out / "d" / "link").readlink() == Path("../a.txt")
    assert (out / "hard").read_text() == "a"
    assert (out / "a.txt").stat().st_ino == (out / "hard").stat().st_ino
    assert (out / "void").stat().st_mode & 0o777 == 0o700
    assert (out / "empty").read_bytes() == b""
    assert (out / "a.txt").stat().st_mtime_ns == (root / "a.txt").stat().st_mtime_ns


def test_names_that_are_no_text_survive(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL})
    strange = os.fsencode(builder.root) + b"/bad\xff.txt"
    Path(os.fsdecode(strange)).write_text("x")
    builder.write({"größe/ñ b.txt": "y"})
    out = tmp_path / "out"
    builder.export(out)
    assert Path(os.fsdecode(os.fsencode(out) + b"/bad\xff.txt")).read_text() == "x"
    assert (out / "größe" / "ñ b.txt").read_text() == "y"


def test_setuid_and_xattrs_are_sent(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL, "tool": "t"})
    (builder.root / "tool").chmod(0o4755)
    os.setxattr(builder.root / "tool", "user.note", b"\x00\x01")
    out = tmp_path / "out"
    builder.export(out)
    assert (out / "tool").stat().st_mode & 0o7777 == 0o4755


def test_a_socket_arrives_as_an_empty_file(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(builder.root / "s"))
        out = tmp_path / "out"
        builder.export(out)
    assert (out / "s").read_bytes() == b""


def test_dockerignore_keeps_files_at_home(builder: Builder, tmp_path: Path) -> None:
    builder.write(
        {
            "Dockerfile": COPY_ALL,
            ".dockerignore": "*.log\nsecret\n!keep.log\n**/node_modules\n",
            "a.log": "1",
            "keep.log": "2",
            "secret/key": "3",
            "web/node_modules/x/y.js": "4",
            "web/app.js": "5",
        }
    )
    out = tmp_path / "out"
    builder.export(out)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {"Dockerfile", ".dockerignore", "keep.log", "web/app.js"}


def test_non_ascii_patterns_are_understood(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL, ".dockerignore": "größe + x\n", "größe + x": "1"})
    out = tmp_path / "out"
    builder.export(out)
    assert not (out / "größe + x").exists()


def test_a_dockerignore_of_thousands_of_lines_is_no_problem(
    builder: Builder, tmp_path: Path
) -> None:
    lines = "".join(f"some/long/directory/name/number-{n}/file.txt\n" for n in range(4000))
    builder.write({"Dockerfile": COPY_ALL, ".dockerignore": lines, "a": "1"})
    out = tmp_path / "out"
    builder.export(out)
    assert (out / "a").exists()


def test_a_copied_directory_and_link_targets_come_whole(builder: Builder, tmp_path: Path) -> None:
    # The daemon asks only for what the Dockerfile copies.
    builder.write({"Dockerfile": "FROM scratch\nCOPY bin /bin\n", "bin/a/b": "1", "other": "2"})
    (builder.root / "bin" / "c").symlink_to("a/b")
    out = tmp_path / "out"
    result = builder.export(out)
    assert (out / "bin" / "a" / "b").read_text() == "1"
    assert result.transferred.files == 2


def test_a_linked_source_is_followed_inside_the_context(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": "FROM scratch\nCOPY current/f /f\n", "v1/f": "one"})
    (builder.root / "current").symlink_to("v1")
    out = tmp_path / "out"
    builder.export(out)
    assert (out / "f").read_text() == "one"


def test_a_large_file_arrives_whole(builder: Builder, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 48 + b"end"
    builder.write({"Dockerfile": "FROM scratch\nCOPY big /big\n", "big": content})
    out = tmp_path / "out"
    builder.export(out)
    assert (out / "big").read_bytes() == content


def test_nothing_is_sent_twice(builder: Builder) -> None:
    builder.write({"Dockerfile": COPY_ALL, **{f"f{n}": str(n) for n in range(20)}})
    first = builder.solve()
    second = builder.solve()
    (builder.root / "f7").write_text("changed")
    third = builder.solve()
    (builder.root / "f8").chmod(0o600)
    fourth = builder.solve()
    # Newer frontends read the Dockerfile and .dockerignore afresh each time.
    again = second.transferred.files
    assert first.transferred.files >= 21
    assert again <= 1
    assert third.transferred.files == again + 1
    assert fourth.transferred.files == again + 1


def test_hard_links_are_not_sent_again(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL, "a": "content"})
    (builder.root / "b").hardlink_to(builder.root / "a")
    results = [builder.export(tmp_path / f"out{n}") for n in range(4)]
    assert {result.transferred.files for result in results[1:]} <= {0, 1}
    names = sorted(path.name for path in (tmp_path / "out3").iterdir())
    assert names == ["Dockerfile", "a", "b"]


def test_another_client_or_directory_shares_nothing(builder: Builder, tmp_path: Path) -> None:
    for name, content in (("one", "1"), ("two", "2")):
        root = tmp_path / name
        root.mkdir()
        (root / "Dockerfile").write_text(COPY_ALL)
        (root / "f").write_text(content)
        for path in root.iterdir():
            os.utime(path, ns=(10**18, 10**18))
        with LocalFS(root) as context:
            builder.export(tmp_path / f"out-{name}", context=context)
    assert (tmp_path / "out-one" / "f").read_text() == "1"
    assert (tmp_path / "out-two" / "f").read_text() == "2"


def test_generated_dockerfiles_of_one_size_are_told_apart(builder: Builder, tmp_path: Path) -> None:
    builder.write({"a": "1", "b": "2"})
    for name in ("a", "b"):
        text = f"FROM scratch\nCOPY {name} /f\n".encode()
        builder.export(tmp_path / name, dockerfile_fs=MemoryFS({"Dockerfile": text}))
    assert (tmp_path / "a" / "f").read_text() == "1"
    assert (tmp_path / "b" / "f").read_text() == "2"


def test_a_dockerfile_in_a_subdirectory(builder: Builder, tmp_path: Path) -> None:
    builder.write({"docker/app.Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "1"})
    out = tmp_path / "out"
    builder.export(out, dockerfile="docker/app.Dockerfile")
    assert (out / "f").read_text() == "1"


class Lying:
    """A tree that announces other content than it has."""

    identity = "lying"

    def __init__(self, announced: int, content: bytes | None) -> None:
        self._announced = announced
        self._content = content

    def walk(self, descend: object):  # type: ignore[no-untyped-def]
        yield Entry(b"Dockerfile", 0o644, len(COPY_ALL), 1)
        yield Entry(b"f", 0o644, self._announced, 1)

    def names(self, path: bytes) -> list[bytes]:
        return [b"Dockerfile", b"f"]

    def readlink(self, path: bytes) -> bytes | None:
        return None

    def read(self, path: bytes, chunk: int):  # type: ignore[no-untyped-def]
        if path == b"Dockerfile":
            yield COPY_ALL.encode()
        elif self._content is None:
            raise FileUnreadable("cannot open f: No such file or directory")
        else:
            yield self._content


@pytest.mark.parametrize(
    ("announced", "content", "words"),
    [
        (10, b"short", "announced 10 bytes, found 5"),
        (2, b"longer", "announced 2 bytes, found more"),
        (1, None, "No such file"),
    ],
)
def test_a_file_that_changes_under_way_fails_the_build(
    builder: Builder, announced: int, content: bytes | None, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        builder.solve(context=Lying(announced, content), shared_key=os.urandom(8).hex())


def test_a_tar_archive_as_tree(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL, "d/f": "1"})
    (builder.root / "d" / "l").symlink_to("f")
    (builder.root / "h").hardlink_to(builder.root / "d" / "f")
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.add(builder.root, arcname=".")
    out = tmp_path / "out"
    with (tmp_path / "c.tar").open("rb") as file:
        builder.export(out, context=TarFS(file, identity="c"))
    assert (out / "d" / "l").read_text() == "1"
    assert (out / "h").stat().st_ino == (out / "d" / "f").stat().st_ino


def test_a_tar_stream_as_context(new: Builder, tmp_path: Path) -> None:
    # Not on the old engine: with remapped users 20.10 unpacks such a stream to
    # nothing and says nothing (docs/buildkit-client.md); without, it works.
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in (("Dockerfile", COPY_ALL), ("f", "1")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    stream.seek(0)
    out = tmp_path / "out"
    new.export(out, context=TarContext(lambda: stream))
    assert (out / "f").read_text() == "1"


def test_a_root_file_system_as_archive(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": COPY_ALL, "f": "1"})
    target = tmp_path / "root.tar"
    builder.solve(output=Output("tar", str(target)))
    with tarfile.open(target) as archive:
        assert "f" in archive.getnames()
    assert [path.name for path in tmp_path.glob("*.partial")] == []


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_image_as_archive(new: Builder, tmp_path: Path, kind: str) -> None:
    new.write({"Dockerfile": COPY_ALL, "f": "1"})
    target = tmp_path / "image.tar"
    new.solve(output=Output(kind, str(target)), tags=("demo:1",))
    with tarfile.open(target) as archive:
        assert "index.json" in archive.getnames()


def test_several_contexts(new: Builder, tmp_path: Path) -> None:
    new.write({"Dockerfile": "FROM scratch\nCOPY --from=extra f /f\nCOPY --from=context g /g\n"})
    trees = {}
    for name in ("extra", "context"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("f")
        (tmp_path / name / "g").write_text("g")
        trees[name] = LocalFS(tmp_path / name)
    out = tmp_path / "out"
    new.export(out, named_contexts=trees)
    assert sorted(path.name for path in out.iterdir()) == ["f", "g"]
    for tree in trees.values():
        tree.close()


def test_several_contexts_are_refused_by_an_old_engine(old: Builder) -> None:
    old.write({"Dockerfile": "FROM scratch\nCOPY --from=extra f /f\n"})
    with pytest.raises(InvalidInput, match="too old for several named contexts"):
        old.solve(named_contexts={"extra": "docker-image://x"})


def test_an_unknown_capability_is_refused_loudly(builder: Builder) -> None:
    builder.write({"Dockerfile": COPY_ALL})
    with pytest.raises(InvalidInput, match="too old"):
        builder.solve(attrs={"frontend.caps": "no.such.capability"})


def test_an_unreachable_remote_context_says_so(builder: Builder) -> None:
    with pytest.raises(StepFailed, match=r"context .*127\.0\.0\.1:1/no\.tar.* cannot be fetched"):
        builder.solve(context="http://127.0.0.1:1/no.tar")
