"""Rows for builds: ours / ``docker buildx build`` on the same engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Row, compare
from tests.bench.place import Place, many_files, remove

FILES, BYTES = 20_000, 200_000_000
_OURS = "runners.clients.buildkit"


def _ours(place: Place, folder: Path, tag: str, *flags: str) -> float:
    return place.ours(
        _OURS, "build", "--host", place.docker_host, "--progress", "quiet", *flags,
        "-t", tag, str(folder),
    )  # fmt: skip


def _peer(place: Place, folder: Path, tag: str, flags: str = "", after: str = "") -> float:
    return place.peer(f"docker buildx build -q {flags} -t {tag} {folder} {after}")


def tiny(place: Place) -> Iterator[Row]:
    """A Dockerfile of one RUN: everything cached, and without cache."""
    folder = place.folder("tiny")
    (folder / "Dockerfile").write_text(f"FROM {place.base_image}\nRUN echo built > /built\n")
    try:
        for name, flags in (("cached", ()), ("no-cache", ("--no-cache",))):
            yield compare(
                f"build-tiny-{name}",
                lambda flags=flags: _ours(place, folder, "bench/ours:1", *flags),
                lambda flags=flags: _peer(place, folder, "bench/peer:1", " ".join(flags)),
                goal=1.0,
                rounds=max(place.rounds, 5),
            )
    finally:
        remove(folder)


def context(place: Place) -> Iterator[Row]:
    """20,000 files, 200 MB, one COPY: cold, and with one file changed."""
    folder = place.folder("context")
    many_files(folder / "src", count=FILES, total_bytes=BYTES)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY src /src\n")
    turn = itertools.count()

    def change() -> None:
        (folder / "src" / "d007" / "f00007.bin").write_text(f"changed {next(turn)}\n")

    try:
        yield compare(
            "build-context-cold",
            lambda: _ours(place, folder, "bench/ours:2"),
            lambda: _peer(place, folder, "bench/peer:2"),
            goal=1.0,
            rounds=place.rounds,
            before=place.prune,
        )
        yield compare(
            "build-context-changed",
            lambda: _ours(place, folder, "bench/ours:2"),
            lambda: _peer(place, folder, "bench/peer:2"),
            goal=1.0,
            rounds=place.rounds,
            before=change,
        )
    finally:
        remove(folder)


def pushed(place: Place) -> Iterator[Row]:
    """The same context built and pushed: ours / buildx build, then docker push."""
    folder = place.folder("pushed")
    many_files(folder / "src", count=FILES, total_bytes=BYTES)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY src /src\n")
    turn = itertools.count()
    peer_tag = f"{place.registry}/bench/peer:3"
    our_tag = f"{place.registry}/bench/ours:3"

    def change() -> None:
        (folder / "src" / "d007" / "f00007.bin").write_text(f"changed {next(turn)}\n")

    def fresh() -> None:
        # A changed file too: a registry that has the blob already would make
        # the push of either side free.
        place.prune()
        change()

    try:
        for name, before in (("cold", fresh), ("changed", change)):
            yield compare(
                f"build-push-context-{name}",
                lambda: _ours(place, folder, our_tag, "--push"),
                lambda: _peer(place, folder, peer_tag, after=f"&& docker push -q {peer_tag}"),
                goal=0.8,
                rounds=place.rounds,
                before=before,
            )
    finally:
        remove(folder)
