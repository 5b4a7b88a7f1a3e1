"""The picture of a wave in the middle: built, running, waiting and held, from a real run.

With TASKS_WRITE_PICTURES=FOLDER the picture of the docs is written anew.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tasks_service.cli.remote.wave_pictures import wave_svg
from tests.integration.service.test_bases import content, notify, push, store
from tests.integration.service.up import Up


def middle(up: Up, wanted: dict[str, str]) -> dict[str, Any]:
    """Return the wave once its members stand as they are wanted."""
    deadline = time.monotonic() + 120
    while True:
        for wave in up.call("GET", "/waves")["items"]:
            states = {m["task"]: m["status"] for m in wave["members"]}
            blog = [m["reason"] for m in wave["members"] if m["task"] == "blog"]
            if states == wanted and all(blog):
                found: dict[str, Any] = wave
                return found
        assert time.monotonic() < deadline, (up.call("GET", "/waves"), up.log())
        time.sleep(0.1)


def test_a_wave_in_the_middle_is_drawn(
    tmp_path: Path, state_dir: Path, registry: str, base_image: str
) -> None:
    mark = secrets.token_hex(4)
    names = ("base", "library", "shop", "blog", "portal")
    base, library, shop, blog, portal = (f"{registry}/{mark}/{name}:1" for name in names)
    closed = datetime.now(UTC) + timedelta(days=2)
    policies = tmp_path / "policies.toml"
    policies.write_text(
        f'[[policy]]\nname = "night"\ntasks = ["blog"]\nwindows = ["{closed:%a} 03:00-04:00"]\n'
    )
    more = {"base_debounce": "1", "base_poll": "600", "base_policies": str(policies)}
    with Up(tmp_path, state_dir, "--registry", registry, **more) as up:
        push(up, base_image, base, "1")
        store(up, base_image, "library", library, f"FROM {base}\nRUN echo lib > /lib.txt\n")
        # A build that takes its time once its base moves, so that it is seen at work.
        slow = "RUN test ! -e /slow || sleep 20"
        store(up, base_image, "shop", shop, f"FROM {library}\n{slow}\n")
        store(up, base_image, "blog", blog, f"FROM {library}\nRUN echo blog > /blog.txt\n")
        store(up, base_image, "portal", portal, f"FROM {shop}\nCOPY --from={blog} /blog.txt /\n")
        text = content(base_image, base, f"FROM {base_image}\nRUN touch /slow\n")
        record = up.wait(str(up.call("POST", "/runs", json={"content": text})["id"]))
        assert notify(up, base, str(record["outputImages"][0]["digest"])) == 1
        states = {"library": "Built", "shop": "Running", "blog": "Waiting", "portal": "Waiting"}
        wave = middle(up, states)
    drawn = wave_svg(wave)
    texts = [t.text for t in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    for words in ("library: Built", "shop: Running", "blog: Held", "portal: Waiting"):
        assert words in texts
    assert f"until {closed:%Y-%m-%d} 03:00 UTC by policy night" in drawn
    if folder := os.environ.get("TASKS_WRITE_PICTURES"):
        shown = drawn.replace(f"{registry}/{mark}/", "registry.example/")
        (Path(folder) / "wave-held.svg").write_text(shown)
