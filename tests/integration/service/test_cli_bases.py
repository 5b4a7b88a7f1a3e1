"""The commands of base images against a real server; builds and registry by hand."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from runners.model.status import RunStatus
from tasks_service.model.cascade import Member, MemberStatus
from tasks_service.model.run import Cause, NewRun, RunEnd, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tests.integration.service.conftest import CommandLine, Service

BASE, LIB, APP = (f"registry.example/{name}:1" for name in ("base", "lib", "app"))
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def run(service: Service, task: str, base: str, image: str, digest: str, cause: Cause) -> str:
    """Have one good run of a task."""
    store = service.store
    name = f"r{task}{digest[-3:]}{cause.kind}"
    store.runs.accept(NewRun(RunRequest(command="x"), task=task, cause=cause), run_id=name)
    claim = store.leases.claim("default", owner="w", lease_s=60)
    assert claim is not None
    record = {
        "baseImages": [{"reference": base, "role": "runtime", "digest": digest}],
        "outputImages": [{"reference": image, "digest": f"{digest[:-1]}c", "size": 1}],
    }
    store.leases.finish(name, claim.fence, RunEnd(RunStatus.SUCCEEDED, record))
    return name


@pytest.fixture(scope="module")
def moved(service: Service) -> None:
    """``app`` on ``lib`` on a base that moved; the wave of it has built ``lib``."""
    store = service.store
    for task in ("lib", "app"):
        store.tasks.create(TaskDefinition(task, RunRequest(command="x")), RunSecrets())
    run(service, "lib", BASE, LIB, OLD, Cause("manual", "ann"))
    run(service, "app", LIB, APP, f"{OLD[:-1]}c", Cause("manual", "ann"))
    watch = next(w for w in store.cascades.watches() if w.reference == BASE)
    store.cascades.checked(watch, NEW, via="notification", next_s=900)
    (change,) = store.cascades.unplanned()[0]
    members = [Member("lib", 1), Member("app", 2, ("lib",))]
    number = store.cascades.open_wave([change.number], members, {})
    assert number == 1
    detail = {"wave": "1", "image": BASE, "old": OLD, "new": NEW}
    built = run(service, "lib", BASE, LIB, NEW, Cause("baseimage", BASE, detail))
    waiting, running = MemberStatus.WAITING, MemberStatus.RUNNING
    store.cascades.move(1, "lib", waiting, running, run_id=built, reason=f"{BASE} moved")
    store.cascades.move(1, "lib", running, MemberStatus.BUILT, reason=f"{BASE} moved")


@pytest.mark.usefixtures("moved")
def test_why_tells_the_chain_to_the_image_that_moved(cli: CommandLine) -> None:
    said = cli("why", LIB).out
    assert re.search(r"Verdict: +built", said)
    assert f"{BASE} moved, {'a' * 12} -> {'b' * 12}" in said
    assert cli.json("why", APP)["verdict"] == "waiting"
    assert cli.json("why", BASE)["verdict"] == "untracked"


@pytest.mark.usefixtures("moved")
def test_stale_lists_what_stands_on_something_older_and_says_so_by_its_exit_code(
    cli: CommandLine,
) -> None:
    said = cli("stale", "-o", "json", code=1).out
    assert [item["task"] for item in json.loads(said)] == ["app"]


@pytest.mark.usefixtures("moved")
def test_impact_lists_who_would_follow_in_order(cli: CommandLine) -> None:
    assert cli("impact", BASE, "-o", "name").out == "lib\napp\n"
    assert "no task pushes" in cli("impact", "registry.example/unknown:1", code=3).err


@pytest.mark.usefixtures("moved")
def test_the_graph_is_drawn_in_every_form(cli: CommandLine) -> None:
    assert cli("graph").out == (f"{BASE}\n└─ {LIB} (lib)\n   └─ {APP} (app) *\n")
    assert [edge["task"] for edge in cli.json("graph", APP)["edges"]] == ["app", "lib"]
    mermaid = cli("graph", "-o", "mermaid").out
    assert mermaid.startswith("flowchart LR\n")
    assert "-.->" in mermaid
    root = ET.fromstring(cli("graph", "-o", "svg").out)
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 3


@pytest.mark.usefixtures("moved")
def test_watched_references_are_listed_and_swept(cli: CommandLine) -> None:
    items = {item["reference"]: item for item in cli.json("watch", "list")}
    assert set(items) == {BASE, LIB}
    assert (items[BASE]["digest"], items[BASE]["via"], items[BASE]["blind"]) == (
        NEW,
        "notification",
        False,
    )
    cli("watch", "sweep")
    assert "ok" in cli("watch", "list").out


@pytest.mark.usefixtures("moved")
def test_waves_are_listed_shown_paused_resumed_and_canceled(cli: CommandLine) -> None:
    assert cli("waves", "list", "-o", "name").out == "1\n"
    said = cli("waves", "show", "1").out
    assert re.search(r"1 +lib +Built", said)
    assert re.search(r"2 +app +Waiting +lib", said)
    assert "fill:" in cli("waves", "show", "1", "-o", "mermaid").out
    root = ET.fromstring(cli("waves", "show", "1", "-o", "svg").out)
    texts = [text.text for text in root.findall("{http://www.w3.org/2000/svg}text")]
    assert texts == [BASE, "lib: Built", "app: Waiting", "Moved", "Built", "Waiting"]
    assert cli.json("waves", "pause", "1")["status"] == "Paused"
    assert cli.json("waves", "resume", "1")["status"] == "Running"
    assert cli.json("waves", "cancel", "1")["status"] == "Canceled"
    assert "wave 1 is Canceled" in cli("waves", "resume", "1", code=2).err
    assert "no wave 9" in cli("waves", "show", "9", code=3).err
    assert cli.json("why", APP)["verdict"] == "held"


@pytest.mark.usefixtures("moved")
def test_a_task_may_leave_the_images_of_other_stages_or_all_alone(cli: CommandLine) -> None:
    def impact() -> str:
        return cli("impact", BASE, "-o", "name").out

    cli("update", "-n", "app", "--base-image-trigger-enabled", "false")
    assert impact() == "lib\n"
    said = cli("impact", BASE).err
    assert "app is left alone: the task is disabled, or does not follow base images" in said
    cli("update", "-n", "app", "--base-image-trigger-type", "Runtime")
    assert impact() == "lib\napp\n"
    assert cli.json("show", "-n", "app")["baseImageTrigger"] == "Runtime"
