"""Policies: read, checked as a whole, and read again when their file changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runners.model.errors import InvalidInput
from tasks_service.triggers.policies import DEFAULT, Policies, PolicyFile, in_range, read_policies

GOOD = """
[[policy]]
name = "debian"
images = ["docker.io/library/debian:*"]
tags = ">=12 <14"
soak = "24h"
cohorts = ["1%", "5%", "20%"]
breaker = "5%"

[[policy]]
name = "shop at night"
tasks = ["shop-*"]
roles = ["runtime"]
windows = ["Mon-Fri 01:00-05:00 Europe/Berlin"]

[[policy]]
name = "all"
roles = ["runtime", "build", "copy", "mount", "onbuild", "frontend"]
"""
DEBIAN = "docker.io/library/debian:12-slim"


def read(folder: Path, text: str) -> Policies:
    path = folder / "policies.toml"
    path.write_text(text)
    return read_policies(path)


def test_the_example_has_no_problems() -> None:
    example = Path(__file__).parents[4] / "examples" / "policies" / "policies.toml"
    assert [policy.name for policy in read_policies(example).items] == ["debian", "shop", "rest"]


def test_the_first_policy_that_fits_counts(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.of("shop-1", DEBIAN).name == "debian"
    assert found.of("shop-1", "a.example/b:1").name == "shop at night"
    assert found.of("other", "a.example/b:1").name == "all"
    assert found.of_image("a.example/b:1").name == "all"
    assert found.of_image(DEBIAN).soak_s == 86_400
    assert Policies().of("x", "y") is DEFAULT


def test_roles_and_tags_decide_what_triggers(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.of("x", DEBIAN).triggers(DEBIAN, frozenset({"copy"}))
    other = "docker.io/library/debian:sid"
    assert not found.of("x", other).triggers(other, frozenset({"runtime"}))
    night = found.of("shop-1", "a.example/b:1")
    assert not night.triggers("a.example/b:1", frozenset({"copy"}))
    assert not DEFAULT.triggers("a.example/b:1", frozenset({"frontend"}))


@pytest.mark.parametrize(
    ("tag", "wanted", "expected"),
    [
        ("3.20", ">=3.18 <4", True),
        ("3.9", ">=3.18 <4", False),
        ("v1.2.3-alpine", "1.2.3", True),
        ("4", "<4", False),
        ("4.0.1", ">4", True),
        ("latest", ">=0", False),
        ("12.5-slim", ">=12 <=12.5", True),
    ],
)
def test_ranges_of_versions(tag: str, wanted: str, expected: bool) -> None:
    assert in_range(tag, wanted) is expected


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = """
other = 1
[[policy]]
soak = "soon"
colour = "red"
[[policy]]
name = "x"
roles = ["base"]
tags = "~3"
windows = ["whenever"]
cohorts = ["10%", "1%"]
breaker = "200%"
images = []
[[policy]]
name = "x"
tasks = ["a"]
soak = "1h"
"""
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, text)
    told = caught.value.detail
    for words in ("no 'other'", "policy 1: soak", "'colour'", "'name' is missing", "'base'", "'~3'",
                  "not a window", "must rise", "breaker: must be a share", "images: must be a list",
                  "the name is taken", "leave 'tasks' out"):  # fmt: skip
        assert words in told, words


def test_a_policy_that_is_never_used_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="never used"):
        read(tmp_path, '[[policy]]\nname = "a"\n[[policy]]\nname = "b"\nimages = ["x:*"]\n')


@pytest.mark.parametrize("text", ["[[policy", "policy = 1", "\0", "[policy]\nname = 'a'"])
def test_what_is_no_policies_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"policies\.toml"):
        read(tmp_path, text)


def test_a_file_that_changes_is_read_again_and_a_wrong_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_text('[[policy]]\nname = "a"\nsoak = "1h"\n')
    found = PolicyFile(str(path))
    assert found.current().of_image("x").soak_s == 3600
    for number, (text, seconds) in enumerate((("[[", 3600.0), ('[[policy]]\nname = "b"\n', 0.0))):
        path.write_text(text)
        os.utime(path, (number, number))
        assert found.current().of_image("x").soak_s == seconds
    path.unlink()
    assert found.current().of_image("x").name == "b"
    assert PolicyFile("").current() == Policies()
