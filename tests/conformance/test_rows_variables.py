"""Rows V-01 to V-86: run variables, aliases, values, templates."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tasks_service.plans.variables import RunVariables, run_date
from tests.unit.tasks_service.plans.make import aliased, compiled, found

ALL = RunVariables(
    id="ca1", registry="reg.example.io", commit="c0ffee", branch="main", repository="repo",
    git_tag="v1", triggered_by="push", task_name="task", shared_volume="vol", date="d", os="linux",
    os_version="13", architecture="amd64",
)  # fmt: skip


def rendered(text: str, **arguments: object) -> str:
    done = compiled(text, **arguments)
    assert not done.render_failed, done.problems
    return done.rendered


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Run.ID", "ca1"),  # V-01
        ("Run.SharedVolume", "vol"),  # V-02
        ("Run.Registry", "reg.example.io"),  # V-03
        ("Run.RegistryName", "reg"),  # V-04
        ("Run.Date", "d"),  # V-05
        ("Run.OS", "linux"),  # V-06
        ("Run.Architecture", "amd64"),  # V-07
        ("Run.Commit", "c0ffee"),  # V-08
        ("Run.Branch", "main"),  # V-09
        ("Run.TaskName", "task"),  # V-10
        ("Run.Repository", "repo"),  # V-11
        ("Run.GitTag", "v1"),  # V-12
        ("Run.TriggeredBy", "push"),  # V-13
        ("Run.OSVersion", "13"),  # V-14
        ("Build.ID", "ca1"),  # V-15
        ("Values.k", "v"),  # V-16
    ],
)
def test_variables(name: str, value: str) -> None:
    assert rendered(f"a: {{{{ .{name} }}}}\n", variables=ALL, set_values=["k=v"]) == f"a: {value}\n"


@pytest.mark.parametrize(
    "name",
    ["ID", "SharedVolume", "Registry", "RegistryName", "Date", "OS", "Architecture", "Commit",
     "Branch"],
)  # fmt: skip
def test_variables_with_an_alias(name: str) -> None:
    """V-01 V-02 V-03 V-04 V-05 V-06 V-07 V-08 V-09."""
    assert aliased(f"${name}", variables=ALL) == ALL.template_data()[name]


@pytest.mark.parametrize("name", ["TaskName", "Repository", "GitTag", "TriggeredBy", "OSVersion"])
def test_variables_without_an_alias(name: str) -> None:
    """V-10, V-11, V-12, V-13, V-14."""
    assert aliased(f"${name}", variables=ALL) == f"${name}"


def test_date_and_defaults() -> None:
    """V-05, V-06, V-07, V-08, V-09: UTC; what is unknown is empty."""
    assert run_date(datetime(2022, 4, 8, 12, 28, 50, tzinfo=UTC)) == "20220408-122850z"
    fresh = RunVariables()
    assert re.fullmatch(r"\d{8}-\d{6}z", fresh.date)
    assert (fresh.commit, fresh.branch, fresh.os) == ("", "", "linux")


def test_json_of_values_and_run() -> None:
    """V-18: compact, sorted, one shell word."""
    for entry, expected in (
        ([], "'{}'"),
        (["x=it's"], '\'{"x":"it\'"\'"\'s"}\''),
        (["b=<&>", "a=1"], '\'{"a":"1","b":"\\u003c\\u0026\\u003e"}\''),
    ):
        assert rendered("a: {{ .ValuesJSON }}\n", set_values=entry) == f"a: {expected}\n"
    assert '"ID":"ca1"' in rendered("a: {{ .RunJSON }}\n", variables=ALL)


def test_alias_block() -> None:
    """V-40 V-43 V-44 V-45 V-46 V-47 V-48 V-49 V-51."""
    alias = "alias:\n  values: {a: '{{.Run.ID}}', b: $a, id: key}\n"
    text = "$a/$a-$a_x $ax $(date) ${VAR} $a$a $no$a $b $$a"
    assert aliased(text, alias=alias) == "r1/r1-r1_x $ax $(date) ${VAR} r1r1 $no$a $a $a"
    done = compiled(f"version: v1.1.0\n{alias}steps:\n- id: $id\n  env: [$id=$a] # $a\n  cmd: x\n")
    assert done.ok
    assert done.require_plan().steps[0].env == (("key", "r1"),)


def test_where_the_alias_block_ends() -> None:
    """V-50: at the next key at the start of a line."""
    text = "version: v1.1.0\nalias:\n  values:\n    a: one\n\nsteps:\n- cmd: x $a\n"
    done = compiled(text)
    assert done.task is not None
    assert done.task.steps[0].kinds["cmd"] == "x one"


def test_alias_sources_and_precedence() -> None:
    """V-35, V-41, V-42."""
    files = {"s1.yaml": "a: f1\nb: f1\n", "s2.yaml": "b: f2\nRegistry: over\n"}
    alias = "alias: {src: [s1.yaml, s2.yaml], values: {a: own}}\n"
    from tests.unit.tasks_service.plans.make import options

    read = options(alias_reader=files.__getitem__)
    assert aliased("$a $b $Registry", alias=alias, options=read) == "own f2 over"
    text = f"version: v1.1.0\n{alias}steps: [{{cmd: a x}}]\n"
    done = compiled(text, options=read)
    assert done.task is not None
    assert done.task.steps[0].kinds["cmd"] == "own x"


VALUES = "a:\n  b: deep\n  c: 1\nlist: [x, true]\nnum: 1.0\nf: 1e3\nt: yes\nday: 2020-01-01\n"


def test_values_file() -> None:
    """V-60, V-16."""
    text = "{{ .Values.a.b }} {{ .Values.list }} {{ index .Values.list 0 }} {{ .Values.num }} "
    text += "{{.Values.f}} {{.Values.t}} {{.Values.a}} {{.Values.day}}"
    assert rendered(text, values=VALUES) == "deep [x true] x 1 1000 true map[b:deep c:1] 2020-01-01"


def test_set() -> None:
    """V-61, V-63: flat, text, no commas, no dots; the last wins and replaces whole keys."""
    text = '{{ .Values.z }}|{{ .Values.a }}|{{ index .Values "a.b" }}|{{ .Values.x }}'
    given = ["z=0", "z=1=2", "a.b=z", "x=1,y=2"]
    assert rendered(text, values="a: {b: 1}\n", set_values=given) == "1=2|map[b:1]|z|1,y=2"
    assert rendered("{{ .Values.a }}", values="a: {b: 1}\n", set_values=["a=s"]) == "s"


@pytest.mark.parametrize("entry", ["x", "=v", ""])
def test_malformed_set(entry: str) -> None:
    """V-62."""
    assert [p.code for p in compiled("steps: []\n", set_values=[entry]).errors] == ["TF304"]


def test_set_secret() -> None:
    """V-64: a value like any other, never shown."""
    done = compiled("steps: [{cmd: 'x {{.Values.p}}'}]\n", set_secrets=["p=hush-hush"])
    assert "x hush-hush" in done.rendered
    assert done.mask == ("hush-hush",)
    assert done.require_plan().mask == ("hush-hush",)
    assert "hush" not in repr(done)
    (problem,) = compiled("steps: []\n", set_secrets=["hush-hush"]).errors
    assert problem.code == "TF304"


@pytest.mark.parametrize(
    ("text", "position"),
    [("a: [\n", "1:5"), ("- 1\n", "1:1"), ("a: *x\n", "1:4"), (b"\xff\n", "1:1")],
)
def test_malformed_values_files(text: str | bytes, position: str) -> None:
    """V-60."""
    (problem,) = compiled("steps: []\n", values=text, values_file="v.yaml").errors
    assert problem.file == "v.yaml"
    assert f"{problem.line}:{problem.column}" == position


def test_templates() -> None:
    """V-80, V-81, V-83, V-86 (see also test_template.py)."""
    text = (
        "{{- range $i, $e := list 1 2 }}{{ if eq $i 0 }}a{{ else }}b{{ end }}{{ end -}}\n"
        '{{ .Values.none | b64enc }}{{ "x" | b64enc }} {{ semver "1.2.3" }}'
    )
    assert rendered(text) == "abeA== 1.2.3"
    assert [p.code for p in compiled('a: {{ env "HOME" }}\n').errors] == ["TF301"]


def test_missing_keys() -> None:
    """V-82, V-84: nothing; an error one level deeper, at its place."""
    assert rendered("a: '{{.Values.x}}{{.Run.Nope}}{{.Nope}}<no value>'\n") == "a: '<no value>'\n"
    assert found("# c\nb: 1\na: {{ .Values.x.y }}\nsteps: []\n") == [
        "2:1 TF408", "3:1 TF408", "3:7 TF301",
    ]  # fmt: skip


def test_rendering_comes_before_yaml() -> None:
    """V-85: a value may start with a template, and become any YAML."""
    text = "steps:\n- cmd: {{ .Values.c }}\n  timeout: {{ .Values.t }}\n"
    done = compiled(text, set_values=["c=img x", "t=7"])
    assert done.require_plan().steps[0].timeout_s == 7
