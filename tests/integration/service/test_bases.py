"""Base images on real parts: a base moves, and all that stands on it is rebuilt in order, once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service.up import Up


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    often = {"base_debounce": "1", "base_poll": "600"}
    with Up(tmp_path, state_dir, "--registry", registry, **often) as service:
        yield service


def content(busybox: str, image: str, dockerfile: str) -> str:
    """Return a task file that builds and pushes one image."""
    lines = dockerfile.replace("\n", "\\n")
    return (
        "version: v1.1.0\nsteps:\n"
        f"  - cmd: {busybox} sh -c 'mkdir x && printf \"{lines}\" > x/Dockerfile'\n"
        f"  - build: -t {image} x\n"
        f'  - push: ["{image}"]\n'
    )


def push(up: Up, busybox: str, image: str, version: str) -> str:
    """Build and push a base image outside of all stored tasks; return its digest."""
    text = content(busybox, image, f"FROM {busybox}\nLABEL version={version}\n")
    record = up.wait(str(up.call("POST", "/runs", json={"content": text})["id"]))
    assert record["status"] == "Succeeded", up.text(f"/runs/{record['id']}/logs")
    return str(record["outputImages"][0]["digest"])


def store(up: Up, busybox: str, task: str, image: str, dockerfile: str) -> None:
    """Store a task and run it once."""
    body = {"name": task, "content": content(busybox, image, dockerfile)}
    up.call("POST", "/tasks", json=body)
    run = str(up.call("POST", f"/tasks/{task}/runs")["id"])
    assert up.wait(run)["status"] == "Succeeded", up.text(f"/runs/{run}/logs")


def notify(up: Up, image: str, digest: str) -> int:
    """Tell the service of a push as CNCF Distribution does; return how many are watched."""
    name, _, tag = image.partition("/")[2].rpartition(":")
    target = {"repository": name, "tag": tag, "digest": digest}
    body = {"events": [{"action": "push", "target": target, "request": {"host": "any"}}]}
    return int(up.call("POST", "/events/registry", json=body)["watched"])


def finished_wave(up: Up, count: int = 1, within_s: float = 240) -> dict[str, Any]:
    """Return the newest wave once there are so many and it has ended."""
    deadline = time.monotonic() + within_s
    while True:
        waves = up.call("GET", "/waves")["items"]
        if len(waves) >= count and waves[0]["finishTime"]:
            found: dict[str, Any] = waves[0]
            return found
        assert time.monotonic() < deadline, (waves, up.call("GET", "/watches"), up.log())
        time.sleep(0.1)


def test_a_base_moves_and_a_diamond_above_it_is_rebuilt_once_in_order(
    up: Up, base_image: str, registry: str
) -> None:
    mark = secrets.token_hex(4)
    names = ("b", "tool", "lib", "1", "2", "12")
    base, tool, lib, one, two, both = (f"{registry}/{name}-{mark}:1" for name in names)
    first = push(up, base_image, base, "1")
    push(up, base_image, tool, "1")
    store(up, base_image, "lib", lib, f"FROM {base}\nRUN echo lib > /lib.txt\n")
    store(up, base_image, "one", one, f"FROM {lib}\nRUN echo one > /one.txt\n")
    store(up, base_image, "two", two, f"FROM {lib}\nRUN echo two > /two.txt\n")
    store(up, base_image, "both", both, f"FROM {one}\nCOPY --from={two} /two.txt /\n"
          f"COPY --from={tool} /etc/passwd /\n")  # fmt: skip

    impact = up.call("GET", f"/impact?image={base}")
    assert [member["task"] for member in impact["members"]] in (
        ["lib", "one", "two", "both"],
        ["lib", "two", "one", "both"],
    )
    assert up.call("GET", "/stale")["items"] == []
    before = len(up.call("GET", "/runs?limit=500")["items"])

    second = push(up, base_image, base, "2")
    assert second != first
    assert notify(up, base, second) == 1
    notify(up, base, second)
    wave = finished_wave(up)
    assert wave["status"] == "Succeeded", wave
    assert [m["status"] for m in wave["members"]] == ["Built"] * 4
    runs = {m["task"]: up.call("GET", f"/runs/{m['run']}") for m in wave["members"]}
    assert runs["lib"]["baseImages"][0] == {
        "reference": base,
        "digest": second,
        "role": "runtime",
        "pinned": False,
    }
    assert runs["lib"]["finishTime"] <= runs["one"]["createTime"]
    assert max(runs["one"]["finishTime"], runs["two"]["finishTime"]) <= runs["both"]["createTime"]
    used = {base["reference"]: base["digest"] for base in runs["both"]["baseImages"]}
    pushed = {name: runs[name]["outputImages"][0]["digest"] for name in ("one", "two")}
    assert (used[one], used[two]) == (pushed["one"], pushed["two"])
    # Each was held at what the wave was opened with, or its parents in it pushed.
    assert wave["pins"] == {base: second, tool: used[tool]}
    assert runs["lib"]["request"]["pins"] == {base: second}
    assert runs["both"]["request"]["pins"] == {name: used[name] for name in (one, two, tool)}

    # Nothing else follows: what the wave pushed is its own doing.
    up.call("POST", "/watches/sweep")
    for image, name in ((lib, "lib"), (one, "one"), (two, "two")):
        notify(up, image, runs[name]["outputImages"][0]["digest"])
    settled = time.monotonic() + 6
    while time.monotonic() < settled:
        assert len(up.call("GET", "/waves")["items"]) == 1
        time.sleep(0.5)
    assert len(up.call("GET", "/runs?limit=500")["items"]) == before + 1 + 4
    assert up.call("GET", "/stale")["items"] == []
    why = up.call("GET", f"/why?image={both}")
    assert why["verdict"] == "built"
    assert [link["task"] for link in why["chain"]][0::2] == ["both", "lib"]
    assert why["chain"][-1]["image"] == base
    assert (why["chain"][-1]["old"], why["chain"][-1]["new"]) == (first, second)

    # What is only copied from counts as well.
    roles = {base["reference"]: base["role"] for base in runs["both"]["baseImages"]}
    assert roles == {one: "runtime", two: "copy", tool: "copy"}
    assert notify(up, tool, push(up, base_image, tool, "2")) == 1
    again = finished_wave(up, 2)
    assert [(m["task"], m["status"]) for m in again["members"]] == [("both", "Built")]

    # The base is taken back: what was built on it is there, byte for byte, and nothing is built.
    before = {one["id"] for one in up.call("GET", "/runs?limit=500")["items"]}
    up.call("POST", "/rollbacks", json={"image": base, "to": first})
    assert notify(up, base, first) == 1
    back = finished_wave(up, 3)
    assert [(m["task"], m["status"]) for m in back["members"] if m["task"] in ("lib", "one")] == [
        ("lib", "Restored"),
        ("one", "Restored"),
    ]
    # The tool has moved meanwhile: what also stands on that was never built like this.
    assert {m["task"]: m["status"] for m in back["members"]}["both"] == "Built"
    after = {one["id"] for one in up.call("GET", "/runs?limit=500")["items"]}
    assert len(after - before) == 1
    assert up.call("GET", "/stale")["items"] == []
