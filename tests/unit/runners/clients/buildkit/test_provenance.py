"""Base images of statements as daemons write them, joined with what the Dockerfile says."""

from __future__ import annotations

from typing import Any

import pytest

from runners.clients.buildkit.dockerfile import read_uses
from runners.clients.buildkit.provenance import _from_predicate, _joined
from runners.model.record import BaseImage

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
BASE, TOOL, SYNTAX = (f"docker.io/library/{name}:1" for name in ("base", "tool", "syntax"))


def _step(number: int, operation: dict[str, Any], *inputs: str) -> dict[str, Any]:
    return {"id": f"step{number}", "op": {"Op": operation}, "inputs": list(inputs)}


def _predicate(*, steps: bool) -> dict[str, Any]:
    materials = [
        {"uri": "pkg:docker/base@1?platform=linux%2Famd64", "digest": {"sha256": "a" * 64}},
        {"uri": f"pkg:docker/tool@1?digest={B}", "digest": {"sha256": "b" * 64}},
        {"uri": "pkg:docker/syntax@1", "digest": {"sha256": "c" * 64}},
        {"uri": "https://example.com/x", "digest": {"sha256": "d" * 64}},
    ]
    definition = [
        _step(0, {"source": {"identifier": f"docker-image://{BASE}@{A}"}}),
        _step(1, {"source": {"identifier": f"docker-image://{TOOL}@{B}"}}),
        _step(2, {"file": {"actions": [{"input": 0, "secondaryInput": 1}]}}, "step0:0", "step1:0"),
    ]
    config = {"llbDefinition": definition if steps else []}
    return {"buildConfig": config, "materials": materials}


def test_what_no_step_starts_from_has_read_the_dockerfile() -> None:
    assert _from_predicate(_predicate(steps=True)) == [
        BaseImage(BASE, A, "runtime"),
        BaseImage(TOOL, B, "build", pinned=True),
        BaseImage(SYNTAX, C, "frontend"),
    ]


def test_without_steps_all_may_be_the_base() -> None:
    roles = {image.role for image in _from_predicate(_predicate(steps=False))}
    assert roles == {"runtime"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM base:1\nCOPY --from=tool:1 / /\n", BaseImage(TOOL, B, "copy")),
        (f"FROM base:1\nCOPY --from=tool:1@{B} / /\n", BaseImage(TOOL, B, "copy", pinned=True)),
        ("FROM base:1\n", BaseImage(TOOL, B, "onbuild")),
        ("FROM base:1\nCOPY --from=$X / /\n", BaseImage(TOOL, B, "build")),
    ],
)
def test_the_dockerfile_says_what_for(text: str, expected: BaseImage) -> None:
    assert _joined(BaseImage(TOOL, B, "build"), [read_uses(text)]) == expected
