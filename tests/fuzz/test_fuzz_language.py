"""Any input ends soon in a plan or in problems, never in another exception.

Each input that once broke something stands in ``FOUND`` and is tried on every
run. ``python -m tests.fuzz SECONDS`` goes on looking for more.
"""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks_service.errors import ERROR
from tasks_service.plans.aliases import Aliases, expand, split_block
from tasks_service.plans.compile import Compiled, compile_task
from tasks_service.plans.source import Reporter, SourceText
from tasks_service.plans.version import find_version, without_comments
from tests.fuzz.strategies import ALIAS_TEXTS, TASK_FILES, TEMPLATES

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

FOUND: list[bytes | str] = [
    'steps: [{cmd: "{{.Runsh-base\\n push: [00000000000000000000000000000"}]\n',
    "a: {{ " + "0" * 40 + "x }}",
    "version: v1.1.0\nalias:\n  directive: '\\'\nsteps: [{cmd: a}]\n",
    "{{",
    "{{/*",
    "{{- -}}",
    "{{`",
    "a: \x85b",
    "a: |\n  # x\n{{ end }}",
    "? ",
    "&a",
    "*a",
    "%YAML 1.1\n---\nsteps: []",
    "%YAML 9.9\n---\nsteps: []",
    "%TAG ! tag:x,2000:\n---\nsteps: !a []",
    "steps: [{cmd: !!binary aGk=}]",
    "steps: [{cmd: !!int x, timeout: !!int y}]",
    "steps: [{? {a: b} : c}]",
    "version: v1.1.0\nalias: *x\n",
    "version: v1.1.0\nalias:\n- &a\n",
    "<<: *x",
    "steps: [{<<: [{cmd: a}, {cmd: b}], <<: {id: x}}]",
    "steps:\n- &x {cmd: a}\n- *x\n",
    "secrets: secrets\nsteps: []",
    '{{ template "t.yaml" . }}',
    "{{ .Values | toJson }}{{ .Run }}{{ . }}",
    "steps: [{cmd: 'a\\'}]",
    'steps: [{cmd: "a \\" b"}]',
    "steps: [{build: '-t'}]",
    "steps: [{push: ['']}]",
    "steps: [{id: '\\e[31m', cmd: a}]",
    'steps: [{id: "\\e[31m\\u202e", cmd: "a\\0b"}]',
    "stepTimeout: .inf\nsteps: [{timeout: .nan, cmd: a}]",
    "steps: [{timeout: 1e400, cmd: a}]",
    "volumes: [{name: v, secret: {f: 'é='}}]\nsteps: []",
    "secrets: [{id: s, keyvault: 'https://[x/secrets/y'}]\nsteps: []",
]


def check(text: str | bytes, **arguments: object) -> Compiled:
    start = time.thread_time()
    done = compile_task(text, **arguments)  # type: ignore[arg-type]
    assert time.thread_time() - start < 2.0
    assert (done.plan is None) == any(p.severity == ERROR for p in done.problems)
    decoded = text if isinstance(text, str) else text.decode(errors="replace")
    lines = len(re.split("\r\n|[\r\n]", decoded))
    for problem in done.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.width >= 1
        assert problem.file != "acb.yaml" or problem.line <= lines
        assert "\n" not in problem.headline()
        problem.text()
    return done


@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_what_was_found_before(text: str | bytes) -> None:
    check(text)
    if isinstance(text, str):
        check(f"version: v1.1.0\n{text}", set_values=["a=b"])


@given(TASK_FILES)
@SLOW
def test_files_made_of_likely_parts(text: str) -> None:
    check(text, set_values=["a=b", "t={{.Run.ID}}"], set_secrets=["s=hush-hush"])


@given(st.text(max_size=200))
@SLOW
@example("\u2028a: 1")
def test_any_text(text: str) -> None:
    check(text)


@given(st.binary(max_size=200))
@SLOW
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(TEMPLATES)
@SLOW
def test_any_template(text: str) -> None:
    check(f"steps:\n- cmd: a\n# c\n{text}\n", set_values=["a=b"])


@given(ALIAS_TEXTS, st.sampled_from("$@%~!&"))
@SLOW
def test_the_alias_scanner_loses_and_invents_nothing(text: str, sign: str) -> None:
    aliases = Aliases({"foo": "F$foo", "a": "", "ID": "{{.Run.ID}}"}, sign)
    reporter = Reporter(SourceText("t", text))
    expanded, segments, _ = expand(text, aliases, reporter)
    for offset in range(len(expanded)):
        origin = segments.origin(offset)
        assert 0 <= origin <= len(text)
        if segments.is_copied(offset):
            assert text[origin] == expanded[offset]
    if sign not in text:
        assert expanded == text


@given(ALIAS_TEXTS)
@SLOW
def test_splitting_and_comments_keep_every_other_line(text: str) -> None:
    block, block_map, rest, rest_map = split_block(text)
    assert len(block) + len(rest) == len(text)
    for part, segments in ((block, block_map), (rest, rest_map)):
        for offset in range(len(part)):
            assert text[segments.origin(offset)] == part[offset]
    short, segments = without_comments(text)
    for offset in range(len(short)):
        assert text[segments.origin(offset)] == short[offset]
    find_version(text)


@given(st.text(max_size=120), st.lists(st.text(max_size=20), max_size=3))
@SLOW
def test_any_values(values: str, entries: list[str]) -> None:
    check("steps: [{cmd: 'a {{ .Values }} {{ .ValuesJSON }}'}]\n", values=values,
          set_values=entries, set_secrets=entries)  # fmt: skip
