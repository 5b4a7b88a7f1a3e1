"""What an engine says of a registry: is it away, does it refuse, is there no such image."""

from __future__ import annotations

import pytest

from runners.clients.docker_images import _classified
from runners.model.errors import Denied, StepFailed, Unavailable
from runners.model.image import ImageRef

PUT = 'failed commit on ref "config-sha256:2a": failed to do request: Put "http://r.example/v2/x"'


@pytest.mark.parametrize(
    "text",
    [
        f"{PUT}: readfrom tcp 127.0.0.1:50370->127.0.0.1:45549: use of closed network connection",
        f"{PUT}: write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe",
        f"{PUT}: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer",
        f"{PUT}: http: server closed idle connection",
        f"{PUT}: EOF",
        "received unexpected HTTP status: 503 Service Unavailable",
        "toomanyrequests: slow down",
    ],
)
def test_a_registry_that_breaks_off_is_away_and_asked_again(text: str) -> None:
    reference = ImageRef.parse("r.example/x:1")
    for verb in ("push", "pull"):
        assert isinstance(_classified(text, verb, reference), Unavailable)


def test_a_registry_that_refuses_is_not_asked_again() -> None:
    reference = ImageRef.parse("r.example/x:1")
    assert isinstance(_classified("denied: requested access", "push", reference), Denied)
    assert isinstance(_classified("manifest unknown", "pull", reference), StepFailed)
