"""Bases of a build before it begins: held at digests, and told by labels of its image.

In: what the Dockerfile says, and an engine. Out: images in the engine's store
under the names that the Dockerfile uses, and labels. Builders look at that
store before they ask a registry. Used by docker_build.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runners.clients.buildkit.dockerfile import FRONTEND, RUNTIME, Reading, Use
from runners.clients.docker_images import Images
from runners.model.cancellation import Cancellation
from runners.model.record import BaseImage
from runners.sandbox import BuildRequest, Output

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"


@dataclass(frozen=True, slots=True)
class Marks:
    """Labels of an image, and the base that they tell of.

    Attributes:
        base: Its full name with its tag; empty where none is told.
        own: The run made the base itself: it has no digest yet.
    """

    labels: Mapping[str, str]
    base: str = ""
    own: bool = False

    def corrected(self, used: Sequence[BaseImage]) -> Mapping[str, str] | None:
        """Return the labels with the digest that the build really used, None if they had it."""
        if not self.base or self.own:
            return None
        found = {
            image.digest
            for image in used
            if image.reference == self.base and image.role == RUNTIME and image.digest
        }
        if len(found) != 1 or found == {self.labels.get(BASE_DIGEST)}:
            return None
        return {**self.labels, BASE_DIGEST: found.pop()}


@dataclass(frozen=True, slots=True)
class Bases:
    """What one build stands on.

    Attributes:
        images: The engine's store.
        made: Full names of images that the run made itself: those stay as they are.
        readings: What the Dockerfile says for each platform.
    """

    images: Images
    made: frozenset[str]
    readings: Sequence[Reading]

    def hold(self, request: BuildRequest, output: Output, cancel: Cancellation) -> bool:
        """Have what the Dockerfile leaves floating at the digests asked for.

        Returns:
            Whether no image is left for the registry to tell.

        Raises:
            StepFailed, Denied, Unavailable: One can't be had at its digest.
        """
        if not request.pins or len(request.platforms) > 1:
            # A name in an engine's store is of one platform.
            return False
        complete = self._complete and bool(self.readings)
        for name in dict.fromkeys(self._floating()):
            digest = request.pins.get(name)
            if digest is None or self._own(name):
                complete = False
            elif self.images.digest(name) != digest:
                platform = "".join(request.platforms)
                self.images.hold(name, digest, output, cancel, platform=platform)
        return complete

    def marks(self, request: BuildRequest, cancel: Cancellation) -> Marks:
        """Return the labels of the build's image that its author gave none of that name."""
        theirs = {name for name, _ in request.labels}.union(*(r.labels for r in self.readings))
        labels = {name: value for name, value in request.marks.items() if name not in theirs}
        base = self._base() if request.mark_base else None
        if base is None or theirs & {BASE_NAME, BASE_DIGEST}:
            return Marks(labels)
        labels[BASE_NAME] = base.reference
        own = not base.pinned and self._own(base.reference)
        digest = base.pinned
        if not digest and not own:
            known = None if request.pull else self.images.digest(base.reference)
            digest = known or self.images.ask(base.reference, cancel)
        if digest:
            labels[BASE_DIGEST] = digest
        return Marks(labels, base.reference, own)

    @property
    def _complete(self) -> bool:
        return all(reading.complete for reading in self.readings)

    def _own(self, name: str) -> bool:
        return name in self.made or self.images.digest(name) == ""

    def _floating(self) -> list[str]:
        return [
            use.reference
            for reading in self.readings
            for use in reading.uses
            if not use.pinned and use.role != FRONTEND
        ]

    def _base(self) -> Use | None:
        """Return the one image that the result stands on; None for several, or for none."""
        if not self._complete:
            return None
        uses = (use for reading in self.readings for use in reading.uses)
        found = {use for use in uses if use.role == RUNTIME}
        return found.pop() if len(found) == 1 else None
