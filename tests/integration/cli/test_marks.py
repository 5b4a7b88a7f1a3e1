"""Labels that tell an image's base and source, by the command, in a real runner."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.cli.conftest import Repository, Tasks
from tests.integration.samples.command import config_of

PREFIX = "org.opencontainers.image"
FILE = """\
version: v1.1.0
steps:
  - build: -t $Registry/cli/marked:1 .
  - push: [$Registry/cli/marked:1]
"""


def test_an_image_tells_its_base_and_its_commit_where_asked(
    tasks: Tasks, new_repository: Callable[[str], Repository], registry: str, base_image: str
) -> None:
    repository = new_repository("marked")
    files = {"Dockerfile": f"FROM {base_image}\nRUN echo hi > /hi\n", "acb.yaml": FILE}
    commit = repository.commit(files)
    words = ("run", repository.url, "-f", "acb.yaml", "-r", registry)
    tasks.environment["TASKS_IMAGE_MARKS"] = "base,source,revision"
    code, record = tasks.record(*words)
    assert code == 0, record.get("errorMessage", record)
    labels = config_of(f"{registry}/cli/marked:1")["config"]["Labels"]
    assert labels == {
        f"{PREFIX}.base.name": base_image,
        f"{PREFIX}.base.digest": record["baseImages"][0]["digest"],
        f"{PREFIX}.source": repository.url,
        f"{PREFIX}.revision": commit,
    }
    del tasks.environment["TASKS_IMAGE_MARKS"]
    assert tasks.record(*words)[0] == 0
    assert not config_of(f"{registry}/cli/marked:1")["config"].get("Labels")


def test_a_mark_that_is_none_is_refused(tasks: Tasks, registry: str) -> None:
    tasks.environment["TASKS_IMAGE_MARKS"] = "bse"
    code, _, err = tasks.run("run", "/dev/null", "--cmd", "bash echo hi", "-r", registry)
    assert code == 2
    assert "there is no mark 'bse'" in err
