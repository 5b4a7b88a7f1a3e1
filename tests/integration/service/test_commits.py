"""A push, over real HTTP: its commit is built, and the Git server is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tasks_service.devstack.git_repository import publish
from tasks_service.devstack.git_server import GitServer
from tests.deliveries import BUILDERS, Delivery, Pushed, push
from tests.integration.service.up import Up

SECRET = "a-secret-of-the-webhook"
STATUS_PATHS = {
    "github": "/repos/octo/app/statuses/{}",
    "gitlab": "/projects/octo%2Fapp/statuses/{}",
    "gitea": "/repos/octo/app/statuses/{}",
    "forgejo": "/repos/octo/app/statuses/{}",
    "bitbucket": "/repositories/octo/app/commit/{}/statuses/build",
    "azure": "/_apis/git/repositories/app/commits/{}/statuses?api-version=7.1",
}
GOOD = ("success", "SUCCESSFUL", "succeeded")


class Recorder:
    """Takes statuses, the first after one refusal."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any], str]] = []
        self.refusals = 1
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                refused = recorder.refusals > 0
                recorder.refusals -= refused
                if not refused:
                    login = self.headers["Authorization"] or self.headers["Private-Token"]
                    recorder.told.append((self.path, body, login))
                self.send_response(503 if refused else 201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    found = Recorder()
    yield found
    found.close()


@pytest.fixture
def up(tmp_path: Path, state_dir: Path, registry: str) -> Iterator[Up]:
    hosts = {"allow_hosts": "127.0.0.1", "allow_http_sources": "true", "git_poll": "0"}
    with Up(tmp_path, state_dir, "--registry", registry, **hosts) as service:
        yield service


@pytest.fixture
def commits(git_server: GitServer, base_image: str, tmp_path: Path) -> tuple[str, list[str]]:
    """Three commits of a repository: its URL, and their ids."""
    folder, bare = tmp_path / "app", tmp_path / "git" / "app.git"
    folder.mkdir()
    found = []
    for word in ("first", "second", "third"):
        echo = f"echo this is {word} of '{{{{.Run.Branch}}}}'"
        text = f"version: v1.1.0\nsteps:\n  - id: say\n    cmd: {base_image} {echo}\n"
        (folder / "task.yaml").write_text(text)
        found.append(publish(folder, bare, message=word))
    return git_server.url("app"), found


def send(up: Up, hook: dict[str, Any], delivery: Delivery) -> httpx2.Response:
    return httpx2.post(
        up.url + hook["url"], content=delivery.body, headers=dict(delivery.headers), timeout=30
    )


def told(recorder: Recorder, up: Up, path: str) -> list[tuple[str, dict[str, Any], str]]:
    """Return what was told about one commit, once its end was."""
    deadline = time.monotonic() + 30
    while True:
        found = [one for one in recorder.told if one[0] == path]
        if found and found[-1][1]["state"] in GOOD:
            return found
        assert time.monotonic() < deadline, (recorder.told, up.log())
        time.sleep(0.1)


def test_a_push_of_each_kind_of_server_builds_its_own_commit_once_and_its_status_is_told(
    up: Up, commits: tuple[str, list[str]], recorder: Recorder
) -> None:
    source, (first, second, _) = commits
    hooks, runs = {}, {}
    for provider in BUILDERS:
        task = {"name": provider, "source": source + "#main", "file": "task.yaml"}
        up.call("POST", "/tasks", json=task)
        repository = "app" if provider == "azure" else "octo/app"
        trigger = {"name": "push", "provider": provider, "repository": repository}
        more = {
            "secret": f"{SECRET}-{provider}",
            "token": f"token-for-{provider}",
            "apiUrl": f"{recorder.url}/{provider}",
        }
        hook = up.call("POST", f"/tasks/{provider}/triggers", json=trigger | more)
        assert more["token"] not in json.dumps(hook)
        hooks[provider] = hook
        # The second of three commits, not the newest; the same push under many ids.
        pushed = Pushed(before=first, after=second)
        assert send(up, hook, push(provider, pushed, "another-secret")).status_code == 403

        def again(
            number: int,
            provider: str = provider,
            pushed: Pushed = pushed,
            secret: str = more["secret"],
            hook: dict[str, Any] = hook,
        ) -> httpx2.Response:
            return send(up, hook, push(provider, pushed, secret, number=str(number)))

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(again, range(100 if provider == "github" else 5)))
        assert {answer.status_code for answer in answers} == {202}, answers[0].text
        ids = {answer.json()["items"][0]["runId"] for answer in answers}
        assert len(ids) == 1
        runs[provider] = ids.pop()

    for provider, run_id in runs.items():
        run = up.wait(run_id)
        assert (run["status"], run["commit"], run["branch"]) == ("Succeeded", second, "main")
        assert run["cause"]["kind"] == "commit"
        assert "this is second of main" in up.text(f"/runs/{run_id}/logs")
        assert len(up.call("GET", f"/runs?task={provider}")["items"]) == 1
        path = f"/{provider}{STATUS_PATHS[provider].format(second)}"
        states = [body["state"] for _, body, _ in told(recorder, up, path)]
        assert [state for state in states if state in GOOD] == states[-1:]
        deliveries = up.call("GET", f"/tasks/{provider}/triggers/push/deliveries")["items"]
        assert [(one["commit"], one["runId"]) for one in deliveries] == [(second, run_id)]
    logins = {path.split("/")[1]: login for path, _, login in recorder.told}
    assert logins["github"] == "Bearer token-for-github"
    assert logins["gitlab"] == "token-for-gitlab"
    assert "token-for-" not in up.log()


def test_a_push_starts_only_those_tasks_of_a_monorepo_whose_files_changed(
    up: Up, commits: tuple[str, list[str]]
) -> None:
    source, (first, second, third) = commits
    hooks = {}
    for name in ("web", "api", "docs"):
        up.call("POST", "/tasks", json={"name": name, "source": source + "#main"})
        trigger = {"name": "push", "provider": "github", "repository": "octo/app"}
        paths = {"paths": [f"{name}/**", "!**/*.md"]}
        # One webhook of the repository serves all who know its secret.
        secret = SECRET if name != "docs" else "a-secret-of-its-own"
        hooks[name] = up.call(
            "POST", f"/tasks/{name}/triggers", json=trigger | paths | {"secret": secret}
        )
    files = ("web/index.html", "api/notes.md", "docs/index.html")
    pushed = Pushed(before=first, after=second, files=files)
    answer = send(up, hooks["api"], push("github", pushed, SECRET))
    notes = [item["note"] for item in answer.json()["items"]]
    assert sorted(notes) == ["", "none of its files match the trigger's paths"]
    (run,) = up.call("GET", "/runs")["items"]
    assert run["task"] == "web"
    assert up.wait(run["id"])["commit"] == second

    # The same push at the other task's webhook starts nothing more.
    send(up, hooks["web"], push("github", pushed, SECRET))
    assert len(up.call("GET", "/runs")["items"]) == 1
    skipped = Pushed(before=second, after=third, files=files, message="Notes [skip ci]")
    answer = send(up, hooks["web"], push("github", skipped, SECRET))
    assert {item["runId"] for item in answer.json()["items"]} == {""}

    # By hand it can be had again.
    (delivery,) = up.call("GET", "/tasks/web/triggers/push/deliveries")["items"][1:]
    path = f"/tasks/web/triggers/push/deliveries/{delivery['id']}/redeliver"
    again = up.call("POST", path)
    assert up.wait(again["runId"])["commit"] == second
    assert again["runId"] != run["id"]
