"""Whole builds: images, pushes, base images, failures, secrets, cancel."""

from __future__ import annotations

import json
import os
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from runners.clients.buildkit.client import BuildKitClient
from runners.clients.buildkit.options import Output
from runners.clients.buildkit.secrets import Secret
from runners.clients.buildkit.status import Vertex
from runners.clients.buildkit.transport import EngineTransport, unix_dialer
from runners.clients.docker_sdk import connect
from runners.model.cancellation import Cancellation
from runners.model.errors import (
    Canceled,
    InvalidInput,
    RunnerLost,
    StepFailed,
    Unavailable,
)
from tests.integration.buildkit.conftest import Builder, Recorder

SCRATCH = "FROM scratch\nCOPY f /f\n"


def test_an_image_gets_its_names_and_an_id(builder: Builder) -> None:
    builder.write({"Dockerfile": SCRATCH, "f": "1"})
    result = builder.solve(tags=("bk-test/names", "bk-test/names:2"), output=Output())
    assert result.references == ("docker.io/bk-test/names:latest", "docker.io/bk-test/names:2")
    assert result.image_id.startswith("sha256:")
    manifests = builder.client.facts().manifests
    assert bool(result.digest) is manifests
    if manifests:
        assert result.digest == result.image_id


def test_arguments_labels_and_target_reach_the_dockerfile(
    builder: Builder, base_image: str, tmp_path: Path
) -> None:
    builder.write(
        {
            "Dockerfile": f'FROM {base_image} AS one\nARG A\nRUN echo "$A" > /o\n'
            "FROM scratch AS two\nCOPY --from=one /o /o\nFROM scratch\nCOPY nothing /\n"
        }
    )
    out = tmp_path / "out"
    builder.export(out, build_args={"A": "x, y=z"}, target="two")
    assert (out / "o").read_text() == "x, y=z\n"


def test_no_cache_runs_again(builder: Builder, base_image: str, tmp_path: Path) -> None:
    builder.write(
        {
            "Dockerfile": f"FROM {base_image} AS b\nRUN cat /proc/sys/kernel/random/uuid > /u\n"
            "FROM scratch\nCOPY --from=b /u /u\n"
        }
    )
    texts = []
    for number, no_cache in enumerate((None, None, ())):
        out = tmp_path / f"out{number}"
        builder.export(out, no_cache=no_cache)
        texts.append((out / "u").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_progress_tells_vertices_and_output(builder: Builder, base_image: str) -> None:
    builder.write({"Dockerfile": f"FROM {base_image}\nRUN echo out; echo err >&2\n"})
    told = Recorder()
    builder.solve(progress=told, no_cache=())
    run = [state for name, state in told.states if "RUN echo out" in name]
    assert run[0] == "pending"
    assert "running" in run
    assert run[-1] == "done"
    assert sorted(told.output.split()) == [b"err", b"out"]


def test_base_images_come_with_digest_and_role(builder: Builder, base_image: str) -> None:
    builder.write(
        {
            "Dockerfile": f"FROM {base_image} AS tool\nRUN echo 1 > /o\n"
            "FROM scratch AS empty\nCOPY --from=tool /o /o\n"
            f"FROM {base_image} AS final\nCOPY --from=tool /o /o\n"
        }
    )
    final = builder.solve(target="final", output=Output()).base_images
    empty = builder.solve(target="empty", output=Output()).base_images
    assert [(image.role, bool(image.digest)) for image in final] == [("runtime", True)]
    assert [(image.role, bool(image.digest)) for image in empty] == [("build", True)]
    assert final[0].reference.endswith(base_image.rpartition("/")[2])


def test_a_push_reaches_the_registry_with_base_images(
    new: Builder, registry: str, base_image: str
) -> None:
    new.write({"Dockerfile": f"FROM {base_image}\nRUN echo {os.urandom(8).hex()}\n"})
    name = f"{registry}/bk-test/pushed"
    result = new.solve(tags=(f"{name}:1", f"{name}:2"), push=True, output=Output())
    for tag in ("1", "2"):
        request = urllib.request.Request(
            f"http://{registry}/v2/bk-test/pushed/manifests/{tag}",
            headers={"Accept": "application/vnd.oci.image.index.v1+json"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["Docker-Content-Digest"] == result.digest
            kinds = [m["platform"]["os"] for m in json.load(answer)["manifests"]]
    # The second manifest holds the provenance.
    assert kinds == ["linux", "unknown"]
    assert [image.role for image in result.base_images] == ["runtime"]


def test_a_push_without_attestation_is_a_plain_manifest(new: Builder, registry: str) -> None:
    new.write({"Dockerfile": SCRATCH, "f": "1"})
    result = new.solve(
        tags=(f"{registry}/bk-test/plain:1",),
        push=True,
        provenance=None,
        output=Output(attrs={"compression": "gzip", "compression-level": "1"}),
    )
    assert result.digest != result.config_digest != ""


def test_a_pushed_image_runs_and_is_built_upon(
    new: Builder, registry: str, base_image: str
) -> None:
    name = f"{registry}/bk-test/kept:1"
    secret = os.urandom(8).hex()
    new.write({"Dockerfile": f"FROM {base_image}\nRUN echo {secret} > /f\n"})
    new.solve(tags=(name,), push=True, output=Output())
    engine = connect(new.dial)
    try:
        made = engine.create_container(name, ["cat", "/f"])["Id"]
        try:
            engine.start(made)
            engine.wait(made, timeout=30)
            assert engine.logs(made).decode() == f"{secret}\n"
        finally:
            engine.remove_container(made, force=True)
    finally:
        engine.close()
    told = Recorder()
    new.write({"Dockerfile": f"FROM {name}\nRUN cat /f\n"})
    new.solve(progress=told, no_cache=())
    assert told.output.decode() == f"{secret}\n"


def test_a_push_that_nobody_takes_is_unavailable(new: Builder) -> None:
    new.write({"Dockerfile": SCRATCH, "f": "1"})
    with pytest.raises(Unavailable, match="did not take the push"):
        new.solve(tags=("127.0.0.1:1/x:1",), push=True, output=Output())


def test_a_graph_driver_refuses_to_push(old: Builder) -> None:
    old.write({"Dockerfile": SCRATCH, "f": "1"})
    with pytest.raises(InvalidInput, match="pushing from the builder"):
        old.solve(tags=("x:1",), push=True, output=Output())


def test_a_registry_cache_is_exported_and_imported(
    new: Builder, registry: str, base_image: str
) -> None:
    ref = f"{registry}/bk-test/cache:1"
    new.write({"Dockerfile": f"FROM {base_image}\nRUN echo {os.urandom(8).hex()} > /r\n"})
    entry = {"type": "registry", "ref": ref}
    new.solve(cache_to=({**entry, "mode": "max"},))
    told = Recorder()
    new.solve(cache_from=(entry,), progress=told)
    assert any("importing cache" in name and state == "done" for name, state in told.states)


def test_a_failing_cache_import_does_not_fail_the_build(builder: Builder) -> None:
    builder.write({"Dockerfile": SCRATCH, "f": "1"})
    told = Recorder()
    builder.solve(cache_from=({"type": "registry", "ref": "127.0.0.1:1/x:1"},), progress=told)
    assert any("importing cache" in name and state == "error" for name, state in told.states)


def test_a_failing_run_shows_lines_command_code_and_output(
    builder: Builder, base_image: str
) -> None:
    builder.write(
        {
            "Dockerfile": f"FROM {base_image}\nCOPY f /f\n"
            "RUN echo before && \\\n    echo oh no >&2 && \\\n    exit 7\nENV X=1\n",
            "f": "1",
        }
    )
    with pytest.raises(StepFailed) as caught:
        builder.solve()
    error = caught.value
    assert error.exit_code == 7
    assert "Dockerfile:3" in error.message
    assert ">    3 | RUN echo before && \\" in error.detail
    assert "exit 7" in error.detail.partition("command: ")[2]
    assert "oh no" in error.detail.partition("last output:")[2]


@pytest.mark.parametrize("size", [10, 3000])
def test_a_syntax_error_shows_its_line_however_large_the_file(builder: Builder, size: int) -> None:
    filler = "".join(f"LABEL key{n}=some-value-of-a-label-{n}\n" for n in range(size))
    builder.write({"Dockerfile": f"FROM scratch\n{filler}RUNN true\n"})
    with pytest.raises(InvalidInput, match=f"Dockerfile:{size + 2}: .*RUNN") as caught:
        builder.solve()
    assert f"> {size + 2:4} | RUNN true" in caught.value.detail


def test_a_failing_run_in_a_large_dockerfile_keeps_its_error(
    builder: Builder, base_image: str
) -> None:
    filler = "".join(f"# comment number {n} of a very long file\n" for n in range(3000))
    builder.write({"Dockerfile": f"FROM {base_image}\n{filler}RUN exit 4\n"})
    with pytest.raises(StepFailed) as caught:
        builder.solve()
    assert caught.value.exit_code == 4


def test_a_missing_file_is_named(builder: Builder) -> None:
    builder.write({"Dockerfile": "FROM scratch\nCOPY no/such/file /f\n", "f": "1"})
    with pytest.raises(InvalidInput, match=r"Dockerfile:2: .*no/such/file") as caught:
        builder.solve()
    assert ">    2 | COPY no/such/file /f" in caught.value.detail


def test_a_missing_dockerfile_is_named(builder: Builder) -> None:
    builder.write({"f": "1"})
    with pytest.raises(InvalidInput, match="Dockerfile cannot be read"):
        builder.solve(dockerfile="no.Dockerfile")


def test_an_unknown_target_is_named(builder: Builder) -> None:
    builder.write({"Dockerfile": SCRATCH, "f": "1"})
    with pytest.raises(InvalidInput, match="nothere"):
        builder.solve(target="nothere")


def test_an_absent_base_image_is_named(builder: Builder, registry: str) -> None:
    builder.write({"Dockerfile": "FROM 127.0.0.1:1/no/such:1\nRUN true\n"})
    with pytest.raises(StepFailed, match=r"base image 127.0.0.1:1/no/such:1 cannot be reached"):
        builder.solve()


def test_a_tag_the_registry_lacks_is_named(new: Builder, registry: str) -> None:
    new.write({"Dockerfile": f"FROM {registry}/no/such:1\nRUN true\n"})
    with pytest.raises(StepFailed, match=r"base image \S+/no/such:1 does not exist"):
        new.solve()


@pytest.mark.parametrize("name", ["UPPER:1", "a@sha256:" + "0" * 64, "bad tag", "x:"])
def test_names_that_cannot_be_are_refused_before_anything_runs(builder: Builder, name: str) -> None:
    with pytest.raises(InvalidInput):
        builder.solve(tags=(name,), output=Output())


def test_secrets_of_every_kind_reach_their_step(
    builder: Builder, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BK_TEST_SECRET", "from-env")
    (tmp_path / "s").write_bytes(b"from-file")
    ids = ("value", "file", "env")
    mounts = " ".join(f"--mount=type=secret,id={name}" for name in ids)
    builder.write(
        {
            "Dockerfile": f"FROM {base_image} AS b\nRUN {mounts} cat /run/secrets/* > /o\n"
            "FROM scratch\nCOPY --from=b /o /o\n"
        }
    )
    out = tmp_path / "out"
    builder.export(
        out,
        no_cache=(),
        secrets={
            "value": Secret(value=b"\x00raw\n"),
            "file": Secret(path=tmp_path / "s"),
            "env": Secret(variable="BK_TEST_SECRET"),
        },
    )
    assert (out / "o").read_bytes() == b"from-envfrom-file\x00raw\n"


def test_an_absent_optional_secret_is_no_error(builder: Builder, base_image: str) -> None:
    run = "RUN --mount=type=secret,id=no test ! -e /run/secrets/no"
    builder.write({"Dockerfile": f"FROM {base_image}\n{run}\n"})
    builder.solve(no_cache=())


def test_a_required_secret_that_is_not_given_is_named(builder: Builder, base_image: str) -> None:
    builder.write(
        {"Dockerfile": f"FROM {base_image}\nRUN --mount=type=secret,id=tok,required true\n"}
    )
    with pytest.raises(InvalidInput, match="secret"):
        builder.solve(no_cache=())


def test_an_ssh_agent_reaches_its_step(builder: Builder, base_image: str, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent))
        listener.listen()
        builder.write(
            {"Dockerfile": f'FROM {base_image}\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n'}
        )
        builder.solve(no_cache=(), ssh={"default": str(agent)})


def test_a_cancel_ends_the_build_and_leaves_nothing(builder: Builder, base_image: str) -> None:
    builder.write({"Dockerfile": f"FROM {base_image}\nRUN sleep 600\n"})
    cancel = Cancellation()

    def started(vertex: Vertex) -> None:
        if "sleep" in vertex.name and vertex.state == "running":
            cancel.cancel(Canceled("enough"))

    before = threading.active_count()
    with pytest.raises(Canceled, match="enough"):
        builder.solve(progress=Recorder(on_vertex=started), cancel=cancel, no_cache=())
    assert threading.active_count() <= before + 3


def test_a_cancel_before_the_start_builds_nothing(builder: Builder) -> None:
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(Canceled):
        builder.solve(cancel=cancel)


def test_two_builds_run_side_by_side_on_one_client(builder: Builder, tmp_path: Path) -> None:
    builder.write({"Dockerfile": SCRATCH, "f": "1"})
    failed: list[BaseException] = []

    def build(number: int) -> None:
        try:
            builder.export(tmp_path / f"out{number}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=build, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all((tmp_path / f"out{number}" / "f").exists() for number in range(4))


def test_an_engine_that_dies_is_a_lost_runner(builder: Builder, base_image: str) -> None:
    builder.write({"Dockerfile": f"FROM {base_image}\nRUN sleep 600\n"})
    opened: list[socket.socket] = []

    def dial() -> socket.socket:
        if opened and dead:
            raise ConnectionRefusedError(111, "Connection refused")
        opened.append(builder.dial())
        return opened[-1]

    dead: list[bool] = []

    def started(vertex: Vertex) -> None:
        if "sleep" in vertex.name and vertex.state == "running":
            dead.append(True)
            for connection in opened:
                if connection.fileno() >= 0:
                    connection.shutdown(socket.SHUT_RDWR)

    with BuildKitClient(EngineTransport(dial)) as client:
        lost = Builder(client, builder.root, dial, builder.engine)
        with pytest.raises(RunnerLost, match="went away"):
            lost.solve(progress=Recorder(on_vertex=started), no_cache=())


def test_an_engine_that_is_not_there_says_so(tmp_path: Path) -> None:
    with (
        BuildKitClient(EngineTransport(unix_dialer(tmp_path / "no.sock"))) as client,
        pytest.raises(Unavailable, match="cannot be reached"),
    ):
        client.facts()


def test_the_daemon_tells_about_itself(builder: Builder) -> None:
    facts = builder.client.facts()
    assert facts.workers[0].platforms
    assert isinstance(builder.client.version(), str)
    builder.write({"Dockerfile": SCRATCH, "f": "1"})
    builder.solve()
    kinds = {record.RecordType for record in builder.client.disk_usage()}
    assert "source.local" in kinds
    assert builder.client.prune("type==exec.cachemount") >= 0


def test_the_network_can_be_taken_away(builder: Builder, base_image: str) -> None:
    builder.write({"Dockerfile": f"FROM {base_image}\nRUN test ! -e /sys/class/net/eth0\n"})
    builder.solve(network="none", no_cache=())
    with pytest.raises(InvalidInput, match="cannot use the network"):
        builder.solve(network="mine")


def test_hosts_are_added(builder: Builder, base_image: str) -> None:
    builder.write({"Dockerfile": f"FROM {base_image}\nRUN cat /etc/hosts && exit 3\n"})
    told = Recorder()
    with pytest.raises(StepFailed):
        builder.solve(add_hosts=(("example.test", "10.9.8.7"),), progress=told, no_cache=())
    assert b"10.9.8.7" in told.output
