from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.backends.base import SandboxRequest
from runners.backends.fake import FakeBackend
from runners.model.cancellation import Cancellation
from runners.model.errors import InvalidInput
from runners.model.plan import PlannedStep
from runners.sandbox import BuildRequest, BuildSecret
from runners.steps import KINDS, build_flags, cmd_flags
from runners.steps.base import SpecProblem
from runners.steps.build import request_of
from runners.steps.build_flags import FLAGS
from runners.steps.flags import Effect
from tests.contract.commands import Recorder

# Every option of `docker build --help`, with and without BuildKit, of Docker 28.
DOCKER_BUILD = re.findall(
    r"\S+",
    """
--add-host --allow --annotation --attest --build-arg --build-context --builder --cache-from
--cache-to --call --cgroup-parent --check --compress --cpu-period --cpu-quota --cpu-shares
--cpuset-cpus --cpuset-mems --debug --disable-content-trust --file --force-rm --iidfile
--isolation --label --load --memory --memory-swap --metadata-file --network --no-cache
--no-cache-filter --output --platform --policy --progress --provenance --pull --push --quiet
--rm --sbom --secret --security-opt --shm-size --squash --ssh --stream --tag --target --ulimit
""",
)
DOCS = Path(__file__).resolve().parents[4] / "docs"


def parse(text: str, env: tuple[tuple[str, str], ...] = ()) -> BuildRequest:
    parsed = KINDS["build"].parse(text)
    assert parsed.spec is not None, parsed.problems
    return request_of(PlannedStep(id="s", kind="build", spec=parsed.spec, env=env))


def problem(text: Any) -> SpecProblem:
    parsed = KINDS["build"].parse(text)
    assert parsed.spec is None
    return next(p for p in parsed.problems if p.severity == "error")


@pytest.mark.parametrize(
    "text",
    [
        "-t a/b:1 -f D .",
        "--tag=a/b:1 --file=D .",
        "--image a/b:1 --file D .",
        "-ta/b:1 -fD .",
        ". -t 'a/b:1' -f \"D\"",
    ],
)
def test_every_spelling_of_a_flag_means_the_same(text: str) -> None:
    request = parse(text)
    assert (request.tags, request.dockerfile, request.context) == (("a/b:1",), "D", ".")


def test_a_tag_without_version_is_latest_and_doubles_go() -> None:
    assert parse("-t localhost:5000/a -t localhost:5000/a:latest .").tags == (
        "localhost:5000/a:latest",
    )


def test_a_switch_right_before_the_context_is_no_value() -> None:
    request = parse("--no-cache --pull https://host/x.git#v1:dir")
    assert request.context == "https://host/x.git#v1:dir"
    assert request.no_cache == ()
    assert request.pull


def test_build_arguments_without_value_take_the_step_env_or_go() -> None:
    request = parse("--build-arg A=1 --build-arg B --build-arg C .", env=(("B", "b"),))
    assert request.build_args == (("A", "1"), ("B", "b"))


def test_values_keep_their_blanks_and_equal_signs() -> None:
    request = parse("--build-arg 'A=x y=z' --label \"n=a b\" .")
    assert request.build_args == (("A", "x y=z"),)
    assert request.labels == (("n", "a b"),)


def test_secrets_come_from_the_plan_a_file_or_the_env() -> None:
    request = parse(
        "--secret id=a --secret id=b,src=f --secret type=env,id=c,env=V .", env=(("V", "v"),)
    )
    assert request.secrets == (
        BuildSecret("a"),
        BuildSecret("b", path="f"),
        BuildSecret("c", value="v"),
    )


def test_a_secret_of_a_variable_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="variable V"):
        parse("--secret id=c,env=V .")


@pytest.mark.parametrize(
    ("text", "provenance", "sbom"),
    [
        ("", "mode=max", None),
        ("--provenance=false", None, None),
        ("--provenance mode=min --sbom true", "mode=min", ""),
        ("--attest type=provenance,mode=min --attest type=sbom", "mode=min", ""),
    ],
)
def test_attestations(text: str, provenance: str | None, sbom: str | None) -> None:
    request = parse(f"{text} .")
    assert (request.provenance, request.sbom) == (provenance, sbom)


def test_caches_live_in_registries() -> None:
    request = parse("--cache-from r/x:c --cache-to type=registry,ref=r/x:c,mode=max .")
    assert request.cache_from == ({"type": "registry", "ref": "r/x:c"},)
    assert request.cache_to == ({"type": "registry", "ref": "r/x:c", "mode": "max"},)
    assert problem("--cache-to type=local,dest=/x .").code == "unsupported-flag"


def test_push_pushes_every_tag_after_the_build() -> None:
    spec = KINDS["build"].parse("--push -t a:1 -t b:1 .").spec
    sandbox = FakeBackend().open(SandboxRequest("r"), Cancellation())
    step = PlannedStep(id="s", kind="build", spec=spec)
    outcome = KINDS["build"].execute(step, sandbox, Recorder(), Cancellation())
    assert [image.reference for image in outcome.pushed] == ["a:1", "b:1"]


def test_platforms_sizes_and_hosts() -> None:
    request = parse("--platform linux/amd64,linux/arm64 --shm-size 64m --add-host a:1.2.3.4 .")
    assert request.platforms == ("linux/amd64", "linux/arm64")
    assert request.shm_size == 64 << 20
    assert request.add_hosts == (("a", "1.2.3.4"),)


@pytest.mark.parametrize("name", DOCKER_BUILD)
def test_every_option_of_docker_build_is_known(name: str) -> None:
    assert len([flag for flag in FLAGS if name in flag.names]) == 1


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.effect is Effect.REFUSED])
def test_a_refused_flag_says_why(flag: Any) -> None:
    for name in flag.names:
        found = problem(" ".join([name, *(["x"] if flag.value else []), "."]))
        assert found.code == "unsupported-flag"
        assert f"'{name}'" in found.message
        assert flag.note in found.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("-t x", "missing-context"),
        (". extra", "extra-word"),
        ("-", "unsupported-flag"),
        ("-f - .", "unsupported-flag"),
        ("-t UPPER .", "bad-image-reference"),
        ("-t x@sha256:" + "a" * 64 + " .", "bad-image-reference"),
        ("--frobnicate .", "unknown-flag"),
        ("--platform linux .", "bad-value"),
        ("--network bridge .", "bad-value"),
        ("--secret src=x .", "bad-value"),
        ("--shm-size big .", "bad-value"),
        ("--add-host x .", "bad-value"),
        ("--pull=maybe .", "bad-value"),
        ("--push .", "missing-tag"),
        ("-o type=local,dest=x .", "unsupported-flag"),
        ("-t x . && echo", "shell-syntax"),
        ("-t 'x .", "unclosed-quote"),
        (["."], "bad-type"),
    ],
)
def test_what_cannot_be_is_a_problem(text: Any, code: str) -> None:
    assert problem(text).code == code


@pytest.mark.parametrize(
    ("name", "page"),
    [("build-flags.md", build_flags.flags_page), ("cmd-flags.md", cmd_flags.flags_page)],
)
def test_the_page_of_flags_is_what_the_table_says(name: str, page: Any) -> None:
    assert (DOCS / name).read_text() == page()


@given(st.text(max_size=80))
def test_parse_never_raises(text: str) -> None:
    parsed = KINDS["build"].parse(text)
    assert parsed.spec is not None or parsed.problems
