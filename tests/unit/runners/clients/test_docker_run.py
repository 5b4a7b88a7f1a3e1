"""A start that the engine broke off is tried again; any other failure is told at once."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runners.clients.docker_refusals import StartBroken
from runners.clients.docker_run import START_ATTEMPTS, ContainerRunner
from runners.clients.docker_sdk import EngineClient, EngineError
from runners.model.cancellation import Cancellation
from runners.model.errors import StepFailed
from runners.sandbox import ContainerRequest, Output

BROKEN = (
    "OCI runtime create failed: runc create failed: unable to start container process: "
    "waiting for init preliminary setup: read init-p: connection reset by peer"
)


class Engine:
    """Answers creates, and starts as scripted; remembers what was asked."""

    def __init__(self, *starts: str) -> None:
        self._starts = list(starts)
        self.made = 0
        self.started = 0

    def call(self, method: str, path: str, doing: str, **more: Any) -> Any:
        del method, more
        if path == "/containers/create":
            self.made += 1
            return {"Id": f"c{self.made}"}
        if path.endswith("/start"):
            self.started += 1
            reason = self._starts.pop(0) if self._starts else ""
            if reason:
                raise EngineError(doing, 500, reason)
        return None


def run(engine: Engine) -> int:
    runner = ContainerRunner(
        cast("EngineClient", engine), lambda request: {}, lambda *rest: None, lambda name: name
    )
    try:
        request = ContainerRequest("web", "image", detach=True)
        return runner.run(request, cast("Output", None), Cancellation())
    finally:
        runner.close(disposable=False)


def test_a_start_broken_off_is_tried_again_in_a_new_container() -> None:
    engine = Engine(BROKEN)
    assert run(engine) == 0
    assert (engine.made, engine.started) == (2, 2)


def test_a_start_broken_off_for_good_is_the_engines_fault() -> None:
    engine = Engine(*[BROKEN] * 9)
    with pytest.raises(StartBroken, match="step 'web'"):
        run(engine)
    assert engine.started == START_ATTEMPTS


def test_a_command_that_is_not_there_is_not_tried_again() -> None:
    engine = Engine('OCI runtime create failed: exec: "x": executable file not found in $PATH')
    with pytest.raises(StepFailed):
        run(engine)
    assert engine.started == 1
