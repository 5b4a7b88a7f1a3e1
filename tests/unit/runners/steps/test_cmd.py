from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.model.plan import PlannedStep, VolumeMount
from runners.sandbox import ContainerRequest
from runners.steps import KINDS
from runners.steps.base import SpecProblem
from runners.steps.cmd import request_of
from runners.steps.cmd_flags import FLAGS
from runners.steps.flags import Effect

# Every option of `docker run --help` of Docker 28, and those that hid since.
DOCKER_RUN = re.findall(
    r"\S+",
    """
--add-host --annotation --attach --blkio-weight --blkio-weight-device --cap-add --cap-drop
--cgroup-parent --cgroupns --cidfile --cpu-count --cpu-percent --cpu-period --cpu-quota
--cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus --cpuset-cpus --cpuset-mems --detach
--detach-keys --device --device-cgroup-rule --device-read-bps --device-read-iops
--device-write-bps --device-write-iops --disable-content-trust --dns --dns-opt --dns-option
--dns-search --domainname --entrypoint --env --env-file --expose --gpus --group-add
--health-cmd --health-interval --health-retries --health-start-interval --health-start-period
--health-timeout --hostname --init --interactive --io-maxbandwidth --io-maxiops --ip --ip6
--ipc --isolation --kernel-memory --label --label-file --link --link-local-ip --log-driver
--log-opt --mac-address --memory --memory-reservation --memory-swap --memory-swappiness --mount
--name --net --net-alias --network --network-alias --no-healthcheck --oom-kill-disable
--oom-score-adj --pid --pids-limit --platform --privileged --publish --publish-all --pull
--quiet --read-only --restart --rm --runtime --security-opt --shm-size --sig-proxy
--stop-signal --stop-timeout --storage-opt --sysctl --tmpfs --tty --ulimit --use-api-socket
--user --userns --uts --volume --volume-driver --volumes-from --workdir
""",
)


def parse(text: str) -> ContainerRequest:
    parsed = KINDS["cmd"].parse(text)
    assert parsed.spec is not None, parsed.problems
    return request_of(PlannedStep(id="s", kind="cmd", spec=parsed.spec))


def problem(text: Any) -> SpecProblem:
    parsed = KINDS["cmd"].parse(text)
    assert parsed.spec is None
    return next(p for p in parsed.problems if p.severity == "error")


def test_the_first_word_is_the_image_and_the_rest_its_arguments() -> None:
    request = parse("bash:5 -c 'echo $HOME' --flag")
    assert request.image == "bash:5"
    assert request.args == ("-c", "echo $HOME", "--flag")


def test_a_text_of_many_lines_is_one_command() -> None:
    assert parse("image a\n  b\n").args == ("a", "b")


def test_options_before_the_image_are_honoured() -> None:
    request = parse(
        "-it -e A=1 --env=B=2 -w /x -u 1000 --entrypoint sh -m 64m --cpus 1.5 -p 80:80"
        " -v data:/d:ro --tmpfs /t:size=1m --cap-drop ALL --ulimit nofile=10:20 image"
    )
    assert request.env == (("A", "1"), ("B", "2"))
    assert (request.working_directory, request.user, request.entry_point) == ("/x", "1000", "sh")
    assert request.cpus == "1.5"
    assert request.ports == ("80:80",)
    assert request.volume_mounts == (VolumeMount("data", "/d", read_only=True),)
    assert request.options == {
        "Tty": True,
        "HostConfig.Memory": 64 << 20,
        "HostConfig.Tmpfs": {"/t": "size=1m"},
        "HostConfig.CapDrop": ("ALL",),
        "HostConfig.Ulimits": ({"Name": "nofile", "Soft": 10, "Hard": 20},),
    }


def test_the_text_wins_over_the_step() -> None:
    spec = KINDS["cmd"].parse("-e A=text -w /text image").spec
    step = PlannedStep(
        id="s", kind="cmd", spec=spec, env=(("A", "step"), ("B", "b")), working_directory="/step"
    )
    request = request_of(step)
    assert dict(request.env) == {"A": "text", "B": "b"}
    assert request.working_directory == "/text"


@pytest.mark.parametrize("name", DOCKER_RUN)
def test_every_option_of_docker_run_is_known(name: str) -> None:
    (found,) = [flag for flag in FLAGS if name in flag.names]
    assert found.effect is Effect.HONOURED or found.note or found.effect is Effect.NONE


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.effect is Effect.REFUSED])
def test_a_refused_option_says_why(flag: Any) -> None:
    for name in flag.names:
        value = ["x"] if flag.value else []
        found = problem(" ".join([name, *value, "image"]))
        assert found.code == "unsupported-flag"
        assert found.message.startswith(f"unsupported option '{name}'")
        assert flag.note in found.message


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.effect is Effect.NONE])
def test_an_option_without_effect_is_warned_about(flag: Any) -> None:
    value = ["x"] if flag.value else []
    parsed = KINDS["cmd"].parse(" ".join([flag.names[0], *value, "image"]))
    assert parsed.spec is not None
    assert [p.severity for p in parsed.problems] == ["warning"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-step"),
        ("   ", "empty-step"),
        ("-e A=1", "missing-image"),
        ("-e", "missing-value"),
        ("UPPER/x", "bad-image-reference"),
        ("--privilegde image", "unknown-flag"),
        ("-m lots image", "bad-value"),
        ("-v /etc:/etc image", "unsupported-flag"),
        ("-v ./x:/x image", "unsupported-flag"),
        ("--network host image", "unsupported-flag"),
        ("--network container:x image", "unsupported-flag"),
        ("-v data image", "bad-value"),
        (7, "bad-type"),
    ],
)
def test_what_cannot_be_is_a_problem(text: Any, code: str) -> None:
    assert problem(text).code == code


def test_a_misspelt_option_gets_a_suggestion() -> None:
    assert problem("--memroy 1g image").suggestion == "--memory"


def test_shell_syntax_gets_the_form_that_works() -> None:
    found = problem("-m 64m bash echo 'a' | wc -l")
    assert found.code == "shell-syntax"
    assert found.suggestion == "-m 64m bash sh -c 'echo '\\''a'\\'' | wc -l'"
    assert KINDS["cmd"].parse(found.suggestion).spec.args == ("sh", "-c", "echo 'a' | wc -l")


def test_an_unquoted_shell_script_is_not_wrapped_twice() -> None:
    assert problem("bash sh -c cd /x && make").suggestion == "bash sh -c 'cd /x && make'"


@given(st.text(max_size=80))
def test_parse_never_raises(text: str) -> None:
    parsed = KINDS["cmd"].parse(text)
    assert parsed.spec is not None or parsed.problems
