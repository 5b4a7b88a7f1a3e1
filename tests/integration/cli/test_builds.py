"""`tasks build` on the real engine and registry: what is pushed, and how a bad build is told."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Repository, Tasks

DOCKERFILE = """\
FROM {base} AS tools
ARG GREETING=none
RUN echo "$GREETING" >/greeting
FROM {base}
COPY --from=tools /greeting /greeting
COPY file /file
CMD ["cat", "/greeting", "/file"]
"""


@pytest.fixture
def context(tmp_path: Path, base_image: str) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base_image))
    (folder / "file").write_text("from the context\n")
    return folder


def digest_of(reference: str) -> str:
    """Ask the registry what a tag is."""
    registry, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    request = urllib.request.Request(
        f"http://{registry}/v2/{repository}/manifests/{tag}",
        headers={"Accept": accept + "application/vnd.docker.distribution.manifest.v2+json"},
        method="HEAD",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def test_a_build_is_pushed_and_runs(tasks: Tasks, context: Path, registry: str) -> None:
    code, record = tasks.record(
        "build", str(context), "-r", registry, "-t", "cli/app:{{.Run.ID}}", "-t", "cli/app:latest",
        "--build-arg", "GREETING=hello there", "--id", f"b{os.getpid()}",
    )  # fmt: skip
    assert code == 0
    tag = f"{registry}/cli/app:b{os.getpid()}"
    pushed = {image["reference"]: image["digest"] for image in record["outputImages"]}
    assert pushed == {tag: digest_of(tag), f"{registry}/cli/app:latest": digest_of(tag)}
    assert [image["role"] for image in record["baseImages"]]
    code, out, err = tasks.run("run", "/dev/null", "--cmd", f"{tag}", "-r", registry)
    assert code == 0, err
    assert "hello there" in out
    assert "from the context" in out
    assert tasks.left() == []


def test_a_build_of_a_repository(
    tasks: Tasks, new_repository: Callable[[str], Repository], base_image: str, registry: str
) -> None:
    repository = new_repository("lib")
    dockerfile = DOCKERFILE.format(base=base_image)
    repository.commit({"sub/Dockerfile": dockerfile, "sub/file": "x\n"})
    code, record = tasks.record(
        "build", f"{repository.url}#main:sub", "-t", f"{registry}/cli/lib:1", "-f", "Dockerfile"
    )
    assert (code, record["status"]) == (0, "Succeeded")
    assert record["source"]["commit"] == repository.git("rev-parse", "HEAD")
    assert record["outputImages"][0]["digest"] == digest_of(f"{registry}/cli/lib:1")


def test_no_push_leaves_the_registry_alone(tasks: Tasks, context: Path, registry: str) -> None:
    words = ("build", str(context), "-t", f"{registry}/cli/unpushed:1", "--no-push")
    code, record = tasks.record(*words)
    assert (code, record["outputImages"]) == (0, [])
    assert record["images"][0]["references"] == [f"{registry}/cli/unpushed:1"]
    with pytest.raises(urllib.error.HTTPError):
        digest_of(f"{registry}/cli/unpushed:1")


def test_a_secret_reaches_its_instruction_only(
    tasks: Tasks, context: Path, base_image: str, tmp_path: Path
) -> None:
    (context / "Dockerfile").write_text(
        f"FROM {base_image}\n"
        "RUN --mount=type=secret,id=token wc -c </run/secrets/token\n"
        "RUN --mount=type=secret,id=token cat /run/secrets/token\n"
        "RUN test ! -e /run/secrets/token\n"
    )
    (tmp_path / "token").write_text("s3cr3tvalue")
    code, out, err = tasks.run(
        "build", str(context), "--secret", f"id=token,src={tmp_path}/token", "--no-cache"
    )
    assert code == 0, err
    assert "| 11\n" in out
    assert "s3cr3tvalue" not in out + err


BAD = [
    ("FROM {base}\nRUN echo almost; echo because >&2; exit 7\n", 1, ["Dockerfile", "exit 7", "7"]),
    ("FROM {base}\nFRUM x\n", 1, ["Dockerfile:2", "FRUM"]),
    ("FROM {base}\nCOPY missing /x\n", 1, ["missing"]),
    ("FROM {registry}/cli/not-there:9\n", 1, ["cli/not-there:9"]),
]


@pytest.mark.parametrize(("text", "code", "shown"), BAD, ids=["run", "syntax", "copy", "base"])
def test_a_bad_build_tells_what_and_where(
    tasks: Tasks,
    context: Path,
    base_image: str,
    registry: str,
    text: str,
    code: int,
    shown: list[str],
) -> None:
    (context / "Dockerfile").write_text(text.format(base=base_image, registry=registry))
    found, out, err = tasks.run("build", str(context), "--no-logs", "-o", "json")
    assert found == code, err
    assert json.loads(out)["status"] == "Failed"
    assert err.count("Error:") == 1
    for part in shown:
        assert part in err
    assert tasks.left() == []


def on_terminal(tasks: Tasks, *words: str, until: str = "", send: bytes = b"") -> tuple[int, str]:
    """Run `tasks` with a terminal for all its streams; type ``send`` once ``until`` is shown."""
    master, slave = pty.openpty()
    environment = {**tasks.environment, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks_service.cli.main", *words],
        cwd=tasks.folder, env=environment, stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, preexec_fn=_own_terminal,  # noqa: PLW1509 - needs the child's terminal
    )  # fmt: skip
    os.close(slave)
    shown, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            try:
                block = os.read(master, 65536)
            except OSError:
                break
            shown += block
        if send and until.encode() in shown:
            os.write(master, send)
            send = b""
    os.close(master)
    return process.wait(timeout=30), shown.decode(errors="replace")


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_terminal_gets_the_live_view(tasks: Tasks, context: Path, registry: str) -> None:
    code, shown = on_terminal(tasks, "build", str(context), "-t", f"{registry}/cli/live:1")
    assert code == 0, shown
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"● build +running", plain)
    assert re.search(r"○ push +waiting +after build", plain)
    assert "2 of 2 steps" in plain
    assert f"{registry}/cli/live:1@sha256:" in plain


def test_ctrl_c_on_a_terminal_cancels(tasks: Tasks, base_image: str) -> None:
    command = f'{base_image} sh -c "echo ready; sleep 60"'
    words = ("run", "/dev/null", "--cmd", command)
    code, shown = on_terminal(tasks, *words, until="ready\r", send=b"\x03")
    assert code == 130, shown
    assert "was canceled" in shown
    assert "\x1b[?25h" in shown
    assert tasks.left() == []
