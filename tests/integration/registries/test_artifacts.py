"""Sources that a registry holds as OCI artifacts: fetched with a login, checked, unpacked."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.errors import Canceled, Denied, InvalidInput, Unavailable
from tasks_service.blobs import UPLOADS, open_blobs
from tasks_service.config import Settings
from tasks_service.execution.job import Job
from tasks_service.model.run import PULL, TRUSTED, RegistryCredential, RunRequest, RunSecrets
from tasks_service.sources.errors import SourceNotFound
from tasks_service.sources.open import open_source
from tasks_service.sources.settings import SourceSettings
from tasks_service.worker.sources import ServiceSources
from tests.fakes.json_server import JSONServer, Reply, Request
from tests.fakes.own_registry import PASSWORD, USER, OwnRegistry, own_registry
from tests.integration.cli.conftest import source_folder

__all__ = ["source_folder"]

TAR = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN = "application/vnd.oci.image.layer.v1.tar"
TITLE = "org.opencontainers.image.title"
FOLDER = {"io.deis.oras.content.unpack": "true"}


@pytest.fixture(params=["basic", "tokens"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRegistry]:
    with own_registry(tmp_path, tokens=request.param == "tokens") as found:
        yield found


@pytest.fixture
def settings(source_folder: Path) -> SourceSettings:
    return SourceSettings(folder=source_folder, registry_login=lambda _: (USER, PASSWORD))


def tarball(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def content(text: str, settings: SourceSettings) -> dict[str, str]:
    with open_source(text, settings=settings, cancel=Cancellation()) as source:
        assert source.directory is not None
        assert source.remote
        found = [path for path in source.directory.rglob("*") if path.is_file()]
        return {str(path.relative_to(source.directory)): path.read_text() for path in found}


def test_folders_files_and_tarballs_become_a_workspace(
    locked: OwnRegistry, settings: SourceSettings, source_folder: Path
) -> None:
    folder = tarball({"src/acb.yaml": "steps", "src/a/b.txt": "b"})
    where = f"oci://{locked.host}/team/context"
    digest = locked.push_artifact(
        "team/context", "1",
        (folder, TAR, {TITLE: "src", **FOLDER}), (b"hello", PLAIN, {TITLE: "notes/hello.txt"}),
    )  # fmt: skip
    whole = {"src/acb.yaml": "steps", "src/a/b.txt": "b", "notes/hello.txt": "hello"}
    assert content(f"{where}:1", settings) == whole
    assert content(f"{where}@{digest}", settings) == whole
    assert content(f"{where}:1#:src", settings) == {"acb.yaml": "steps", "a/b.txt": "b"}
    locked.push_artifact("team/context", "latest", (folder, PLAIN, {TITLE: "src.tar.gz"}))
    assert content(where, settings) == {"src/acb.yaml": "steps", "src/a/b.txt": "b"}
    kind = "application/vnd.cncf.flux.content.v1.tar+gzip"
    locked.push_artifact("team/context", "flux", (folder, kind, {}))
    assert content(f"{where}:flux#:src/a", settings) == {"b.txt": "b"}
    assert list(source_folder.glob("tasks-sources-*/[!.]*")) == []


def test_what_is_no_source_is_told_as_such(
    locked: OwnRegistry, settings: SourceSettings, source_folder: Path
) -> None:
    where = f"oci://{locked.host}/team/context"
    with pytest.raises(SourceNotFound, match="is not there"):
        content(f"{where}:none", settings)
    locked.push("team/context", "image", "x")
    with pytest.raises(InvalidInput, match="holds no files"):
        content(f"{where}:image", settings)
    locked.push("team/context", "index", "x", index=True)
    with pytest.raises(InvalidInput, match="index of several manifests"):
        content(f"{where}:index", settings)
    broken = {
        "no-name": ((b"x", "application/json", {}), "layer 1 .* is no tarball"),
        "no-tar": ((b"x" * 600, TAR, {}), "is not a tarball"),
        "out": ((tarball({"../x": "x"}), TAR, {}), "points outside"),
        "name": ((b"x", PLAIN, {TITLE: "../../etc/x"}), "points outside"),
        "absolute": ((b"x", PLAIN, {TITLE: "/etc/x"}), "absolute"),
    }
    for tag, (layer, message) in broken.items():
        locked.push_artifact("team/context", tag, layer)
        with pytest.raises(InvalidInput, match=message):
            content(f"{where}:{tag}", settings)
    twice = (b"x", PLAIN, {TITLE: "same"})
    locked.push_artifact("team/context", "twice", twice, (b"y", PLAIN, {TITLE: "same"}))
    with pytest.raises(InvalidInput, match="appears twice"):
        content(f"{where}:twice", settings)
    locked.push_artifact("team/context", "large", (b"x" * 5000, PLAIN, {TITLE: "x"}))
    with pytest.raises(InvalidInput, match="expands beyond"):
        content(f"{where}:large", dataclasses.replace(settings, max_bytes=4000))
    no_login = dataclasses.replace(settings, registry_login=lambda _: ("", ""))
    with pytest.raises(Denied, match="refuses") as denied:
        content(f"{where}:large", no_login)
    assert "docker login" in denied.value.hint
    cancel = Cancellation()
    cancel.cancel(Canceled("enough"))
    with (
        pytest.raises(Canceled),
        open_source(f"{where}:large", settings=settings, cancel=cancel),
    ):
        raise AssertionError
    assert list(source_folder.glob("tasks-sources-*/[!.]*")) == []


def test_the_service_uses_its_own_login_and_the_runs_and_none_for_strangers(
    locked: OwnRegistry, tmp_path: Path
) -> None:
    locked.push_artifact("team/context", "1", (b"hello", PLAIN, {TITLE: "hello.txt"}))
    own = Settings(
        state_dir=tmp_path / "state",
        registry=locked.host,
        registry_username=USER,
        registry_password=PASSWORD,
        # Its token server has another port.
        allow_hosts=("127.0.0.1",) if locked.tokens else (),
    )
    foreign = Settings(state_dir=tmp_path / "state", allow_hosts=("127.0.0.1",))
    nobody = Settings(state_dir=tmp_path / "state")
    theirs = RunSecrets(credentials=(RegistryCredential(locked.host, USER, PASSWORD),))

    def opened(settings: Settings, secrets: RunSecrets, *, trust: str = TRUSTED) -> str:
        request = RunRequest(source=f"oci://{locked.host}/team/context:1", trust=trust)
        sources = ServiceSources(settings, open_blobs(settings, UPLOADS))
        job = Job(request, secrets, "r1", "QuickRun", datetime.now(UTC))
        with sources.open(job, Cancellation(), lambda *_: None) as source:
            assert source.directory is not None
            return (source.directory / "hello.txt").read_text()

    assert opened(own, RunSecrets()) == "hello"
    assert opened(foreign, theirs) == "hello"
    for settings, secrets, trust in (
        (own, theirs, PULL),
        (foreign, RunSecrets(), TRUSTED),
    ):
        with pytest.raises(Denied, match="refuses"):
            opened(settings, secrets, trust=trust)
    # Nobody listed this machine's own network.
    with pytest.raises((Denied, InvalidInput), match="scheme 'http' is not allowed"):
        opened(nobody, theirs)


def test_a_registry_that_lies_is_found_out(settings: SourceSettings) -> None:
    data = b"hello"
    digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    manifest = {"layers": [{"digest": digest, "size": 5, "mediaType": PLAIN,
                            "annotations": {TITLE: "x"}}]}  # fmt: skip
    said = {"body": data}

    def answer(request: Request) -> Reply:
        if "/manifests/" in request.path:
            return Reply(200, manifest)
        return Reply(200, said["body"].decode())

    server = JSONServer(answer)
    try:
        where = f"oci://{server.url.removeprefix('http://')}/a"
        with pytest.raises(Unavailable, match="something else"):
            # JSON puts quotes around it: too long by two.
            content(where, settings)
        with pytest.raises(Unavailable, match="something else"):
            content(f"{where}@sha256:{'0' * 64}", settings)
    finally:
        server.close()
