"""`tasks run` as a process of its own, and the registry as anybody sees it over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "examples" / "acr-samples"
TIMEOUT_S = 240
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended: what a script would see of it."""

    code: int
    record: dict[str, Any]
    output: str
    stdout: str

    def statuses(self) -> dict[str, str]:
        return {step["id"]: step["status"] for step in self.record["steps"]}

    def lines(self, step: str) -> list[str]:
        """Return the output lines of one step, without the builder's own."""
        found = []
        for line in self.output.splitlines():
            name, bar, text = line.partition("|")
            if bar and name.strip() == step:
                found.append(text.strip())
        return found

    def pushed(self) -> dict[str, str]:
        """Return the digests of what was pushed, by reference."""
        return {image["reference"]: image["digest"] for image in self.record["outputImages"]}


@dataclass(frozen=True, slots=True)
class Tasks:
    """The command on the stack's state."""

    registry: str
    folder: Path
    state: Path

    def run(self, *words: str, env: dict[str, str] | None = None) -> Finished:
        """Run `tasks run … -r REGISTRY -o json`; a traceback is a failure."""
        environment = {
            **os.environ,
            "TASKS_STATE_DIR": str(self.state),
            "TMPDIR": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "no-docker-config"),
            "PYTHONPATH": str(ROOT),
            **(env or {}),
        }
        command = [sys.executable, "-m", "tasks_service.cli.main", "run", "-r", self.registry]
        command += ["-o", "json", "--progress", "plain", *words]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout, done.stderr
        return Finished(done.returncode, json.loads(done.stdout), done.stderr, done.stdout)

    def sample(self, name: str, *words: str, env: dict[str, str] | None = None) -> Finished:
        """Run one of the samples to its good end."""
        finished = self.run(str(SAMPLES / name), *words, env=env)
        assert finished.code == 0, finished.output
        assert finished.record["status"] == "Succeeded"
        return finished


def get(registry: str, path: str) -> tuple[dict[str, Any], str]:
    """Return JSON and digest of a GET below ``/v2/``; KeyError if it isn't there."""
    request = urllib.request.Request(f"http://{registry}/v2/{path}", headers={"Accept": _MANIFESTS})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response), response.headers.get("Docker-Content-Digest", "")
    except urllib.error.HTTPError as error:
        error.close()
        raise KeyError(path) from None


def digest_of(reference: str) -> str:
    """Return the digest that the registry holds for ``host/repository:tag``."""
    registry, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    return get(registry, f"{repository}/manifests/{tag}")[1]


def config_of(reference: str) -> dict[str, Any]:
    """Return the configuration of an image of the registry: history, labels, environment."""
    registry, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    manifest, _ = get(registry, f"{repository}/manifests/{tag}")
    if "manifests" in manifest:
        real = [m for m in manifest["manifests"] if m["platform"]["os"] != "unknown"]
        manifest, _ = get(registry, f"{repository}/manifests/{real[0]['digest']}")
    return get(registry, f"{repository}/blobs/{manifest['config']['digest']}")[0]
