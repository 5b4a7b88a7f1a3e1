"""Rows Y-001 to Y-056: the file, its properties, secrets, networks, volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runners.model.errors import Denied
from runners.model.plan import Network
from tasks_service.plans.compile import SecretRequest
from tests.unit.tasks_service.plans.make import compiled, found, options, plan

ONE = "steps: [{cmd: a}]\n"


def test_default_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y-001: acb.yaml is taken where no file is named."""
    from tasks_service.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "acb.yaml").write_text(ONE)
    assert main(["lint"]) == 0
    assert main(["lint", "other.yaml"]) == 2


def test_only_yaml_is_read() -> None:
    """Y-003: JSON is YAML; anything else is not a task file."""
    assert plan('{"steps": [{"cmd": "a"}]}').steps[0].id == "acb_step_0"
    assert found("steps = []\n") == ["1:1 TF410"]


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("", "v1.0.0"), ("version: v1.1.0", "v1.1.0"), ("version: V1.0.0", "v1.0.0"),
        ("version: 1.0-Preview-1", "1.0-preview-1"), ("version: ~", "v1.0.0"),
    ],
)  # fmt: skip
def test_versions(line: str, version: str) -> None:
    """Y-004, Y-020."""
    assert plan(f"{line}\n{ONE}").version == version


@pytest.mark.parametrize("version", ["1.1.0", "v2", "v1.0.0-alpha", "v1.1.0 x", "1.0"])
def test_unknown_versions(version: str) -> None:
    """Y-004, Y-007."""
    problems = compiled(f"version: {version}\n{ONE}").errors
    assert [problem.code for problem in problems] == ["TF502"]
    if version == "1.1.0":
        assert "v1.1.0" in problems[0].suggestion


def test_aliases_need_the_version_text() -> None:
    """Y-005: compared as text, so that V1.1.0 is valid and leaves aliases off."""
    for line, command in (
        ("", "x $ID"), ("version: v1.0.0", "x $ID"), ("version: V1.1.0", "x $ID"),
        ("version: v1.1.0", "x r1"), ("version: 'v1.1.0'", "x r1"),
    ):  # fmt: skip
        done = compiled(f"{line}\nsteps: [{{cmd: 'x $ID'}}]\n")
        assert done.task is not None
        assert done.task.steps[0].kinds["cmd"] == command


def test_the_version_line_is_found_before_yaml() -> None:
    """Y-006: also where it comes out of a value only later."""
    done = compiled('version: {{.Values.v}}\nsteps: [{cmd: "x $ID"}]\n', set_values=["v=v1.1.0"])
    assert done.task is not None
    assert done.task.steps[0].kinds["cmd"] == "x r1"
    assert done.ok


def test_comment_lines_are_no_templates_and_scripts_keep_theirs() -> None:
    """Y-008."""
    text = "# {{ .Values.x.y }} {{ nosuch }}\nsteps:\n- cmd: |\n    x\n    # kept\n"
    done = compiled(text)
    assert done.ok
    assert "# kept" in done.rendered
    assert "nosuch" not in done.rendered


def test_unknown_keys_warn_with_a_near_miss() -> None:
    """Y-009."""
    done = compiled("stepTimout: 5\nsteps:\n- cmd: a\n  retry: 3\n  Timeout: 4\nx-mine: 1\n")
    assert done.ok
    assert [(p.line, p.column, p.code, p.suggestion) for p in done.problems] == [
        (1, 1, "TF408", "did you mean 'stepTimeout'?"),
        (4, 3, "TF408", "did you mean 'retries'?"),
        (5, 3, "TF408", "did you mean 'timeout'?"),
    ]


def test_order_of_work() -> None:
    """Y-010: alias block, aliases, secrets, template, YAML, image aliases."""
    text = (
        "version: v1.1.0\nalias: {values: {tool: 'img:{{.Run.ID}}', s: '{{.Values.v}}'}}\n"
        "secrets: [{id: $s, keyvault: 'env:X'}]\nsteps:\n- cmd: tool {{.Secrets.key}}\n"
    )
    asked: list[Any] = []

    def resolve(requests: Any) -> dict[str, str]:
        asked.extend(requests)
        return {"key": "found"}

    done = compiled(text, set_values=["v=key"], resolve_secrets=resolve)
    assert asked == [SecretRequest("key", "env:X")]
    assert done.task is not None
    assert done.task.steps[0].kinds["cmd"] == "img:r1 found"


@pytest.mark.parametrize("text", ['{{ "" }}', "{{ if false }}steps: []{{ end }}"])
def test_nothing_left_is_an_error(text: str) -> None:
    """Y-011."""
    assert [problem.code for problem in compiled(text).errors] == ["TF302"]


def test_step_timeout() -> None:
    """Y-021, L-02: 600 without, and for 0 or less."""
    for line, timeout in (("", 600), ("stepTimeout: 0", 600), ("stepTimeout: -5", 600),
                          ("stepTimeout: 30", 30), ("stepTimeout: ~", 600)):  # fmt: skip
        assert plan(f"{line}\n{ONE}").steps[0].timeout_s == timeout


@pytest.mark.parametrize(
    ("task", "step", "directory"),
    [
        ("", "", "/workspace"), ("src", "", "/workspace/src"), ("/abs/./x", "", "/abs/x"),
        ("src", "own", "/workspace/own"), ("", "../../etc", "/etc"), ("//a//b", "", "/a/b"),
    ],
)  # fmt: skip
def test_working_directory(task: str, step: str, directory: str) -> None:
    """Y-022, Y-211."""
    text = f"workingDirectory: '{task}'\nsteps: [{{cmd: a, workingDirectory: '{step}'}}]\n"
    assert plan(text).steps[0].working_directory == directory


def test_environment_of_the_task() -> None:
    """Y-023: a step's own entry wins; entries of a file aren't split at commas."""
    text = 'env: ["A=1,2", "B=x=y", "C="]\nsteps: [{cmd: a, env: [B=own, D=4]}, {cmd: b}]\n'
    first, second = plan(text).steps
    assert first.env == (("B", "own"), ("D", "4"), ("A", "1,2"), ("C", ""))
    assert second.env == (("A", "1,2"), ("B", "x=y"), ("C", ""))
    assert found('env: ["A"]\n' + ONE) == ["1:7 TF508"]
    assert found('env: [A=1]\nsteps: [{cmd: a, env: ["B"]}]\n') == ["2:24 TF508"]


def test_environment_of_the_command_line() -> None:
    """Y-023: weaker than the file, and split at commas."""
    done = plan("env: [A=1]\n" + ONE, options=options(env=("A=2,B=3", "C=4=5")))
    assert done.steps[0].env == (("A", "1"), ("B", "3"), ("C", "4=5"))
    for wrong in ("A", "=1", "A=1,2", ""):
        assert [p.code for p in compiled(ONE, options=options(env=(wrong,))).errors] == ["TF508"]


def test_lists_of_the_task() -> None:
    """Y-024, Y-025, Y-026, Y-027, Y-028."""
    done = compiled(
        "version: v1.1.0\nalias: {values: {a: x}}\nsecrets: [{id: s, keyvault: 'env:S'}]\n"
        "networks: [{name: net}]\nvolumes: [{name: v, secret: {f: aGk=}}]\n"
        "steps: [{cmd: $a}, {cmd: b}]\n"
    )
    made = done.require_plan()
    assert (len(made.steps), len(made.networks), len(made.volumes)) == (2, 1, 1)
    assert list(made.secrets) == ["s"]


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{keyvault: 'env:X'}", "TF503"),
        ("{id: 's s', keyvault: 'env:X'}", "TF503"),
        ("{id: s}", "TF505"),
        ("{id: s, keyvault: x}", "TF505"),
        ("{id: s, keyvault: 'http://v.example/secrets/x'}", "TF505"),
        ("{id: s, keyvault: 'https://v.example/keys/x'}", "TF505"),
        ("{id: s, keyvault: 'https://host/secrets/x'}", "TF505"),
        ("{id: s, keyvault: 'env:X', clientID: nope}", "TF506"),
        ("{id: s, keyvault: 'env:X'}, {id: s, keyvault: 'env:X'}", "TF504"),
    ],
)
def test_malformed_secrets(entry: str, code: str) -> None:
    """Y-030, Y-031, Y-032."""
    done = compiled(f"secrets: [{entry}]\n{ONE}")
    assert [problem.code for problem in done.errors] == [code]


@pytest.mark.parametrize(
    "url",
    [
        "https://v.vault.azure.net/secrets/x", "https://v.vault.azure.net/secrets/x/0123/",
        "vault:secret/data/app#key", "env:NAME", "file:path/to", "store:name",
    ],
)  # fmt: skip
def test_sources_of_secrets(url: str) -> None:
    """Y-031, Y-032, Y-036."""
    identity = "01234567-89ab-cdef-0123-456789abcdef"
    text = f"secrets: [{{id: s, keyvault: '{url}', clientID: {identity}}}]\n{ONE}"
    assert compiled(text).ok


def test_all_secrets_at_once_and_one_failure_fails() -> None:
    """Y-033."""
    text = (
        "secrets: [{id: a, keyvault: 'env:A'}, {id: b, keyvault: 'env:B'}]\n"
        "steps: [{cmd: 'x {{.Secrets.a}}{{.Secrets.b}}'}]\n"
    )
    calls: list[list[str]] = []

    def resolve(requests: Any) -> dict[str, str]:
        calls.append([request.id for request in requests])
        return {"a": "1", "b": "2"}

    done = compiled(text, resolve_secrets=resolve)
    assert calls == [["a", "b"]]
    assert done.require_plan().secrets == {"a": "1", "b": "2"}

    def refuse(requests: Any) -> dict[str, str]:
        raise Denied("no access to secret 'b'")

    with pytest.raises(Denied):
        compiled(text, resolve_secrets=refuse)


def test_secrets_in_the_text_and_masked() -> None:
    """Y-034, V-17."""
    text = "secrets: [{id: a, keyvault: 'env:A'}]\nsteps: [{cmd: 'x {{.Secrets.a}}'}]\n"
    done = compiled(text, resolve_secrets=lambda _: {"a": "hush-hush"})
    assert "x hush-hush" in done.rendered
    assert done.mask == ("hush-hush",)
    assert "hush" not in repr(done)
    assert "***" in compiled(text).rendered


def test_nothing_is_resolved_without_the_word() -> None:
    """Y-035."""

    def never(_: Any) -> dict[str, str]:
        raise AssertionError

    assert compiled(ONE, resolve_secrets=never).ok


@pytest.mark.parametrize(
    ("networks", "made", "network"),
    [
        ("", [Network("acb_default_network")], "acb_default_network"),
        ("networks: []", [Network("acb_default_network")], "acb_default_network"),
        ("networks: [{name: n1, driver: overlay, ipv6: true}, {name: n2, skipCreation: true}]",
         [Network("n1", "overlay", ipv6=True), Network("n2", skip_creation=True)], None),
        ("networks: [{name: n1, isDefault: true}, {name: n2, isDefault: true}, {name: n3}]",
         [Network("n1"), Network("n2"), Network("n3")], "n2"),
    ],
)  # fmt: skip
def test_networks(networks: str, made: list[Network], network: str | None) -> None:
    """Y-040 Y-041 Y-042 Y-043 Y-044 Y-045 Y-046."""
    done = plan(f"{networks}\nsteps: [{{cmd: a}}, {{cmd: b, network: host}}]\n")
    assert list(done.networks) == made
    assert [step.network for step in done.steps] == [network, "host"]


def test_an_external_network_is_the_default() -> None:
    """Y-047."""
    text = "networks: [{name: n1, isDefault: true}]\n" + ONE
    done = plan(text, options=options(network="ext"))
    assert done.networks == (Network("n1"), Network("ext", skip_creation=True))
    assert done.steps[0].network == "ext"


@pytest.mark.parametrize(
    "entry", ["{driver: x}", "{name: ''}", "{name: 'a b'}", "{name: a},{name: a}"]
)
def test_malformed_networks(entry: str) -> None:
    """Y-040."""
    assert [p.code for p in compiled(f"networks: [{entry}]\n{ONE}").errors] == ["TF507"]


def test_files_of_volumes_are_exact_bytes() -> None:
    """Y-050, Y-051, Y-052, Y-056."""
    secret = "$(touch x)`id`\\n\\x00"
    text = (
        'volumes:\n- name: v_1-x\n  secret:\n    a.txt: aGk=\n    b: "{{ .Values.s | b64enc }}"\n'
        "    empty: ''\n" + ONE
    )
    (volume,) = plan(text, set_secrets=[f"s={secret}"]).volumes
    assert volume.files == {"a.txt": b"hi", "b": secret.encode(), "empty": b""}


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{secret: {a: aGk=}}", "TF509"), ("{name: 'a b', secret: {a: aGk=}}", "TF509"),
        ("{name: a, secret: {b: aGk=}}, {name: a, secret: {b: aGk=}}", "TF509"),
        ("{name: a}", "TF510"), ("{name: a, secret: {}}", "TF510"),
        ("{name: a, secret: ~}", "TF510"),
        ("{name: a, secret: {a/b: aGk=}}", "TF511"), ("{name: a, secret: {'..': aGk=}}", "TF511"),
        ("{name: a, secret: {a: '!!'}}", "TF512"), ("{name: a, secret: {a: aGk}}", "TF512"),
        ("{name: a, secret: [x]}", "TF412"),
    ],
)  # fmt: skip
def test_malformed_volumes(entry: str, code: str) -> None:
    """Y-050, Y-051."""
    done = compiled(f"volumes: [{entry}]\n{ONE}")
    assert [problem.code for problem in done.errors] == [code]


VOLUME = "volumes: [{name: v, secret: {a: aGk=}}]\n"


def test_mounts() -> None:
    """Y-053, Y-054, Y-055, Y-224."""
    both = "volumeMounts: [{name: v, mountPath: /x}, {name: v, mountPath: /y}]"
    done = plan(f"{VOLUME}steps: [{{cmd: a, {both}}}, {{build: ., {both}}}]\n")
    for step in done.steps:
        assert [(m.name, m.mount_path) for m in step.volume_mounts] == [("v", "/x"), ("v", "/y")]
    old = compiled(f"{VOLUME}steps: [{{cmd: a, volumeMount: {{name: v, mountPath: /x}}}}]\n")
    assert [(m.name, m.mount_path) for m in old.require_plan().steps[0].volume_mounts] == [
        ("v", "/x")
    ]
    assert [problem.code for problem in old.problems] == ["TF522"]


@pytest.mark.parametrize(
    ("mounts", "code"),
    [
        ("[{name: w, mountPath: /x}]", "TF529"), ("[{name: v}]", "TF528"),
        ("[{mountPath: /x}]", "TF528"), ("[{name: v, mountPath: x}]", "TF528"),
        ("[{name: v, mountPath: /x}, {name: v, mountPath: /x}]", "TF528"), ("[~]", "TF414"),
    ],
)  # fmt: skip
def test_malformed_mounts(mounts: str, code: str) -> None:
    """Y-053, Y-054."""
    done = compiled(f"{VOLUME}steps: [{{cmd: a, volumeMounts: {mounts}}}]\n")
    assert [problem.code for problem in done.errors] == [code]


def test_no_mount_on_push() -> None:
    """Y-055."""
    text = f"{VOLUME}steps: [{{push: [a], volumeMounts: [{{name: v, mountPath: /x}}]}}]\n"
    assert [problem.code for problem in compiled(text).errors] == ["TF533"]


def test_limits_are_said() -> None:
    """L-09."""
    for text, code in (
        ("#" * 300_000, "TF102"), ("a: " + "[" * 40 + "]" * 40, "TF404"),
        ("steps: [" + "x," * 30_000 + "]", "TF404"),
    ):  # fmt: skip
        assert [problem.code for problem in compiled(text).errors] == [code]
