"""Plans and problems as people and programs see them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tasks_service.plans.compile import compile_task
from tasks_service.plans.masking import forms, mask_text
from tasks_service.plans.variables import RunVariables
from tasks_service.plans.views.diagnostics import FORMATS
from tasks_service.plans.views.layers import layered, reduced_needs
from tasks_service.plans.views.plan_json import plan_json
from tasks_service.plans.views.svg import plan_svg
from tasks_service.plans.views.text import headline, plan_mermaid, plan_tree
from tests.unit.tasks_service.plans.make import compiled

ROOT = Path(__file__).parents[4]

TEXT = """\
version: v1.1.0
networks: [{name: net, isDefault: true}]
volumes: [{name: v, secret: {f: aGk=}}]
secrets: [{id: s, keyvault: "env:S"}]
steps:
  - id: app
    build: -t $Registry/app:$ID .
    when: ["-"]
  - id: "<checks>"
    build: -t checks checks
    when: ["-"]
"""
DEMO = """\
version: v1.1.0
env: [A=1]
steps:
  - {id: app, build: -t $Registry/app:$ID ., when: ["-"]}
  - {id: checks, build: -t checks checks, when: ["-"]}
  - {id: shop, cmd: $Registry/app:$ID, detach: true, when: [app], env: [B=2], ports: [80]}
  - {id: smoke, cmd: checks "a <b>", when: [shop, checks, app], retries: 5, retryDelay: 0}
  - {push: ["$Registry/app:$ID"], timeout: 9}
"""


def test_plan_data() -> None:
    data = plan_json(compiled(DEMO))
    assert list(data) == ["version", "steps", "networks", "volumes", "secrets"]
    assert data["version"] == "v1.1.0"
    assert data["steps"][2] == {
        "id": "shop", "kind": "cmd", "needs": ["app"], "timeout": 600,
        "network": "acb_default_network", "env": {"B": "2", "A": "1"},
        "cmd": "reg.example.io/app:r1", "detach": True, "ports": ["80"],
    }  # fmt: skip
    assert data["steps"][3]["retryDelay"] == 0
    assert data["steps"][4]["timeout"] == 9
    assert data["steps"][4]["push"] == ["reg.example.io/app:r1"]
    assert json.loads(json.dumps(data)) == data


def test_plan_data_of_shared_things_holds_no_content() -> None:
    data = plan_json(compiled(TEXT.replace('"<checks>"', "checks")))
    assert data["networks"] == [
        {"name": "net", "driver": "bridge", "ipv6": False, "skipCreation": False}
    ]
    assert data["volumes"] == [{"name": "v", "secret": ["f"]}]
    assert data["secrets"] == [{"id": "s", "keyvault": "env:S"}]


def test_plan_data_is_masked() -> None:
    text = "env: ['P={{.Values.p}}']\nsteps: [{cmd: 'x {{.Values.p | b64enc}}'}]\n"
    shown = json.dumps(plan_json(compiled(text, set_secrets=["p=hush-hush"])))
    assert "hush" not in shown
    assert shown.count("***") == 2


def test_tree() -> None:
    lines = plan_tree(plan_json(compiled(DEMO))).split("\n")
    assert lines[0] == "5 steps, up to 2 at once, version v1.1.0"
    assert lines[1].startswith("├─ app  build: -t reg.example.io/app:r1 .")
    assert "(also after checks; 5 retries)" in lines[3]


def test_trees_of_long_chains_do_not_nest_without_end() -> None:
    text = "steps:\n" + "- cmd: a\n" * 1500
    assert len(plan_tree(plan_json(compiled(text))).split("\n")) == 1501


def test_mermaid_escapes() -> None:
    chart = plan_mermaid(plan_json(compiled(DEMO)))
    assert chart.startswith("flowchart TD\n")
    assert "checks #quot;a #lt;b#gt;#quot;" in chart
    assert "s1 --> s3" in chart
    assert "s0 --> s3" not in chart


def test_svg_is_one_whole_picture() -> None:
    picture = plan_svg(plan_json(compiled(DEMO)), "demo <1>")
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"app", "checks", "shop", "smoke", "acb_step_4"} <= set(texts)
    assert "prefers-color-scheme:dark" in picture
    assert "<script" not in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("steps", [0, 1, 600])
def test_svg_of_any_size(steps: int) -> None:
    text = "steps:\n" + "".join(f"- {{id: s{i}, cmd: a, when: ['-']}}\n" for i in range(steps))
    ElementTree.fromstring(plan_svg(plan_json(compiled(text))))


def test_boxes_of_the_picture_name_what_matters() -> None:
    text = (
        "steps:\n"
        "- build: --no-cache -t reg.example:5000/team/app:1 --tag=app:2 .\n"
        "- cmd: reg.example/base/busybox:1.36 sh -c 'wget http://app:80/x'\n"
        "- push: [reg.example:5000/team/app:1]\n"
        "- cmd: bash " + "x" * 60 + "\n"
        "- build: .\n"
    )
    steps = plan_json(compiled(text))["steps"]
    assert [headline(step, 48) for step in steps] == [
        "team/app:1 +1",
        "base/busybox:1.36 sh -c 'wget http://app:80/x'",
        "team/app:1",
        "bash " + "x" * 42 + "…",
        ".",
    ]


def test_the_picture_in_the_readme_is_that_of_the_demo() -> None:
    text = (ROOT / "examples/demo-app/acb.yaml").read_text()
    plan = compile_task(text, variables=RunVariables(registry="registry.example"))
    picture = (ROOT / "docs/img/plan.svg").read_text()
    assert plan_svg(plan_json(plan), "acb.yaml") == picture, "run make docs"


def test_redundant_edges_are_left_out_of_pictures() -> None:
    steps = [("a", ()), ("b", ("a",)), ("c", ("a", "b"))]
    assert reduced_needs(steps) == {"a": (), "b": ("a",), "c": ("b",)}


def test_long_edges_bend_in_every_layer() -> None:
    steps = [("a", ()), ("b", ("a",)), ("c", ("b",)), ("x", ()), ("d", ("c", "x"))]
    graph = layered(steps)
    assert [len(layer) for layer in graph.layers] == [2, 2, 2, 1]
    assert max(len(chain) for chain in graph.chains) == 4


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_problems_in_every_form(form: str) -> None:
    assert isinstance(FORMATS[form](()), str)


def test_json_and_sarif_and_github() -> None:
    problems = compiled("steps:\n- cmd: a\n  timout: 5\n- {id: a b, cmd: x}\n").problems
    first = json.loads(FORMATS["json"](problems))[0]
    assert (first["file"], first["line"], first["column"], first["code"]) == (
        "t.yaml", 3, 3, "TF408",
    )  # fmt: skip
    log = json.loads(FORMATS["sarif"](problems))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    assert [result["level"] for result in run["results"]] == ["warning", "error"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["TF408", "TF523"]
    lines = FORMATS["github"](problems).split("\n")
    assert lines[0].startswith("::warning file=t.yaml,line=3,col=3,title=TF408::a step has no")
    assert FORMATS["text"](problems).endswith("1 error, 1 warning")


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_masking_knows_the_usual_forms(offset: int) -> None:
    import base64
    from urllib.parse import quote

    secret = 'pa ss/w"örd+1'
    data = secret.encode()
    texts = [
        secret, quote(secret), data.hex(), data.hex().upper(), json.dumps(secret),
        base64.b64encode(b"xyz"[:offset] + data + b"tail").decode(),
    ]  # fmt: skip
    for text in texts:
        assert "***" in mask_text(f"before {text} after", [secret]), text
    assert mask_text("nothing here", [secret]) == "nothing here"
    assert forms("ab") == forms("ab")
    assert mask_text("ab", ["ab"]) == "ab"
