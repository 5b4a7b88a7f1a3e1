"""What only a real engine can break: bytes, kills, limits, registries, leftovers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runners.backends.local import LocalBackend
from runners.clients.docker_sdk import EngineClient, connect, unix_dialer
from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, InvalidInput, StepFailed, SystemFault, Unavailable
from runners.model.plan import Network, Volume, VolumeMount
from runners.sandbox import BuildRequest, BuildSecret, ContainerRequest, Sandbox
from tests.contract import commands
from tests.contract.commands import Recorder
from tests.contract.conftest import Open, opener
from tests.contract.test_sandbox import Running
from tests.integration.conftest import part

Run = Callable[..., tuple[int, Recorder]]


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def open_sandbox(
    real_backend: LocalBackend, request: pytest.FixtureRequest, source: Path, run_id: str
) -> Open:
    return opener(real_backend, request, source, run_id)


@pytest.fixture
def sandbox(open_sandbox: Open) -> Sandbox:
    return open_sandbox(secrets={"token": "s3cret-of-plan"})


@pytest.fixture
def engine(request: pytest.FixtureRequest, real_backend: LocalBackend) -> Iterator[EngineClient]:
    """A client of our own to the engine under test."""
    which = request.node.callspec.params["real_backend"]
    client = connect(unix_dialer(part(f"ENGINE_{which}").removeprefix("unix://")))
    yield client
    client.close()


@pytest.fixture
def run(sandbox: Sandbox, image: str) -> Run:
    def work(*args: str, name: str = "step", **fields: object) -> tuple[int, Recorder]:
        output = Recorder()
        request = ContainerRequest(name, image, args, **fields)  # type: ignore[arg-type]
        return sandbox.run_container(request, output, Cancellation()), output

    return work


def shell(text: str) -> tuple[str, str, str]:
    return ("sh", "-c", text)


def test_the_source_is_in_the_workspace_and_steps_share_it(run: Run) -> None:
    fields = {"working_directory": "/workspace/app"}
    assert run(*shell("cat file; echo more > made"), **fields)[1].streams["stdout"] == b"content\n"
    assert run("cat", "/workspace/app/made")[1].streams["stdout"] == b"more\n"


def test_secret_files_are_exact_in_memory_and_readable_by_all(sandbox: Sandbox, run: Run) -> None:
    data = bytes(range(256)) + b"$(id) `id` $HOME EOL\n"
    sandbox.create_volume(Volume("vol", {"key": data, "empty": b""}))
    fields = {"volume_mounts": (VolumeMount("vol", "/s"),), "user": "1234"}
    assert run("cat", "/s/key", **fields)[1].streams["stdout"] == data
    _, output = run(*shell("wc -c < /s/empty; grep ' /s ' /proc/mounts"), **fields)
    assert output.streams["stdout"].startswith(b"0\n")
    assert b"tmpfs" in output.streams["stdout"]


def test_step_ids_are_host_names_on_a_network(sandbox: Sandbox, run: Run) -> None:
    sandbox.create_network(Network("net"))
    serve = "mkdir -p /w; cd /w; echo pong > index.html; httpd -f -p 80"
    run(*shell(serve), name="server", network="net", detach=True)
    ask = (
        "for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://server/ && exit 0; sleep 0.2; done; exit 1"
    )
    code, output = run(*shell(ask), network="net")
    assert (code, output.streams["stdout"]) == (0, b"pong\n")


def test_env_user_workdir_and_entry_point(run: Run) -> None:
    code, output = run(
        "-c",
        'echo "$A"; id -u; pwd',
        entry_point="sh",
        env=(("A", "x y; $(z) 'q'"),),
        user="1234",
        working_directory="/tmp",
    )
    assert code == 0
    assert output.streams["stdout"] == b"x y; $(z) 'q'\n1234\n/tmp\n"


def test_a_command_that_is_not_there_says_so(run: Run) -> None:
    with pytest.raises(StepFailed, match="no command 'nosuch'") as caught:
        run("nosuch")
    assert caught.value.exit_code == 127


def test_a_file_that_is_not_executable_says_so(run: Run) -> None:
    with pytest.raises(StepFailed, match="not executable") as caught:
        run("/workspace/app/file")
    assert caught.value.exit_code == 126


def test_a_file_of_another_machine_says_so(run: Run) -> None:
    run(*shell("printf '\\177ELFnonsense' > /workspace/odd; chmod +x /workspace/odd"))
    with pytest.raises(StepFailed, match="not made for this machine"):
        run("/workspace/odd")


def test_an_exit_137_of_its_own_is_no_lack_of_memory(run: Run) -> None:
    assert run(*shell("exit 137"))[0] == 137


def test_lack_of_memory_is_told_with_its_limit(run: Run) -> None:
    with pytest.raises(StepFailed, match=r"out of memory \(limit 24 MiB\)"):
        run(
            *shell("x=a; while true; do x=$x$x; done"),
            options={"HostConfig.Memory": 24 << 20, "HostConfig.MemorySwap": 24 << 20},
        )


def test_an_absent_registry_is_unavailable(sandbox: Sandbox) -> None:
    request = ContainerRequest("step", "127.0.0.1:1/no/such:1", ("true",))
    output = Recorder()
    with pytest.raises(Unavailable, match=re.escape("127.0.0.1:1")):
        sandbox.run_container(request, output, Cancellation())
    assert b"trying again" in output.streams["stderr"]


def test_a_paused_container_ends_with_a_cancel(
    sandbox: Sandbox, image: str, engine: EngineClient, run_id: str
) -> None:
    running = Running(sandbox, ContainerRequest("step", image, commands.STUBBORN))
    assert running.output.spoke.wait(30)
    engine.call("POST", f"/containers/tasks-{run_id}-step/pause", "pausing")
    reason = Canceled("enough")
    running.cancel.cancel(reason)
    running.join()
    assert running.error is reason


def test_a_prepared_container_of_a_replaced_image_is_not_run(
    sandbox: Sandbox, source: Path, image: str
) -> None:
    tag = f"local-test/{secrets.token_hex(4)}:1"

    def build(word: str) -> None:
        request = BuildRequest("app", "/workspace", tags=(tag,), build_args=(("W", word),))
        sandbox.build(request, Recorder(), Cancellation())

    write = f"printf 'FROM {image}\\nARG W\\nRUN echo $W > /word\\n' > /workspace/app/Dockerfile"
    sandbox.run_container(
        ContainerRequest("write", image, shell(write)), Recorder(), Cancellation()
    )
    build("old")
    request = ContainerRequest("step", tag, ("cat", "/word"))
    sandbox.prepare_container(request)
    build("new")
    output = Recorder()
    sandbox.run_container(request, output, Cancellation())
    assert output.streams["stdout"] == b"new\n"


def test_a_build_may_mount_the_plans_secret(sandbox: Sandbox, image: str) -> None:
    text = f"FROM {image}\\nRUN --mount=type=secret,id=token cat /run/secrets/token\\n"
    write = f"printf '{text}' > /workspace/app/Dockerfile"
    sandbox.run_container(
        ContainerRequest("write", image, shell(write)), Recorder(), Cancellation()
    )
    output = Recorder()
    request = BuildRequest("app", "/workspace", secrets=(BuildSecret("token"),), no_cache=())
    sandbox.build(request, output, Cancellation())
    assert b"s3cret-of-plan" in output.streams["stdout"]


@pytest.mark.parametrize("context", ["..", "/etc", "app/../../etc"])
def test_a_context_outside_of_the_workspace_is_refused(sandbox: Sandbox, context: str) -> None:
    with pytest.raises(InvalidInput, match="outside of the workspace"):
        sandbox.build(BuildRequest(context, "/workspace"), Recorder(), Cancellation())


def test_a_context_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidInput, match="nosuch"):
        sandbox.build(BuildRequest("nosuch", "/workspace"), Recorder(), Cancellation())


def test_a_secret_the_plan_does_not_have_is_named(sandbox: Sandbox) -> None:
    request = BuildRequest("app", "/workspace", secrets=(BuildSecret("other"),))
    with pytest.raises(InvalidInput, match="'other'"):
        sandbox.build(request, Recorder(), Cancellation())


def test_nothing_is_left_after_a_close(
    sandbox: Sandbox, run: Run, engine: EngineClient, run_id: str
) -> None:
    sandbox.create_network(Network("net"))
    sandbox.create_volume(Volume("vol", {"k": b"x"}))
    run(*commands.LISTEN, name="detached", detach=True, network="net")
    run(*commands.SUCCEED, name="kept", keep=True)
    sandbox.close()
    query = {"filters": f'{{"label":["tasks.run={run_id}"]}}', "all": "1"}
    assert engine.call("GET", "/containers/json", "listing", params=query) == []
    del query["all"]
    assert engine.call("GET", "/networks", "listing", params=query) == []
    volumes = engine.call("GET", "/volumes", "listing", params=query)
    assert not volumes["Volumes"]


def test_a_sweep_removes_what_a_dead_process_left(
    real_backend: LocalBackend, engine: EngineClient
) -> None:
    run_id = secrets.token_hex(4)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # No process has this number and start time.
    labels = {"tasks.run": run_id, "tasks.owner": f"{boot}:4194304:1"}
    name = f"left-{run_id}"
    engine.call("POST", "/volumes/create", "leaving", body={"Name": name, "Labels": labels})
    assert real_backend.sweep() >= 1
    with pytest.raises(SystemFault, match="no such volume"):
        engine.call("GET", f"/volumes/{name}", "looking")
