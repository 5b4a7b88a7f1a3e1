"""Indexes that move at a real registry: for our platforms, for others', for attestations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks_service.registries import RegistryClient
from tasks_service.registries.platforms import Platforms
from tests.fakes.own_registry import PASSWORD, USER, OwnRegistry, own_registry

NAME = "team/base"
FIRST = {"linux/amd64": "a", "linux/arm64": "b", "linux/arm/v7": "c", "unknown/unknown": "x"}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[OwnRegistry]:
    with own_registry(tmp_path, tokens=False) as found:
        yield found


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    found = RegistryClient(None, lambda _: (USER, PASSWORD))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("then", "for_all", "for_amd64"),
    [
        (FIRST, True, True),
        (FIRST | {"unknown/unknown": "y"}, True, True),
        ({k: v for k, v in FIRST.items() if k != "unknown/unknown"}, True, True),
        (FIRST | {"linux/arm64": "B"}, False, True),
        (FIRST | {"linux/s390x": "s"}, False, True),
        (FIRST | {"linux/amd64": "A"}, False, False),
        ({"linux/arm64": "b"}, False, False),
    ],
)
def test_an_index_is_the_same_if_its_images_for_the_platforms_that_count_are(
    registry: OwnRegistry,
    client: RegistryClient,
    then: dict[str, str],
    for_all: bool,
    for_amd64: bool,
) -> None:
    old = registry.push_index(NAME, "1", FIRST, "first")
    new = registry.push_index(NAME, "1", then, "second")
    assert old != new
    reference = f"{registry.host}/{NAME}:1"
    assert Platforms(client, ()).equal(reference, old, new) == for_all
    assert Platforms(client, ("linux/amd64",)).equal(reference, old, new) == for_amd64
    # What is not there counts as moved.
    assert not Platforms(client, ("linux/mips",)).equal(reference, old, new)


def test_in_doubt_it_moved(registry: OwnRegistry, client: RegistryClient) -> None:
    reference = f"{registry.host}/{NAME}:1"
    index = registry.push_index(NAME, "1", FIRST)
    image, other = registry.push(NAME, "1", "a"), registry.push(NAME, "2", "b")
    same = Platforms(client, ()).equal
    assert not same(reference, image, other)
    assert not same(reference, index, image)
    assert not same(reference, "sha256:" + "0" * 64, index)
    assert not same("127.0.0.1:9/none:1", index, image)
