"""Quick runs on a server: what is packed, what is sent, and what stays here."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest

from runners.model.errors import InvalidInput
from tasks_service.cli.remote.body import run_body
from tasks_service.cli.remote.submit import _placed, git_token_for
from tasks_service.cli.remote.task_run import _overrides
from tasks_service.cli.remote.upload import upload_directory
from tasks_service.model.run import (
    BuildRequest,
    RegistryCredential,
    RunLimits,
    RunRequest,
    RunSecrets,
)
from tasks_service.sources.errors import SourceNotFound
from tests.unit.tasks_service.client.scripted import Scripted, problem, reply


class Uploads:
    """A server that keeps uploads, and answers anything else from a table."""

    def __init__(self, **tasks: dict[str, Any]) -> None:
        self.files: dict[str, bytes] = {}
        self.server = Scripted(self.answer)
        self._tasks = tasks

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.rpartition("/")[2]
        if request.method == "HEAD":
            return reply(200 if name in self.files else 404)
        if request.method == "PUT":
            self.files[name] = request.content
            return reply(201)
        return reply(200, self._tasks[name])

    def names(self, source: str) -> list[str]:
        with tarfile.open(fileobj=io.BytesIO(self.files[source.removeprefix("upload:")])) as tar:
            return tar.getnames()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "app"
    root.mkdir()
    (root / "acb.yaml").write_text("steps: []")
    (root / "main.py").write_text("print()")
    (root / "values.yaml").write_text("a: 1")
    (root / "Dockerfile").write_text("FROM scratch")
    (root / ".dockerignore").write_text("values.yaml\nacb.yaml\n*.log\n")
    (root / "noise.log").write_text("x")
    monkeypatch.chdir(tmp_path)
    return root


def placed(request: RunRequest) -> tuple[RunRequest, Uploads]:
    uploads = Uploads()
    return _placed(uploads.server.client(), request, quiet=True), uploads


def test_a_directory_is_uploaded_with_its_task_file_whatever_is_ignored(folder: Path) -> None:
    found, uploads = placed(RunRequest(source="app"))
    assert found.source.startswith("upload:")
    assert found.file == "acb.yaml"
    names = uploads.names(found.source)
    assert "acb.yaml" in names
    assert "main.py" in names
    assert "noise.log" not in names


def test_an_unchanged_directory_is_not_sent_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uploads = Uploads()
    client = uploads.server.client()
    first = upload_directory(client, folder, needed=None, quiet=False)
    assert upload_directory(client, folder, needed=None, quiet=False) == first
    assert uploads.server.methods == ["HEAD", "PUT", "HEAD"]
    told = capsys.readouterr().err
    assert "Sending the context:" in told
    assert "not sent again" in told
    (folder / "main.py").write_text("print(1)")
    upload_directory(client, folder, needed=None, quiet=False)
    assert uploads.server.methods[-2:] == ["HEAD", "PUT"]


def test_a_values_file_is_read_here(folder: Path) -> None:
    found, _ = placed(RunRequest(source="app", values_file="values.yaml"))
    assert (found.values_file, found.values_content) == ("", "a: 1")


def test_a_file_from_elsewhere_goes_along(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("steps: [x]")
    found, uploads = placed(RunRequest(source="app", file="other.yaml"))
    assert found.file.endswith("_other.yaml")
    assert found.file in uploads.names(found.source)


def test_a_dockerfile_is_counted_from_where_the_user_stands(folder: Path, tmp_path: Path) -> None:
    found, _ = placed(RunRequest(source="app", build=BuildRequest(images=("a",))))
    assert found.build is not None
    assert found.build.dockerfile == "Dockerfile"
    found, _ = placed(RunRequest(source="app", build=BuildRequest(dockerfile="app/Dockerfile")))
    assert found.build is not None
    assert found.build.dockerfile == "Dockerfile"
    with pytest.raises(SourceNotFound, match="no Dockerfile"):
        placed(RunRequest(source="app", build=BuildRequest(dockerfile="Dockerfile")))


def test_what_is_not_there_is_told_before_anything_is_sent(folder: Path) -> None:
    for request in (
        RunRequest(source="./none"),
        RunRequest(source="app/main.py"),
        RunRequest(source="app", file="none.yaml"),
        RunRequest(source="app", values_file="none.yaml"),
        RunRequest(file="none.yaml"),
    ):
        with pytest.raises(SourceNotFound):
            placed(request)
    with pytest.raises(InvalidInput, match="no source"):
        placed(RunRequest())


def test_a_source_the_server_can_fetch_is_left_alone() -> None:
    request = RunRequest(source="https://git.example/app.git#main", file="ci/acb.yaml")
    found, uploads = placed(request)
    assert found == request
    assert uploads.server.requests == []


def test_without_a_source_the_task_file_is_sent_as_text(folder: Path) -> None:
    found, _ = placed(RunRequest(file="app/acb.yaml"))
    assert (found.source, found.file, found.content) == ("/dev/null", "", "steps: []")


def test_an_upload_that_is_too_large_names_the_largest_files(folder: Path) -> None:
    (folder / "big.bin").write_bytes(b"x" * 5000)
    server = Scripted(reply(404), problem(413, "too_large", "more than 1 KiB"))
    with pytest.raises(InvalidInput, match="more than 1 KiB") as caught:
        upload_directory(server.client(), folder, needed=None, quiet=True)
    assert "big.bin" in caught.value.detail.splitlines()[0]


def test_a_request_is_written_in_the_words_of_the_api() -> None:
    request = RunRequest(
        source="https://h/a.git",
        build=BuildRequest(images=("a:1",), build_args=("A=1", "A=2=3"), push=False),
        registry="r:5000",
        limits=RunLimits(cpus=2.0, memory_bytes=1 << 30),
        timeout_s=60,
    )
    hidden = RunSecrets(
        build_args=("S=hidden",),
        build_secrets={"npm": "t"},
        credentials=(RegistryCredential("ghcr.io", "me", "pw"),),
        git_token="g",
    )
    assert run_body(request, hidden) == {
        "source": "https://h/a.git",
        "build": {
            "images": ["a:1"],
            "buildArgs": [
                {"name": "A", "value": "2=3"},
                {"name": "S", "value": "hidden", "secret": True},
            ],
            "secrets": [{"id": "npm", "value": "t"}],
            "push": False,
        },
        "registry": "r:5000",
        "timeout": 60,
        "cpu": 2.0,
        "memory": 1 << 30,
        "credentials": [{"registry": "ghcr.io", "username": "me", "password": "pw"}],
        "gitToken": "g",
    }


@pytest.mark.parametrize(
    ("source", "token"),
    [
        ("https://git.example/app.git#main", "t"),
        ("git.example/app.git", "t"),
        ("https://evil.example/app.git", ""),
        ("https://git.example.evil/app.git", ""),
        ("https://git.example:8443/app.git", ""),
        ("/git.example/x", ""),
    ],
)
def test_the_git_token_goes_to_its_own_host_only(source: str, token: str) -> None:
    env = {"TASKS_GIT_TOKEN": "t", "TASKS_GIT_TOKEN_HOST": "git.example"}
    assert git_token_for(source, env) == token
    assert git_token_for(source, {"TASKS_GIT_TOKEN": "t"}) == ""


# Stored tasks with overrides.

NOTHING: dict[str, Any] = {
    "file": None, "set_values": (), "set_secrets": (), "args": (), "secret_args": (),
    "target": None,
}  # fmt: skip
FILE_TASK = {"name": "app", "source": "https://h/a.git", "file": "acb.yaml"}
BUILD_TASK = {"name": "web", "source": "https://h/w.git", "build": {"dockerfile": "Dockerfile"}}


@pytest.fixture
def overrides() -> Callable[..., tuple[dict[str, Any], Uploads]]:
    def make(name: str, source: str | None = None, **given: Any) -> tuple[dict[str, Any], Uploads]:
        uploads = Uploads(app=FILE_TASK, web=BUILD_TASK)
        client = uploads.server.client()
        return _overrides(client, name, source, NOTHING | given, quiet=True), uploads

    return make


def test_overrides_hold_only_what_was_given(overrides: Any) -> None:
    assert overrides("app")[0] == {}
    body, uploads = overrides("app", set_values=("a=1",))
    assert body == {"values": [{"name": "a", "value": "1"}]}
    assert uploads.server.requests == []
    assert overrides("web", args=("A=1",), target="t")[0] == {
        "build": {"buildArgs": [{"name": "A", "value": "1"}], "target": "t"}
    }
    assert overrides("app", "https://h/a.git#dev")[0] == {"source": "https://h/a.git#dev"}
    assert overrides("app", file="ci.yaml")[0] == {"file": "ci.yaml"}
    assert overrides("web", file="odd.yaml")[0] == {"build": {"dockerfile": "odd.yaml"}}


def test_a_directory_takes_the_place_of_the_tasks_source(overrides: Any, folder: Path) -> None:
    body, uploads = overrides("app", "app")
    assert body == {"source": body["source"], "file": "acb.yaml"}
    assert "main.py" in uploads.names(body["source"])
    body, _ = overrides("web", "app", args=("A=1",))
    assert body["build"] == {
        "buildArgs": [{"name": "A", "value": "1"}], "dockerfile": "Dockerfile",
    }  # fmt: skip


def test_a_directory_that_lacks_the_tasks_file_is_told(overrides: Any, folder: Path) -> None:
    (folder / "acb.yaml").unlink()
    with pytest.raises(SourceNotFound, match="task file not found"):
        overrides("app", "app")
    with pytest.raises(SourceNotFound, match="no directory"):
        overrides("app", "./none")


def test_a_value_without_a_name_is_refused(overrides: Any) -> None:
    with pytest.raises(click.UsageError):
        overrides("app", set_values=("x",))


def test_bodies_can_be_sent() -> None:
    assert json.loads(json.dumps(run_body(RunRequest(command="x"), RunSecrets()))) == {
        "source": "/dev/null", "command": "x", "timeout": 3600,
    }  # fmt: skip
