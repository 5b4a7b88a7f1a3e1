"""Rows Y-060 to Y-227 and W-01 to W-14: kinds, step properties, the graph."""

from __future__ import annotations

import pytest

from runners.steps.build import BuildSpec
from tests.unit.tasks_service.plans.make import compiled, found, options, plan


def step(text: str) -> object:
    return plan(f"steps: [{text}]\n").steps[0]


def needs(*steps: str) -> list[tuple[str, ...]]:
    return [s.needs for s in plan("steps:\n" + "".join(f"- {s}\n" for s in steps)).steps]


def codes(text: str) -> list[str]:
    return [problem.code for problem in compiled(text).errors]


def test_kinds_of_steps() -> None:
    """Y-060, Y-061, Y-062, Y-072: each kind stands for itself; a build only builds."""
    made = plan("steps: [{build: -t a .}, {cmd: a b}, {push: [a]}]\n")
    assert [s.kind for s in made.steps] == ["build", "cmd", "push"]
    assert not made.steps[0].spec.request.push if hasattr(made.steps[0].spec, "request") else True


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{id: a}", "TF531"), ("{cmd: ~}", "TF531"), ("{cmd: ''}", "TF531"),
        ("{push: []}", "TF531"),
        ("{cmd: a, build: .}", "TF532"), ("{cmd: a, push: [b]}", "TF532"),
        ("{cmd: [a]}", "TF412"), ("{push: a}", "TF412"), ("{push: [~]}", "TF414"), ("~", "TF414"),
        ("x", "TF412"),
    ],
)  # fmt: skip
def test_malformed_kinds(text: str, code: str) -> None:
    """Y-060, Y-061, Y-062."""
    assert code in codes(f"steps: [{text}]\n")


def test_push_names_are_completed_with_latest_only() -> None:
    """Y-061, Y-093."""
    spec = plan("steps: [{push: [a, 'r.io/b:1', a, 'a:latest']}]\n").steps[0].spec
    assert [str(r).rpartition("/")[2] for r in spec.references] == ["a:latest", "b:1"]


def test_build_options() -> None:
    """Y-070, Y-077, Y-078: separate or with an equals sign, quoted or not."""
    text = "steps: [{build: \"-t a:1 --tag=b:2 -f sub/D --build-arg X='1 2' --build-arg Y .\"}]\n"
    spec = plan(text).steps[0].spec
    assert isinstance(spec, BuildSpec)


def test_cache_values() -> None:
    """Y-076, Y-223."""
    for value in ("enabled", "Enabled", "disabled", "''", "~"):
        assert compiled(f"steps: [{{build: ., cache: {value}}}]\n").ok
    assert codes("steps: [{build: ., cache: on}]\n") == ["TF524"]


def test_text_that_wants_a_shell_is_an_error() -> None:
    """Y-100."""
    assert compiled("steps: [{cmd: 'img a | b'}]\n").errors
    assert compiled("steps: [{cmd: \"img sh -c 'a | b'\"}]\n").ok


def test_cmd_may_start_with_options() -> None:
    """Y-101, Y-102."""
    assert compiled("steps: [{cmd: -t bash echo}]\n").ok


def test_ids() -> None:
    """Y-200, W-08."""
    made = plan("steps: [{cmd: a}, {id: B, cmd: b}, {cmd: c, when: [acb_step_0]}]\n")
    assert [s.id for s in made.steps] == ["acb_step_0", "B", "acb_step_2"]
    assert made.steps[2].needs == ("acb_step_0",)


@pytest.mark.parametrize(
    "name",
    ["'a b'", "acb_root", "a/b", "../x", "'-x'", "é", "'😀'", "'" + "x" * 300 + "'", '"a\\nb"'],
)
def test_impossible_ids(name: str) -> None:
    """Y-200."""
    (problem,) = compiled(f"steps: [{{id: {name}, cmd: a}}]\n").errors
    assert problem.code == "TF523"
    assert len(problem.message) < 250


def test_duplicate_ids() -> None:
    """Y-200: generated ones count, too."""
    assert found("steps: [{id: a, cmd: a}, {id: a, cmd: b}]\n") == ["1:31 TF601"]
    assert codes("steps: [{id: acb_step_1, cmd: a}, {cmd: b}]\n") == ["TF601"]


def test_times_and_counts() -> None:
    """Y-202, Y-203, Y-204, Y-205, Y-207."""
    made = plan(
        "stepTimeout: 30\nsteps:\n- {cmd: a}\n- {cmd: a, timeout: 5, startDelay: 2, retries: 3, "
        "retryDelay: 7, repeat: 2}\n- {cmd: a, timeout: -4, retryDelay: 0, startDelay: -1}\n"
        "- {cmd: a, retryDelay: -1}\n- {cmd: a, retryDelay: ~, timeout: 0}\n"
    )
    assert [s.timeout_s for s in made.steps] == [30, 5, 30, 30, 30]
    assert [s.retry_delay_s for s in made.steps] == [5, 7, 0, 5, 5]
    assert [s.start_delay_s for s in made.steps] == [0, 2, 0, 0, 0]
    assert (made.steps[1].retries, made.steps[1].repeat) == (3, 2)
    assert codes("steps: [{cmd: a, retries: -1, repeat: -1}]\n") == ["TF520", "TF520"]


def test_numbers_as_the_original_reads_them() -> None:
    """Y-202: YAML 1.1 integers; a fraction is cut off, with a warning."""
    for text, seconds in (("010", 8), ("0x10", 16), ("1_000", 1000), ("1e2", 100), ("1.9", 1)):
        assert plan(f"steps: [{{cmd: a, timeout: {text}}}]\n").steps[0].timeout_s == seconds
    assert found("steps: [{cmd: a, timeout: 1.9}]\n") == ["1:27 TF413"]
    assert codes("steps: [{cmd: a, timeout: '60'}]\n") == ["TF412"]
    assert codes("steps: [{cmd: a, timeout: 1e40}]\n") == ["TF412"]


def test_truth_values() -> None:
    """Y-208, Y-209, Y-210, Y-219, Y-221."""
    made = plan(
        "steps: [{cmd: a, ignoreErrors: yes, detach: on, keep: y, privileged: True, pull: true},"
        " {cmd: b, ignoreErrors: no, detach: off, keep: n, pull: ~}]\n"
    )
    first, second = made.steps
    names = ("ignore_errors", "detach", "keep", "pull")
    assert [getattr(first, name) for name in (*names, "privileged")] == [True] * 5
    assert [getattr(second, name) for name in names] == [False] * 4
    assert codes("steps: [{cmd: a, keep: 'yes', detach: 1}]\n") == ["TF412", "TF412"]


def test_the_images_own_working_directory() -> None:
    """Y-212."""
    made = step("{cmd: a, disableWorkingDirectoryOverride: true, workingDirectory: x}")
    assert made.working_directory is None  # type: ignore[attr-defined]


def test_container_properties() -> None:
    """Y-206 Y-213 Y-214 Y-215 Y-216 Y-217 Y-220 Y-222 Y-226 Y-227."""
    made = plan(
        "networks: [{name: n}]\nsteps:\n- cmd: a\n  entryPoint: /e\n"
        "  env: ['A=b c', A=$(x), 'E=']\n"
        "  expose: [80, 90/udp]\n  ports: [80, '8080:80', '127.0.0.1:1:2/tcp', 1000-1002]\n"
        "  network: n\n  user: 1000:1000\n  cpus: 1.50\n  retryOnErrors: [oops, 5]\n"
        "  pull: true\n  cmdDownloadRetries: 2\n  cmdDownloadRetryDelay: 3\n"
        "  exitedWith: [0, 3]\n  exitedWithout: [4]\n"
    ).steps[0]
    assert made.env == (("A", "b c"), ("A", "$(x)"), ("E", ""))
    assert made.expose == ("80", "90/udp")
    assert made.ports == ("80", "8080:80", "127.0.0.1:1:2/tcp", "1000-1002")
    assert (made.entry_point, made.network, made.user, made.cpus) == (
        "/e",
        "n",
        "1000:1000",
        "1.50",
    )
    assert made.retry_on_errors == ("oops", "5")
    assert (made.download_retries, made.download_retry_delay_s) == (2, 3)
    assert (made.exited_with, made.exited_without) == ((0, 3), (4,))


def test_scalars_of_any_type_are_text() -> None:
    """Y-216, Y-226: as written, as in the original."""
    made = plan("steps: [{cmd: true, id: 5, ports: [080], cpus: 1.50, user: 007}]\n").steps[0]
    assert (made.id, made.ports, made.cpus, made.user) == ("5", ("080",), "1.50", "007")


def test_no_cpus_are_no_limit() -> None:
    """Y-226: as for `docker run --cpus 0`."""
    assert plan("steps: [{cmd: a, cpus: 0}]\n").steps[0].cpus is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ports: [x]", "TF527"), ("ports: ['99999']", "TF527"), ("ports: [1:2:3:4]", "TF527"),
        ("expose: ['8080:80']", "TF527"), ("cpus: many", "TF526"),
        ("cpus: -1", "TF526"), ("env: ['=x']", "TF508"), ("when: x", "TF412"),
        ("exitedWith: [x]", "TF412"), ("exitedWith: [~]", "TF414"),
    ],
)  # fmt: skip
def test_malformed_properties(text: str, code: str) -> None:
    """Y-214, Y-215, Y-216, Y-226, Y-227."""
    assert codes(f"steps: [{{cmd: a, {text}}}]\n") == [code]


def test_an_environment_entry_without_value_sets_nothing() -> None:
    """Y-214: the original hands the host's value on; there is no host here."""
    done = compiled("steps: [{cmd: a, env: [A]}]\n")
    assert done.require_plan().steps[0].env == ()
    assert [problem.code for problem in done.problems] == ["TF530"]


def test_a_step_has_no_secret() -> None:
    """Y-225."""
    done = compiled("steps: [{cmd: a, secret: x}]\n")
    assert done.ok
    assert "Secrets" in done.problems[0].suggestion


def test_properties_that_mean_nothing_warn() -> None:
    """Y-213, Y-218, Y-221: the original ignores them."""
    done = compiled("steps: [{push: [a], entryPoint: x, isolation: hyperv}]\n")
    assert done.ok
    assert {problem.code for problem in done.problems} >= {"TF534", "TF525"}


def test_the_graph_of_plain_steps() -> None:
    """W-01, W-02: the one above, whatever its own when is."""
    assert needs("{id: a, cmd: x}", "{id: b, cmd: x, when: ['-']}", "{id: c, cmd: x}") == [
        (), (), ("b",),
    ]  # fmt: skip


def test_when() -> None:
    """Y-201, W-03, W-05, W-11: `-` at once; several ids are all needed."""
    assert needs(
        "{id: a, cmd: x, when: ['-']}", "{id: b, cmd: x, when: ['-']}",
        "{id: c, cmd: x, when: [a, b]}", "{id: d, cmd: x, when: []}",
    ) == [(), (), ("a", "b"), ("c",)]  # fmt: skip


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("['-', a]", "TF602"), ("[a, '-']", "TF602"), ("[b]", "TF604"), ("[c]", "TF605"),
        ("[zz]", "TF606"), ("['']", "TF606"), ("[~]", "TF414"),
    ],
)  # fmt: skip
def test_malformed_when(when: str, code: str) -> None:
    """W-04, W-06, W-07, W-09."""
    text = f"steps: [{{id: a, cmd: x}}, {{id: b, cmd: x, when: {when}}}, {{id: c, cmd: x}}]\n"
    assert codes(text) == [code]


def test_a_forward_reference_says_where() -> None:
    """W-07."""
    text = "steps:\n- {id: a, cmd: x, when: [b]}\n- {id: b, cmd: x}\n"
    (problem,) = compiled(text).errors
    assert (problem.line, problem.column) == (2, 26)
    assert "line 3" in problem.message
    assert "earlier steps" in problem.message


def test_an_id_twice_counts_once() -> None:
    """W-14."""
    text = "steps: [{id: a, cmd: x}, {id: b, cmd: x, when: [a, a]}]\n"
    assert plan(text).steps[1].needs == ("a",)
    assert found(text) == ["1:52 TF603"]


def test_a_step_after_a_parallel_block_warns() -> None:
    """W-13."""
    parallel = "- {id: a, cmd: x, when: ['-']}\n- {id: b, cmd: x, when: ['-']}\n"
    text = f"steps:\n{parallel}- {{id: c, cmd: x}}\n"
    (problem,) = compiled(text).problems
    assert (problem.code, problem.line, problem.suggestion) == ("TF901", 4, "when: [a, b]")
    assert compiled(text.replace("c, cmd", "c, when: [a, b], cmd")).problems == ()


def test_image_aliases() -> None:
    """V-30, V-31, V-32, V-33, V-34: configurable, with defaults anyone can pull."""
    from tasks_service.plans.aliases import IMAGE_ALIASES

    assert set(IMAGE_ALIASES) == {"acr", "az", "bash", "curl", "cssc"}
    for name, image in {**IMAGE_ALIASES, "bash": "mine:1"}.items():
        done = compiled(
            f"version: v1.1.0\nsteps: [{{cmd: {name} x}}]\n",
            options=options(image_aliases={name: image}),
        )
        assert done.task is not None
        assert done.task.steps[0].kinds["cmd"] == f"{image} x"


def test_what_comes_before_the_first_step_can_be_named() -> None:
    """W-05, Y-200: `acb_root` is done before anything starts."""
    made = plan(
        "steps: [{cmd: a}, {cmd: b, when: [acb_root]}, {cmd: c, when: [acb_root, acb_step_0]}]\n"
    )
    assert [step.needs for step in made.steps] == [(), (), ("acb_step_0",)]
