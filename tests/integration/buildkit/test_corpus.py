"""A corpus of Dockerfiles: images and roles are those of the builder's own provenance."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from runners.clients.buildkit.dockerfile import Reading, read_uses
from runners.clients.buildkit.localfs import LocalFS
from runners.clients.buildkit.options import Output, SolveResult
from runners.model.errors import RunnerError
from runners.model.record import BaseImage
from tasks_service.devstack.small_image import push_busybox
from tests.integration.buildkit.conftest import Builder, _builder
from tests.integration.buildkit.corpus import CASES, Case

FILES = {"file": "1\n", "folder/file": "1\n"}
PLACE = re.compile(r"<([a-z]+)([@/]?)>")


class Images:
    """The images that the corpus names, in a registry.

    Attributes:
        digests: By name.
    """

    def __init__(self, registry: str, architecture: str) -> None:
        self._registry = registry
        program = shutil.which("busybox")
        assert program is not None
        self.digests = {}
        for name in ("a", "b", "c", "d", "plain", "arch"):
            repository, tag = self._split(name, f"-{architecture}")
            self.digests[name] = push_busybox(
                Path(program), registry, repository, tag, files={"name": name}
            )
        self.names = {
            f"{registry}/{':'.join(self._split(name, f'-{architecture}'))}": name
            for name in (*self.digests, "gives")
        }

    @staticmethod
    def _split(name: str, architecture: str = "") -> tuple[str, str]:
        more = architecture if name == "arch" else ""
        return f"corpus/{name}{more}", "latest" if name == "plain" else "1"

    def fill(self, text: str) -> str:
        """Return a text with references for their places."""

        def place(found: re.Match[str]) -> str:
            repository, tag = self._split(found[1])
            if found[2] == "/":
                return f"{self._registry}/{repository}"
            name = f"{self._registry}/{repository}" + (f":{tag}" if tag == "1" else "")
            return f"{name}@{self.digests[found[1]]}" if found[2] == "@" else name

        return PLACE.sub(place, text)

    def digest(self, image: BaseImage) -> str:
        """Return the digest that was pushed."""
        return self.digests[self.names[image.reference]]

    def told(self, images: tuple[BaseImage, ...]) -> str:
        """Return base images as the corpus writes them."""
        return " ".join(
            f"{self.names.get(i.reference, i.reference)}{'!' * i.pinned}:{i.role}" for i in images
        )


@pytest.fixture(scope="module")
def images(registry: str, engine_new: str, tmp_path_factory: pytest.TempPathFactory) -> Images:
    folder = tmp_path_factory.mktemp("corpus") / "project"
    with contextmanager(_builder)(engine_new, folder) as new:
        found = Images(registry, platform_of(new).split("/")[1])
        text = "FROM <c>\nONBUILD RUN echo gift > /gift\n"
        new.write({"Dockerfile": found.fill(text)})
        made = new.solve(tags=(found.fill("<gives>"),), push=True, output=Output())
        found.digests["gives"] = made.digest
    return found


def platform_of(builder: Builder) -> str:
    return builder.client.facts().workers[0].platforms[0]


def test_images_and_roles_of_the_corpus_are_those_of_the_provenance(
    builder: Builder, images: Images
) -> None:
    facts = builder.client.facts()
    cases = [case for case in CASES if not (facts.legacy and case.needs)]
    assert len(cases) >= 60
    wrong = {}
    for case in cases:
        try:
            found = _solve(case, builder, images).base_images
        except RunnerError as error:
            wrong[case.name] = error.message
            continue
        told = images.told(found)
        if sorted(told.split()) != sorted(case.expected.split()):
            wrong[case.name] = f"{told!r} is not {case.expected!r}"
        for image in found:
            # An old builder does not tell the digest of what is only copied from.
            if image.digest != images.digest(image) and (image.digest or not facts.legacy):
                wrong[case.name] = f"digest of {image}"
    assert not wrong, "\n".join(f"{name}: {words}" for name, words in wrong.items())


def test_what_a_dockerfile_says_is_what_the_builder_used(new: Builder, images: Images) -> None:
    for case in CASES:
        reading = _read(case, new, images)
        assert reading.complete, case.name
        assert {images.names[use.reference] for use in reading.uses} == {
            word.partition(":")[0].removesuffix("!") for word in case.expected.split()
        }, case.name


def _read(case: Case, builder: Builder, images: Images) -> Reading:
    return read_uses(
        images.fill(case.text),
        arguments={name: images.fill(value) for name, value in case.arguments.items()},
        target=case.target,
        contexts={images.fill(n): images.fill(p) for n, p in case.contexts.items()},
        builder=platform_of(builder),
    )


def _solve(case: Case, builder: Builder, images: Images) -> SolveResult:
    builder.write({"Dockerfile": images.fill(case.text)} | FILES)
    with LocalFS(builder.root / "folder") as folder:
        return builder.solve(
            target=case.target or None,
            build_args={name: images.fill(value) for name, value in case.arguments.items()},
            named_contexts={
                images.fill(name): folder if place == "folder" else images.fill(place)
                for name, place in case.contexts.items()
            },
        )
