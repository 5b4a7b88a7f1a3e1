"""The contract of Backend and Sandbox, kept by the fake and by real engines alike."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.backends.base import Backend, SandboxRequest
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, Denied, InvalidInput, RunnerError, StepFailed
from runners.model.plan import Network, Volume, VolumeMount
from runners.sandbox import BuildRequest, ContainerRequest, Sandbox
from tests.contract import commands
from tests.contract.commands import Recorder
from tests.contract.conftest import Open, opener

Command = tuple[str, ...]


@pytest.fixture
def open_sandbox(backend: Backend, request: pytest.FixtureRequest, source: Path) -> Open:
    return opener(backend, request, source, secrets.token_hex(4))


@pytest.fixture
def sandbox(open_sandbox: Open) -> Sandbox:
    return open_sandbox()


@pytest.fixture
def container(image: str) -> Callable[..., ContainerRequest]:
    def make(args: Command = commands.SUCCEED, name: str = "step", **fields: object) -> object:
        return ContainerRequest(name, image, args, **fields)  # type: ignore[arg-type]

    return make  # type: ignore[return-value]


class Running:
    """A container run in a thread of its own, and how it ended."""

    def __init__(self, sandbox: Sandbox, request: ContainerRequest) -> None:
        self.cancel = Cancellation()
        self.output = Recorder()
        self.code: int | None = None
        self.error: RunnerError | None = None
        self._thread = threading.Thread(target=self._work, args=(sandbox, request))
        self._thread.start()

    def _work(self, sandbox: Sandbox, request: ContainerRequest) -> None:
        try:
            self.code = sandbox.run_container(request, self.output, self.cancel)
        except RunnerError as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_the_exit_code_comes_back(sandbox: Sandbox, container: Callable) -> None:
    assert sandbox.run_container(container(), Recorder(), Cancellation()) == 0


def test_all_output_was_written_when_a_container_returns(
    sandbox: Sandbox, container: Callable
) -> None:
    for _ in range(5):
        output = Recorder()
        request = container(commands.SPEAK_AND_FAIL)
        assert sandbox.run_container(request, output, Cancellation()) == 3
        assert output.streams == {"stdout": b"out\nlast", "stderr": b"err\n"}


def test_much_output_comes_whole_and_in_order(sandbox: Sandbox, container: Callable) -> None:
    output = Recorder()
    sandbox.run_container(container(commands.SPEAK_MUCH), output, Cancellation())
    assert output.streams["stdout"].splitlines() == [b"line %d" % n for n in range(20000)]


@pytest.mark.parametrize("keep", [False, True])
def test_a_name_can_be_used_again_at_once(
    sandbox: Sandbox, container: Callable, keep: bool
) -> None:
    for _ in range(3):
        assert sandbox.run_container(container(keep=keep), Recorder(), Cancellation()) == 0


@pytest.mark.parametrize("command", [commands.SLEEP, commands.STUBBORN])
def test_a_cancel_ends_a_container_soon_and_gives_its_reason(
    sandbox: Sandbox, container: Callable, command: Command
) -> None:
    running = Running(sandbox, container(command))
    if command is commands.STUBBORN:
        assert running.output.spoke.wait(30)
    reason = Canceled("enough")
    began = time.monotonic()
    running.cancel.cancel(reason)
    running.join()
    # A generous bound: what is checked is that nobody waits for the sleep.
    assert time.monotonic() - began < 20
    assert running.error is reason
    assert sandbox.run_container(container(), Recorder(), Cancellation()) == 0


def test_what_is_cancelled_before_does_not_start(sandbox: Sandbox, container: Callable) -> None:
    cancel = Cancellation()
    cancel.cancel(Canceled("early"))
    with pytest.raises(Canceled, match="early"):
        sandbox.run_container(container(), Recorder(), cancel)
    with pytest.raises(Canceled, match="early"):
        sandbox.build(BuildRequest("app", "/workspace"), Recorder(), cancel)
    with pytest.raises(Canceled, match="early"):
        sandbox.push("nowhere/x:1", Recorder(), cancel)


def test_a_detached_container_returns_at_its_start(sandbox: Sandbox, container: Callable) -> None:
    request = container(commands.LISTEN, detach=True)
    assert sandbox.run_container(request, Recorder(), Cancellation()) == 0


def test_many_containers_run_side_by_side(sandbox: Sandbox, container: Callable) -> None:
    sandbox.run_container(container(), Recorder(), Cancellation())
    runs = [Running(sandbox, container(name=f"s{n}")) for n in range(5)]
    for run in runs:
        run.join()
    assert [run.code for run in runs] == [0] * 5


@pytest.mark.parametrize("fields", [{"privileged": True}, {"network": "host"}])
def test_what_only_an_administrator_gives_is_denied(
    sandbox: Sandbox, container: Callable, fields: dict[str, object]
) -> None:
    with pytest.raises(Denied):
        sandbox.run_container(container(**fields), Recorder(), Cancellation())


def test_a_volume_that_is_not_there_is_refused(sandbox: Sandbox, container: Callable) -> None:
    request = container(volume_mounts=(VolumeMount("nosuch", "/x"),))
    with pytest.raises(InvalidInput):
        sandbox.run_container(request, Recorder(), Cancellation())


def test_networks_and_volumes_are_made_once(sandbox: Sandbox, container: Callable) -> None:
    for _ in range(2):
        sandbox.create_network(Network("net"))
        sandbox.create_volume(Volume("vol", {"key": b"\0$x`\n"}))
    request = container(network="net", volume_mounts=(VolumeMount("vol", "/v"),))
    assert sandbox.run_container(request, Recorder(), Cancellation()) == 0


def test_a_prepared_container_may_or_may_not_be_run(sandbox: Sandbox, container: Callable) -> None:
    sandbox.prepare_container(container(name="never"))
    request = container(commands.SPEAK_AND_FAIL)
    sandbox.prepare_container(request)
    sandbox.prepare_container(request)
    assert sandbox.run_container(request, Recorder(), Cancellation()) == 3
    assert sandbox.run_container(container(), Recorder(), Cancellation()) == 0


def test_a_build_makes_an_image_that_can_be_named(sandbox: Sandbox) -> None:
    output = Recorder()
    request = BuildRequest("app", "/workspace", tags=("made-by-test/x:1",))
    result = sandbox.build(request, output, Cancellation())
    assert result.image is not None
    assert result.image.references == ("made-by-test/x:1",)
    assert result.image.digest.startswith("sha256:")


def test_what_was_not_built_cannot_be_pushed(sandbox: Sandbox) -> None:
    with pytest.raises(StepFailed, match="no such image"):
        sandbox.push("localhost:1/never/built:1", Recorder(), Cancellation())


def test_a_sandbox_closes_twice_and_whatever_runs(sandbox: Sandbox, container: Callable) -> None:
    sandbox.run_container(container(commands.LISTEN, detach=True), Recorder(), Cancellation())
    sandbox.close()
    sandbox.close()


def test_a_backend_cancelled_before_opens_nothing(backend: Backend) -> None:
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(Canceled):
        backend.open(SandboxRequest("never"), cancel)


def test_a_sweep_leaves_living_runs_alone(
    backend: Backend, sandbox: Sandbox, container: Callable
) -> None:
    backend.sweep()
    assert sandbox.run_container(container(), Recorder(), Cancellation()) == 0
