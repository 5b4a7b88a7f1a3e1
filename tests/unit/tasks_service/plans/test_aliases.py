"""Aliases (V-30 to V-51), rule by rule as the original engine has them."""

from __future__ import annotations

import pytest

from tasks_service.plans.aliases import IMAGE_ALIASES
from tests.unit.tasks_service.plans.make import aliased, compiled, found, options

FOO = "alias: {values: {foo: FOO, bar: BAR, foo2: TWO, x: .Values.q, d: '$foo', dd: '$$'}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$foo", "FOO"),
        ("$foo/x $foo-x $foo.x", "FOO/x FOO-x FOO.x"),
        ("$foo_x", "FOO_x"),
        ("$foo2", "TWO"),
        ("$foo3", "$foo3"),
        ("$foo$bar", "FOOBAR"),
        ("$nope$foo", "$nope$foo"),
        ("$nope$$foo", "$nope$FOO"),
        ("$nope $foo", "$nope FOO"),
        ("${foo} $(foo)", "${foo} $(foo)"),
        ("$$foo", "$foo"),
        ("$$$$", "$$"),
        ("$$$foo", "$FOO"),
        ("$foo$$bar", "FOO$bar"),
        ("a$", "a$"),
        ("$d $dd", "$foo $$"),
        ("$föö", "$föö"),
        ("$Foo", "$Foo"),
        ("$ID $Registry $RegistryName", "r1 reg.example.io reg"),
        ("$Commit $Branch $Date", "c0ffee main 20260102-030405z"),
        ("$OS $Architecture $SharedVolume", "linux amd64 workspace"),
        ("$TaskName", "$TaskName"),
        ("{{$x}}", "QQ"),
        ('{{ $v := "1" }}{{ $v }}', "1"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert aliased(text, alias=FOO, set_values=["q=QQ"]) == expected


def test_another_directive_leaves_dollars_alone() -> None:
    alias = "alias:\n  directive: '@'\n  values: {foo: FOO}\n"
    assert aliased("@foo $foo @@foo $ID @ID", alias=alias) == "FOO $foo @foo $ID r1"


@pytest.mark.parametrize(
    ("alias", "problem"),
    [
        ("alias: {directive: ab}\n", "2:20 TF202"),
        ("alias: {directive: a}\n", "2:20 TF202"),
        ("alias: {values: {a-b: x}}\n", "2:18 TF203"),
        ("alias: {values: [1]}\n", "2:17 TF201"),
        ("alias: {values: {a: [1]}}\n", "2:21 TF201"),
        ("alias: [1]\n", "2:8 TF201"),
        ("alias: {src: x.yaml}\n", "2:14 TF201"),
        ("alias: {src: [x.yaml]}\n", "2:15 TF204"),
        ("alias: {vales: {a: b}}\n", "2:9 TF408"),
        ("alias: {values: {a: 1, a: 2}}\n", "2:24 TF407"),
    ],
)
def test_malformed_alias_blocks(alias: str, problem: str) -> None:
    assert problem in found(f"version: v1.1.0\n{alias}steps: [{{cmd: a}}]\n")


def test_values_keep_their_source_text() -> None:
    alias = "alias: {values: {a: 1.50, b: true, c: ~, d: 0x10}}\n"
    assert aliased("$a $b [$c] $d", alias=alias) == "1.50 true [] 0x10"


def test_the_block_may_stand_anywhere() -> None:
    text = "version: v1.1.0\nsteps:\n- cmd: img $a\nalias:\n  values: {a: one}\nenv: []\n"
    done = compiled(text)
    assert done.task is not None
    assert done.task.steps[0].kinds == {"cmd": "img one"}


def test_a_second_block_right_behind_is_ignored_with_a_warning() -> None:
    alias = "alias:\n  values: {a: one}\nalias:\n  values: {a: two}\n"
    assert aliased("$a", alias=alias) == "one"
    assert found(f"version: v1.1.0\n{alias}steps: [{{cmd: a}}]\n") == ["4:1 TF207"]


def test_sources_are_weaker_than_values_and_later_ones_stronger() -> None:
    files = {"s1": "a: s1\nb: s1\nc: s1\n", "s2": "b: s2\nc: s2\nID: s2\n"}
    alias = "alias: {src: [s1, s2], values: {c: own}}\n"
    read = options(alias_reader=files.__getitem__)
    assert aliased("$a $b $c $ID", alias=alias, options=read) == "s1 s2 own s2"


def test_a_missing_or_malformed_source_is_a_problem() -> None:
    def read(name: str) -> str:
        if name == "gone":
            raise FileNotFoundError(2, "No such file")
        return {"bad": "a: [", "list": "[1]", "name": "a-b: x"}[name]

    for name, code in (("gone", "TF204"), ("bad", "TF205"), ("list", "TF205"), ("name", "TF205")):
        text = f"version: v1.1.0\nalias: {{src: [{name}]}}\nsteps: [{{cmd: a}}]\n"
        done = compiled(text, options=options(alias_reader=read))
        assert [problem.code for problem in done.errors] == [code]


def test_alias_values_are_templates_once_and_never_more() -> None:
    alias = "alias: {values: {g: '{{.Values.q}}'}}\n"
    assert aliased("$g", alias=alias, set_values=["q=Q"]) == "Q"
    # A value can't smuggle a template in: it stays what it is.
    assert aliased("$g", alias=alias, set_values=["q={{.Run.ID}}"]) == "{{.Run.ID}}"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("foo echo", "FOO echo"),
        ("  foo  x", "FOO  x"),
        ("img foo", "img foo"),
        ("foo:5 x", "foo:5 x"),
        ("foo", "FOO"),
        ("OS x", "linux x"),
        ("bash -c x", f"{IMAGE_ALIASES['bash']} -c x"),
    ],
)
def test_bare_first_words(command: str, expected: str) -> None:
    done = compiled(f"version: v1.1.0\n{FOO}steps:\n- cmd: '{command}'\n")
    assert done.task is not None
    assert done.task.steps[0].kinds["cmd"] == expected


def test_image_aliases_can_be_configured() -> None:
    text = "version: v1.1.0\nsteps:\n- cmd: bash -c x\n"
    done = compiled(text, options=options(image_aliases={"bash": "my/bash:1"}))
    assert done.task is not None
    assert done.task.steps[0].kinds["cmd"] == "my/bash:1 -c x"


def test_aliases_are_off_below_the_version_and_that_warns() -> None:
    done = compiled("steps:\n- cmd: img $ID\n")
    assert done.task is not None
    assert done.task.steps[0].kinds == {"cmd": "img $ID"}
    assert [f"{p.line}:{p.column} {p.code}" for p in done.problems] == ["2:12 TF902"]


def test_long_lines_are_not_cut() -> None:
    text = "x" * 70_000
    assert aliased(f"{text} $foo", alias=FOO) == f"{text} FOO"


def test_near_misses_of_aliases_warn() -> None:
    assert found("version: v1.1.0\nsteps:\n- cmd: img $Registyr $HOME $registry\n") == [
        "3:12 TF206",
        "3:28 TF206",
    ]
