"""The pipeline as a whole: all problems at once, at their places, never an exception."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc

import pytest

from tasks_service.errors import InvalidTaskFile
from tasks_service.plans.compile import Compiled
from tests.unit.tasks_service.plans.make import compiled, found

EIGHT = """\
# Every line below the comment moves up while the file is read.
version: v1.1.0
alias:
  values:
    img: a-very-long-image-name:1
env:
  - GOOD=1
  - BAD
steps:
  - id: build
    build: -t app:1 .
    timeout: "60"
  - id: build
    cmd: $img {{ .Values.one }} $img
    retires: 3
    when: [later]
{{- range list 1 2 }}
  # once more, twice
  - cmd: $img {{ . }}
    cache: sometimes
{{- end }}
  - id: later
    cmd: |
      img sh -c "
      # a comment that stays
      true"
    when: [biuld, ~]
    retries: -1
"""


def test_eight_mistakes_in_one_run() -> None:
    errors = compiled(EIGHT, set_values=["one=1"]).problems
    wanted = [f"{p.line}:{p.column} {p.code}" for p in errors if not p.code.startswith("TF9")]
    assert wanted == [
        "8:5 TF508",
        "12:14 TF412",
        "13:9 TF601",
        "15:5 TF408",
        "16:12 TF605",
        "20:5 TF534",
        "20:12 TF524",
        "27:12 TF606",
        "27:19 TF414",
        "28:14 TF520",
    ]


def test_columns_are_those_of_the_file_behind_aliases_and_values() -> None:
    text = (
        "version: v1.1.0\nalias: {values: {l: 'a long text that moves things'}}\n"
        "steps: [{id: $l{{ .Values.x }}$l, cmd: $l, timeout: $l, push: [$l] , cache: no}]\n"
    )
    assert found(text, set_values=["x=much longer than what stands there"]) == [
        "3:14 TF523",
        "3:53 TF412",
        "3:57 TF532",
        "3:77 TF524",
    ]


def test_the_caret_stands_under_the_word() -> None:
    (problem,) = compiled("steps:\n  - cmd: img\n    timout: 5\n").problems
    assert problem.text() == (
        "t.yaml:3:5: warning TF408 a step has no property 'timout'; it is ignored\n"
        "      timout: 5\n"
        "      ^^^^^^ did you mean 'timeout'?"
    )


def test_a_word_inside_a_steps_text_is_pointed_at() -> None:
    text = "steps:\n  - cmd: >-\n      img\n      a | b\n"
    (problem,) = compiled(text).errors
    assert (problem.line, problem.column) == (4, 9)


def test_tabs_before_the_caret_stay_tabs() -> None:
    (problem,) = compiled("steps: [\t{cmd: a,\ttimout: 5}]\n").problems
    assert problem.excerpt().split("\n")[1].startswith("  " + " " * 8 + "\t" + " " * 8 + "\t^")


def test_long_lines_are_cut_around_the_caret() -> None:
    (problem,) = compiled("steps: [{cmd: a " + "a" * 3000 + ", timout: 5}]\n").problems
    line, caret = problem.excerpt().split("\n")
    assert len(line) < 140
    assert line[caret.index("^") :].startswith("timout")


def test_template_errors_do_not_hide_the_rest() -> None:
    text = "steps:\n- cmd: a {{ .Values.x.y }} {{ nosuch }}\n  timout: 5\n- id: a b\n  cmd: c\n"
    assert found(text) == ["2:13 TF301", "2:31 TF301", "3:3 TF408", "4:7 TF523"]


def test_secrets_never_show_in_messages() -> None:
    text = "steps:\n- push: {{ .Values.p }}\n- id: '{{ .Values.p }} x'\n  cmd: a\n"
    done = compiled(text, set_secrets=["p=hush-hush"])
    assert len(done.errors) == 2
    assert "hush" not in "".join(problem.text() for problem in done.problems)
    with pytest.raises(InvalidTaskFile) as caught:
        done.require_plan()
    assert "hush" not in str(caught.value) + caught.value.detail


def test_an_invalid_file_raises_with_all_its_problems() -> None:
    with pytest.raises(InvalidTaskFile) as caught:
        compiled("steps: [{id: a b, cmd: x, retries: -1}]\n").require_plan()
    assert [problem.code for problem in caught.value.problems] == ["TF523", "TF520"]
    assert "and 1 more" in caught.value.message


def test_warnings_do_not_keep_a_file_from_running() -> None:
    done = compiled("steps: [{cmd: a, timout: 5}]\n")
    assert done.ok
    assert done.problems


@pytest.mark.parametrize("text", ["", "\n", "# c\n", "---\n", "steps: []\n", "steps: ~\n", "{}\n"])
def test_files_without_steps_are_empty_plans(text: str) -> None:
    assert compiled(text).require_plan().steps == ()


def corpus() -> list[tuple[str | bytes, str]]:
    """Bad input and the code of its one error."""
    laughs = ["x-0: &a0 [x,x,x,x,x,x,x,x,x]"]
    laughs += [f"x-{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    merges = ["x-0: &m0 {k: v}"]
    merges += [f"x-{i}: &m{i}\n  <<: [*m{i - 1}, *m{i - 1}, *m{i - 1}]" for i in range(1, 20)]
    return [
        ("\n".join(laughs), "TF404"),
        ("\n".join(merges), "TF404"),
        ("a: " + "[" * 2000, "TF404"),
        ("a: " + "{b: " * 2000, "TF404"),
        ("- " * 100_000, "TF404"),
        ("steps: [" + "{cmd: a}," * 25_000 + "]", "TF404"),
        ("x" * 300_000, "TF102"),
        (b"\x00" * 300_000, "TF102"),
        ("a: &a [*a]\n", "TF405"),
        ("a: *nope\n", "TF405"),
        ("a: !!python/object/apply:os.system [x]\n", "TF406"),
        ("a: !ruby/object:X {}\n", "TF406"),
        ("steps: []\n---\nsteps: []\n", "TF403"),
        ("steps: []\nsteps: []\n", "TF407"),
        ("steps:\n- cmd: a\n  cmd: b\n", "TF407"),
        (b"\xef\xbb\xbfsteps: []\n", "TF101"),
        ("steps: []\n".encode("utf-16"), "TF101"),
        ("steps: []\n".encode("utf-16-le"), "TF103"),
        (b"steps: [\xff]\n", "TF101"),
        (b"steps:\x00 []\n", "TF103"),
        ("steps: [\x1b[31m]\n", "TF103"),
        ("steps: ['\ud800']\n", "TF103"),
        ("steps:\n\t- cmd: a\n", "TF402"),
        ("steps: [\n", "TF401"),
        ("steps: {a\n", "TF401"),
        ('steps: "a\n', "TF401"),
        ("? [a]\n: b\nsteps: []\n", "TF409"),
        ("<<: x\nsteps: []\n", "TF409"),
        ("[]\n", "TF410"),
        ("text\n", "TF410"),
        ("5\n", "TF410"),
        ("{{ until 100000000 }}", "TF305"),
        ("{{ if }}", "TF301"),
    ]


@pytest.mark.parametrize(("text", "code"), corpus(), ids=range(len(corpus())))
def test_bad_input_is_one_clear_line_soon(text: str | bytes, code: str) -> None:
    start = time.process_time()
    done = compiled(text)
    spent = time.process_time() - start
    assert [problem.code for problem in done.errors] == [code]
    (problem,) = done.errors
    assert "\n" not in problem.headline()
    assert problem.headline().isprintable()
    assert len(problem.headline()) < 300
    # Ten times the 100 ms that are promised: the machine may be busy.
    assert spent < 1.0


def many_mistakes() -> dict[str, str]:
    """Files whose every line is near to many other lines."""
    return {
        "properties": "steps:\n" + "".join(f"- cmd: a\n  tim{i}out: 1\n" for i in range(3000)),
        "when": "steps:\n"
        + "".join(f"- {{cmd: a, id: st{i}, when: [stt{i}]}}\n" for i in range(1800)),
        "images": "steps:\n"
        + "".join(f"- push: [r/app{i}:a]\n- build: -t r/aap{i}:a .\n" for i in range(1800)),
        "networks": "networks:\n"
        + "".join(f"- name: net{i}\n" for i in range(2500))
        + "steps:\n"
        + "".join(f"- {{cmd: a, network: nett{i}}}\n" for i in range(2000)),
        "aliases": "version: v1.1.0\nalias:\n  values:\n"
        + "".join(f"    abcdef{i}: x\n" for i in range(2000))
        + "steps:\n"
        + "".join(f"- cmd: a $abcdeg{i}\n" for i in range(2000)),
        "growth": "version: v1.1.0\nalias:\n  values:\n    a: "
        + "x" * 60_000
        + "\nsteps:\n- cmd: img "
        + "$a " * 50_000
        + "\n",
    }


@pytest.mark.parametrize("name", many_mistakes())
def test_many_mistakes_cost_what_their_number_costs(name: str) -> None:
    text = many_mistakes()[name]
    start = time.process_time()
    assert compiled(text).problems
    # Each compared with each took half a minute and more.
    assert time.process_time() - start < 2.0


def test_aliases_that_grow_without_end_are_told_where() -> None:
    assert found(many_mistakes()["growth"]) == ["6:66 TF305"]


def test_bad_input_stays_small() -> None:
    worst = [text for text, code in corpus() if code in {"TF404", "TF305"}]
    tracemalloc.start()
    try:
        for text in worst:
            compiled(text)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_time_grows_with_the_file_only() -> None:
    def spent(steps: int) -> float:
        text = "version: v1.1.0\nsteps:\n" + "".join(
            f"- id: s{i}\n  cmd: img $ID {{{{.Run.ID}}}} {i}\n  when: ['-']\n" for i in range(steps)
        )
        best = 9.9
        for _ in range(3):
            start = time.process_time()
            assert compiled(text).ok
            best = min(best, time.process_time() - start)
        return best

    # Quadratic work would take 16 times as long.
    assert spent(1200) < 9 * spent(300)


def test_the_language_loads_nothing_heavy() -> None:
    code = (
        "import sys, tasks_service.plans.compile, tasks_service.plans.views.plan_json\n"
        "bad = {'docker', 'grpc', 'celery', 'sqlalchemy', 'rich', 'yaml', 'gotpl', 'httpx2'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_compiled_shows_no_secret() -> None:
    text = "steps: [{cmd: 'x {{.Values.p}}', env: ['P={{.Values.p}}']}]\n"
    done: Compiled = compiled(text, set_secrets=["p=hush-hush"])
    assert "hush" not in repr(done)
