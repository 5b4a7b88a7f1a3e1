"""The request, the vertex model, errors, transports: everything around a solve."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runners.clients.buildkit import transport
from runners.clients.buildkit._pb import control_pb2, session_pb2, status_pb2
from runners.clients.buildkit._pb.worker_pb2 import WorkerRecord
from runners.clients.buildkit.attach import Attachments
from runners.clients.buildkit.auth import (
    AuthService,
    DockerConfigLogins,
    Login,
    static_logins,
)
from runners.clients.buildkit.codegen import main as codegen
from runners.clients.buildkit.daemon import read_facts
from runners.clients.buildkit.errors import SolveFailure, translate
from runners.clients.buildkit.excerpt import Source
from runners.clients.buildkit.memoryfs import MemoryFS
from runners.clients.buildkit.options import Output, SolveOptions
from runners.clients.buildkit.request import shared_key, solve_request
from runners.clients.buildkit.solve import Build
from runners.clients.buildkit.ssh import SSHService
from runners.clients.buildkit.status import BuildState
from runners.clients.buildkit.transport import BuildkitdTransport
from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput, RunnerLost, StepFailed, SystemFault, Unavailable
from tests.unit.runners.clients.buildkit.peer import Peer

OLD = read_facts([WorkerRecord(ID="moby")], engine=True)
GATEWAY = {"org.mobyproject.buildkit.worker.moby.host-gateway-ip": "172.17.0.1"}
GRAPH = read_facts([WorkerRecord(ID="x", Labels=GATEWAY)], engine=True)
STORE = read_facts(
    [WorkerRecord(Labels={"org.mobyproject.buildkit.worker.snapshotter": "overlayfs"})],
    engine=True,
)
BUILDKITD = read_facts([WorkerRecord(Labels={"a": "b"})], engine=False)


def request(facts: object = STORE, **options: object) -> control_pb2.SolveRequest:
    return solve_request(
        SolveOptions(**options),  # type: ignore[arg-type]
        facts,  # type: ignore[arg-type]
        ref="r",
        client_id="c",
    )


@pytest.mark.parametrize("facts", [OLD, GRAPH, STORE, BUILDKITD])
def test_both_exporter_forms_are_filled(facts: object) -> None:
    made = request(facts, tags=("a:1", "b"))
    assert made.ExporterDeprecated == made.Exporters[0].Type
    assert dict(made.ExporterAttrsDeprecated) == dict(made.Exporters[0].Attrs)
    assert made.Exporters[0].Attrs["name"] == "docker.io/library/a:1,docker.io/library/b:latest"


def test_engines_store_through_moby_and_buildkitd_through_image() -> None:
    assert request(STORE).Exporters[0].Type == "moby"
    assert request(BUILDKITD).Exporters[0].Type == "image"


def test_a_pushed_image_is_not_unpacked_first() -> None:
    made = request(STORE, push=True, tags=("a:1",)).Exporters[0]
    assert made.Type == "image"
    assert made.Attrs["push"] == "true"
    assert "unpack" not in made.Attrs


def test_layers_are_compressed_fast_unless_told_otherwise() -> None:
    fast = request(STORE).Exporters[0].Attrs
    assert (fast["compression"], fast["compression-level"]) == ("gzip", "1")
    told = request(STORE, output=Output(attrs={"compression": "zstd"})).Exporters[0].Attrs
    assert dict(told) == {"compression": "zstd"}
    assert "compression" not in request(GRAPH).Exporters[0].Attrs


def test_a_push_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one tag"):
        request(BUILDKITD, push=True)


def test_named_contexts_demand_the_capability_and_move_out_of_the_way() -> None:
    tree = MemoryFS({"f": b""})
    attrs = request(named_contexts={"context": tree, "base": "docker-image://x"}).FrontendAttrs
    assert attrs["frontend.caps"] == "moby.buildkit.frontend.contexts+forward"
    assert attrs["context:context"] == "local:_context"
    assert attrs["sharedkey:localdir:_context"]
    assert attrs["context:base"] == "docker-image://x"


@pytest.mark.parametrize(
    ("facts", "options"),
    [
        (OLD, {"ulimits": ("nofile=1:1",)}),
        (OLD, {"shm_size": 1}),
        (OLD, {"cgroup_parent": "x"}),
        (GRAPH, {"push": True, "tags": ("a",)}),
        (GRAPH, {"platforms": ("linux/amd64", "linux/arm64")}),
        (GRAPH, {"sbom": ""}),
        (GRAPH, {"output": Output("oci", "x")}),
        (GRAPH, {"cache_to": ({"type": "registry", "ref": "x"},)}),
        (STORE, {"cache_to": ({"type": "local", "dest": "x"},)}),
        (STORE, {"output": Output("nonsense")}),
        (OLD, {"add_hosts": (("h", "host-gateway"),)}),
    ],
)
def test_what_a_daemon_would_ignore_is_refused(facts: object, options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        request(facts, **options)


def test_attestations_go_only_where_they_can_be_kept() -> None:
    assert "attest:provenance" not in request(GRAPH).FrontendAttrs
    assert request(STORE).FrontendAttrs["attest:provenance"] == "mode=max"


def test_cache_use_is_told_by_absence() -> None:
    assert "no-cache" not in request().FrontendAttrs
    assert request(no_cache=()).FrontendAttrs["no-cache"] == ""
    assert request(no_cache=("a", "b")).FrontendAttrs["no-cache"] == "a,b"


def test_cache_imports_are_given_twice() -> None:
    made = request(cache_from=({"type": "registry", "ref": "x"},))
    assert made.Cache.Imports[0].Attrs["ref"] == "x"
    assert json.loads(made.FrontendAttrs["cache-imports"]) == [
        {"Type": "registry", "Attrs": {"ref": "x"}}
    ]


def test_shared_keys_tell_directories_and_clients_apart() -> None:
    one, two = (SolveOptions(context=MemoryFS({}, identity=name)) for name in ("1", "2"))
    keys = {shared_key(options, client) for options in (one, two) for client in ("a", "b")}
    assert len(keys) == 4
    assert shared_key(one, "a") == shared_key(one, "a")


def vertex(digest: str = "d", **fields: object) -> control_pb2.Vertex:
    made = control_pb2.Vertex(digest=digest, name=f"name {digest}")
    for key in ("started", "completed"):
        if key in fields:
            getattr(made, key).seconds = fields.pop(key)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def state_of(*vertices: control_pb2.Vertex) -> BuildState:
    state = BuildState()
    for one in vertices:
        state.apply(control_pb2.StatusResponse(vertexes=[one]))
    return state


def test_a_vertex_that_opens_again_adds_up_without_the_pause() -> None:
    state = state_of(
        vertex(started=10, completed=11), vertex(started=20), vertex(started=20, completed=25)
    )
    assert state.vertices["d"].state == "done"
    assert state.vertices["d"].elapsed_s == 6


def test_a_late_announcement_does_not_stop_a_running_vertex() -> None:
    assert state_of(vertex(started=1), vertex()).vertices["d"].state == "running"


def test_a_step_stopped_by_anothers_failure_is_canceled() -> None:
    state = state_of(vertex(error="exit code: 137: context canceled", started=1, completed=2))
    assert state.vertices["d"].state == "canceled"


def test_output_cut_anywhere_is_put_together() -> None:
    state = state_of(vertex(started=1))
    for part in ("größe".encode()[:3], "größe".encode()[3:] + b"\nrest"):
        log = control_pb2.VertexLog(vertex="d", stream=1, msg=part)
        state.apply(control_pb2.StatusResponse(logs=[log]))
    assert state.last_lines(state.vertices["d"]) == ["größe", "rest"]


def test_a_group_shows_when_a_strong_member_starts() -> None:
    weak, strong = vertex("w", started=1, cached=True), vertex("s")
    for one, is_weak in ((weak, True), (strong, False)):
        one.progressGroup.id, one.progressGroup.name, one.progressGroup.weak = "g", "G", is_weak
    state = state_of(weak, strong)
    assert [(group.visible, group.state) for group in state.groups()] == [(False, "pending")]
    strong.started.seconds, strong.cached = 2, True
    state.apply(control_pb2.StatusResponse(vertexes=[strong]))
    assert [(group.visible, group.state) for group in state.groups()] == [(True, "cached")]


def test_details_are_json_and_give_lines_step_and_code() -> None:
    text = base64.b64encode(b"FROM x\nRUN false\n").decode()
    source = {"info": {"filename": "D", "data": text}, "ranges": [{"start": {"line": 2}}]}
    prefix = "github.com/moby/buildkit/"
    packed = status_pb2.Status()
    for kind, value in (
        ("errdefs.Source+json", source),
        ("errdefs.Vertex+json", {"digest": "d"}),
        ("gatewayapi.ExitMessage+json", {"Code": 3}),
        ("stack.Stack+json", "odd"),
    ):
        packed.details.add(type_url=prefix + kind, value=json.dumps(value).encode())
    message = 'process "/bin/sh -c false" did not complete successfully: exit code: 3'
    failure = SolveFailure.from_status(2, message, packed.SerializeToString())
    error = translate(failure, state_of(vertex(started=1, error="x")), lambda: None)
    assert isinstance(error, StepFailed)
    assert (error.exit_code, "D:2" in error.message) == (3, True)
    assert ">    2 | RUN false" in error.detail


def test_an_error_vertex_of_a_cache_import_is_not_blamed() -> None:
    bad = vertex("c", error="failed to configure registry cache importer", started=1)
    run = vertex("r", error="executor failed running [false]: exit code: 9", started=2)
    failure = SolveFailure(2, "rpc error: code = Unknown desc = " + run.error)
    error = translate(failure, state_of(run, bad), lambda: None)
    assert "'name r'" in error.message


def test_an_old_engines_message_finds_the_lines() -> None:
    run = vertex("r", error="executor failed running [/bin/sh -c exit 9]: exit code: 9")
    run.name = "[2/2] RUN exit   9"
    error = translate(
        SolveFailure(2, run.error),
        state_of(run),
        lambda: Source("Dockerfile", "FROM x\nRUN exit \\\n  9\n"),
    )
    assert "Dockerfile:2" in error.message
    assert ">    3 |   9" in error.detail


def test_a_lost_connection_is_a_lost_runner() -> None:
    error = translate(SolveFailure(14, "Socket closed"), BuildState(), lambda: None)
    assert isinstance(error, RunnerLost)


def test_the_channel_pings_nobody_and_takes_long_headers() -> None:
    options = dict(transport.CHANNEL_OPTIONS)
    assert not any("keepalive" in name for name in options)
    assert int(options["grpc.max_metadata_size"]) >= 1 << 20


def serve_upgrade(parts: list[bytes]) -> tuple[transport.Dialer, list[bytes]]:
    heard: list[bytes] = []

    def dial() -> socket.socket:
        ours, theirs = socket.socketpair()

        def answer() -> None:
            received = b""
            while b"\r\n\r\n" not in received:
                received += theirs.recv(1000)
            heard.append(received)
            for part in parts:
                theirs.sendall(part)
            theirs.close()

        threading.Thread(target=answer, daemon=True).start()
        return ours

    return dial, heard


def test_an_upgrade_in_pieces_with_bytes_behind_it() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nPRI * HT"
    dial, heard = serve_upgrade([head[n : n + 1] for n in range(len(head))])
    headers = transport.SessionHeaders("id", "key", ("/a/B", "/c/D")).pairs()
    connection, rest = transport.upgrade(dial, "/session", headers)
    while len(rest) < 8:
        rest += connection.recv(100)
    connection.close()
    assert rest == b"PRI * HT"
    assert heard[0].count(b"x-docker-expose-session-grpc-method: ") == 2


def test_a_refused_upgrade_says_what_the_engine_said() -> None:
    dial, _ = serve_upgrade([b"HTTP/1.1 400 Bad Request\r\n\r\n", b'{"message":"no upgrade"}'])
    with pytest.raises(Unavailable, match=r"400 Bad Request: .*no upgrade"):
        transport.upgrade(dial, "/grpc")


def test_an_engine_that_hangs_up_is_unavailable() -> None:
    dial, _ = serve_upgrade([b"HTTP/1."])
    with pytest.raises(Unavailable, match="broke off"):
        transport.upgrade(dial, "/grpc")


def test_logins_are_found_as_docker_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-fake"
    helper.write_text(
        '#!/bin/sh\nread h; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$h\\"}"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    encoded = base64.b64encode(b"user:pa:ss").decode()
    auths = {"https://index.docker.io/v1/": {"auth": encoded}, "r:5": {"identitytoken": "t"}}
    config = {"auths": auths, "credHelpers": {"h.example": "fake"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    logins = DockerConfigLogins(tmp_path / "config.json")
    assert logins("registry-1.docker.io") == Login("user", "pa:ss")
    assert logins("r:5") == Login("", "t")
    assert logins("h.example") == Login("", "h.example")
    assert logins("unknown") == Login()
    assert DockerConfigLogins(tmp_path / "none.json")("x") == Login()
    assert "pa:ss" not in repr(logins("registry-1.docker.io"))


def test_credentials_are_given_and_tokens_left_to_the_daemon() -> None:
    service = AuthService(static_logins({"docker.io": Login("u", "s")}))
    with Peer(service.handlers()) as peer:
        assert peer.unary("/moby.filesync.v1.Auth/GetTokenAuthority").status == 12
        asked = session_pb2.CredentialsRequest(Host="registry-1.docker.io").SerializeToString()
        call = peer.unary("/moby.filesync.v1.Auth/Credentials", asked)
    answer = session_pb2.CredentialsResponse.FromString(call.messages[0])
    assert (answer.Username, answer.Secret) == ("u", "s")


def test_an_agent_answers_reads_and_never_sees_changes(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()

        def agent() -> None:
            connection, _ = listener.accept()
            while data := connection.recv(100):
                seen.append(data)
                connection.sendall(b"\0\0\0\1\x0c")
            connection.close()

        threading.Thread(target=agent, daemon=True).start()
        handlers = SSHService({"default": str(tmp_path / "agent")}).handlers()
        with Peer(handlers) as peer:
            call = peer.open(
                "/moby.sshforward.v1.SSH/ForwardAgent", (("buildkit.ssh.id", "default"),)
            )
            listing, removing = b"\0\0\0\1\x0b", b"\0\0\0\1\x13"
            for part in (listing[:3], listing[3:]):
                peer.send(call, session_pb2.BytesMessage(data=part).SerializeToString())
            first = peer.until_messages(call, 1)
            peer.send(call, session_pb2.BytesMessage(data=removing).SerializeToString(), end=True)
            messages = peer.until_end(call).messages
    assert session_pb2.BytesMessage.FromString(first[0]).data == b"\0\0\0\1\x0c"
    assert session_pb2.BytesMessage.FromString(messages[1]).data == b"\0\0\0\1\x05"
    assert seen == [listing]


def test_committed_stubs_are_those_of_the_schemas() -> None:
    assert codegen(["--check"]) == 0


def test_importing_the_package_loads_no_grpc() -> None:
    code = "import sys, runners.clients.buildkit; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_build_without_its_image_is_an_error() -> None:
    options = SolveOptions(context=MemoryFS({}))
    build = Build(BuildkitdTransport("unix:///nowhere"), OLD, "c", options, None, Cancellation())
    with pytest.raises(SystemFault, match="without an image"):
        build._result({}, Attachments(options))
