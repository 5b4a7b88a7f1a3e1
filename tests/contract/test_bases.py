"""Bases of builds on real engines: held at digests, and told by labels of the image."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.backends.local import LocalBackend
from runners.clients.docker_bases import BASE_DIGEST, BASE_NAME
from runners.clients.docker_sdk import EngineClient, connect, unix_dialer
from runners.model.cancellation import Cancellation
from runners.model.errors import StepFailed
from runners.sandbox import BuildRequest, BuildResult
from tests.contract.commands import Recorder
from tests.contract.conftest import Open, opener
from tests.integration.conftest import part

SOURCE = "org.opencontainers.image.source"
PLACE = "https://git.example/app"


@pytest.fixture
def open_sandbox(
    real_backend: LocalBackend, request: pytest.FixtureRequest, tmp_path: Path
) -> Open:
    (tmp_path / "file").write_text("content\n")
    return opener(real_backend, request, tmp_path, secrets.token_hex(4))


@pytest.fixture
def engine(request: pytest.FixtureRequest, real_backend: LocalBackend) -> Iterator[EngineClient]:
    which = request.node.callspec.params["real_backend"]
    client = connect(unix_dialer(part(f"ENGINE_{which}").removeprefix("unix://")))
    yield client
    client.close()


def build(open_sandbox: Open, place: Path, *texts: str, **fields: object) -> BuildResult:
    """Build one after the other in one sandbox; return the last result."""
    sandbox = open_sandbox(needs_workspace=False)
    for text in texts:
        (place / "Dockerfile").write_text(text)
        request = BuildRequest(".", "/workspace", **fields)  # type: ignore[arg-type]
        result = sandbox.build(request, Recorder(), Cancellation())
    return result


@pytest.fixture
def moved(open_sandbox: Open, tmp_path: Path, image: str, engine: EngineClient) -> list[str]:
    """A reference, its first digest, and the one that it has now; not in the engine's store."""
    name = f"{part('REGISTRY')}/held/{secrets.token_hex(6)}:1"
    found = [name]
    for word in ("first", "second"):
        text = f"FROM {image}\nRUN echo {word} > /it\n"
        build(open_sandbox, tmp_path, text, tags=(name,))
        found.append(open_sandbox().push(name, Recorder(), Cancellation()).digest)
        engine.call("DELETE", f"/images/{name}", "clearing", params={"force": "1"})
    return found


def labels_of(engine: EngineClient, name: str) -> dict[str, str]:
    return engine.call("GET", f"/images/{name}/json", "reading")["Config"]["Labels"] or {}


def test_a_floating_image_is_held_at_its_digest_wherever_it_is_used(
    open_sandbox: Open, tmp_path: Path, moved: list[str], image: str
) -> None:
    name, first, second = moved
    assert first != second
    text = (
        f"FROM {name} AS one\nRUN grep first /it\n"
        f"FROM {image}\nCOPY --from={name} /it /copied\nRUN grep first /copied\n"
        "COPY --from=one /it /it\n"
    )
    result = build(open_sandbox, tmp_path, text, pins={name: first}, pull=False, no_cache=())
    found = {image.digest for image in result.base_images if image.reference == name}
    assert found == {first}


def test_what_is_held_needs_no_pull(open_sandbox: Open, tmp_path: Path, moved: list[str]) -> None:
    name, first, _ = moved
    text = f"FROM {name}\nRUN grep first /it\n"
    result = build(open_sandbox, tmp_path, text, pins={name: first}, pull=True)
    assert [image.digest for image in result.base_images] == [first]
    assert not result.base_images[0].pinned


def test_an_image_that_the_run_made_itself_is_not_replaced(
    open_sandbox: Open, tmp_path: Path, moved: list[str], image: str
) -> None:
    name, first, _ = moved
    build(
        open_sandbox,
        tmp_path,
        f"FROM {image}\nRUN echo own > /it\n",
        f"FROM {name}\nRUN grep own /it\n",
        tags=(name,),
        pins={name: first},
        no_cache=(),
        mark_base=True,
    )


def test_a_digest_that_is_gone_is_told(
    open_sandbox: Open, tmp_path: Path, moved: list[str]
) -> None:
    gone = "sha256:" + "0" * 64
    with pytest.raises(StepFailed, match="no such image"):
        build(open_sandbox, tmp_path, f"FROM {moved[0]}\n", pins={moved[0]: gone})


def test_images_tell_their_base_and_where_they_are_from(
    open_sandbox: Open, tmp_path: Path, moved: list[str], engine: EngineClient
) -> None:
    name, first, second = moved
    tag = f"marked:{secrets.token_hex(6)}"
    fields = {"tags": (tag,), "marks": {SOURCE: PLACE}, "mark_base": True}
    build(open_sandbox, tmp_path, f"FROM {name} AS it\nFROM it\n", **fields)
    found = labels_of(engine, tag)
    assert found[BASE_NAME] == name
    assert found[BASE_DIGEST] == second
    assert found[SOURCE] == PLACE
    build(open_sandbox, tmp_path, f"FROM {name}@{first}\n", **fields)
    assert labels_of(engine, tag)[BASE_DIGEST] == first


def test_what_the_author_says_wins_over_marks(
    open_sandbox: Open, tmp_path: Path, image: str, engine: EngineClient
) -> None:
    tag = f"marked:{secrets.token_hex(6)}"
    fields = {"tags": (tag,), "marks": {SOURCE: PLACE}, "mark_base": True}
    text = f'FROM {image}\nLABEL "{SOURCE}"="theirs" x=y\n'
    build(open_sandbox, tmp_path, text, labels=((BASE_NAME, "another"),), **fields)
    found = labels_of(engine, tag)
    assert (found[SOURCE], found[BASE_NAME]) == ("theirs", "another")
    assert BASE_DIGEST not in found


def test_a_base_that_nobody_can_name_is_left_out(
    open_sandbox: Open, tmp_path: Path, engine: EngineClient
) -> None:
    tag = f"marked:{secrets.token_hex(6)}"
    fields = {"tags": (tag,), "marks": {SOURCE: PLACE}, "mark_base": True}
    build(open_sandbox, tmp_path, "FROM scratch\nCOPY file /\n", **fields)
    found = labels_of(engine, tag)
    assert found == {SOURCE: PLACE}
