"""The REST API over SQLite and PostgreSQL: what every client may rely on."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.model.access import Role
from tasks_service.model.log import LogChunk
from tasks_service.model.run import RunEnd
from tests.contract.api_server import Api, api
from tests.contract.stores import KINDS

RUN = {"command": "alpine echo hello"}
TASK = {"name": "app", "source": "https://github.com/me/app.git#main", "file": "acb.yaml"}
DONE = RunEnd(RunStatus.SUCCEEDED, {"steps": []})


@pytest.fixture(params=KINDS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    with api(request.param, tmp_path) as found:
        yield found


def start(service: Api, **body: object) -> dict[str, object]:
    answer = service.call("POST", "/api/v1/runs", json={**RUN, **body})
    assert answer.status_code == 202, answer.text
    found: dict[str, object] = answer.json()
    return found


def finish(service: Api, *lines: bytes) -> str:
    claim = service.store.leases.claim("default", owner="w", lease_s=60)
    assert claim is not None
    chunks = [LogChunk("a", "stdout", 1.7e9 + n, line) for n, line in enumerate(lines)]
    service.store.leases.finish(claim.run.id, claim.fence, DONE, chunks=chunks)
    return claim.run.id


# --- the door ---


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics", "/openapi.json"])
def test_health_needs_no_token(service: Api, path: str) -> None:
    assert service.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/runs", "/api/v1/nothing", "/", "/docs", "/api/v1/tokens"]
)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer tsk_abcdef_" + "x" * 43, "Basic dTpw"])
def test_nothing_else_answers_without_a_good_token(service: Api, path: str, header: str) -> None:
    answer = service.client.get(path, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_expired_and_revoked_tokens_are_refused(service: Api) -> None:
    old = service.token(Role.ADMIN, expires=time.time() - 1)
    gone = service.token(Role.ADMIN)
    service.store.tokens.revoke(gone.split("_")[1])
    for token in (old, gone):
        assert service.call("GET", "/api/v1/whoami", token=token).status_code == 401


def test_guessing_is_slowed_down(service: Api) -> None:
    for _ in range(20):
        service.client.get(
            "/api/v1/runs", headers={"Authorization": "Bearer tsk_aaaaaa_" + "x" * 43}
        )
    answer = service.client.get("/api/v1/runs", headers={"Authorization": "Bearer tsk_b_c"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_roles(service: Api) -> None:
    reader, runner, author = (service.token(r) for r in (Role.READER, Role.RUNNER, Role.AUTHOR))
    assert service.call("GET", "/api/v1/runs", token=reader).status_code == 200
    denied = service.call("POST", "/api/v1/runs", token=reader, json=RUN)
    assert (denied.status_code, denied.json()["code"]) == (403, "denied")
    assert service.call("POST", "/api/v1/runs", token=runner, json=RUN).status_code == 202
    assert service.call("POST", "/api/v1/tasks", token=runner, json=TASK).status_code == 403
    assert service.call("POST", "/api/v1/tasks", token=author, json=TASK).status_code == 201
    assert service.call("GET", "/api/v1/tokens", token=author).status_code == 403
    assert service.call("GET", "/api/v1/audit", token=author).status_code == 403


def test_a_token_for_some_tasks_sees_those_only(service: Api) -> None:
    for name in ("app-one", "other"):
        service.call("POST", "/api/v1/tasks", json={**TASK, "name": name})
        service.call("POST", f"/api/v1/tasks/{name}/runs")
    quick = start(service)["id"]
    token = service.token(Role.AUTHOR, "app-*")
    tasks = service.call("GET", "/api/v1/tasks", token=token).json()["items"]
    assert [task["name"] for task in tasks] == ["app-one"]
    runs = service.call("GET", "/api/v1/runs", token=token).json()["items"]
    assert [run["task"] for run in runs] == ["app-one"]
    for method, path in (
        ("GET", "/api/v1/tasks/other"),
        ("PUT", "/api/v1/tasks/other"),
        ("DELETE", "/api/v1/tasks/other"),
        ("POST", "/api/v1/tasks/other/runs"),
        ("GET", f"/api/v1/runs/{quick}"),
        ("GET", f"/api/v1/runs/{quick}/logs"),
        ("GET", f"/api/v1/runs/{quick}/logs/stream"),
        ("POST", f"/api/v1/runs/{quick}/cancel"),
    ):
        body = {"json": {"source": "https://h/a.git", "file": "a.yaml"}} if method == "PUT" else {}
        assert service.call(method, path, token=token, **body).status_code == 404, path
    assert service.call("POST", "/api/v1/runs", token=token, json=RUN).status_code == 403


# --- runs ---


def test_a_run_is_accepted_shown_and_announced(service: Api) -> None:
    answer = service.call("POST", "/api/v1/runs", json=RUN)
    run = answer.json()
    assert answer.headers["Location"] == f"/api/v1/runs/{run['id']}"
    assert (run["status"], run["runType"], run["runId"]) == ("Queued", "QuickRun", run["id"])
    assert run["queue"]["position"] == 1
    assert service.call("GET", f"/api/v1/runs/{run['id']}").json() == run
    deadline = time.monotonic() + 5
    while not service.queue.woken and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.queue.woken == ["default"]


def test_a_broker_that_is_away_keeps_nobody_waiting(service: Api) -> None:
    service.queue.away = True
    began = time.monotonic()
    start(service)
    assert time.monotonic() - began < 1


def test_an_idempotency_key_starts_one_run(service: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = service.call("POST", "/api/v1/runs", json=RUN, headers=headers).json()
    again = service.call("POST", "/api/v1/runs", json=RUN, headers=headers).json()
    assert again["id"] == first["id"]
    other = service.call("POST", "/api/v1/runs", json={"command": "x y"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(service.call("GET", "/api/v1/runs").json()["items"]) == 1


def test_every_bad_field_is_named_at_once(service: Api) -> None:
    body = {"command": "x", "timout": 5, "build": {"imagess": []}, "cpu": "many"}
    answer = service.call("POST", "/api/v1/runs", json=body)
    assert answer.status_code == 422
    errors = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert set(errors) == {"/timout", "/build/imagess", "/cpu"}
    assert "did you mean 'timeout'" in errors["/timout"]
    assert "did you mean 'images'" in errors["/build/imagess"]


def test_what_cannot_run_is_refused_before_it_is_stored(service: Api) -> None:
    for body, place in (
        ({}, "/source"),
        ({"command": "x", "content": "steps: []"}, "/content"),
        ({"source": "/etc", "file": "a.yaml"}, "/source"),
        ({"source": "file:///etc", "file": "a.yaml"}, "/source"),
        ({"source": "https://127.0.0.1/a.git", "file": "a.yaml"}, "/source"),
        ({"source": "https://169.254.169.254/a.git", "file": "a"}, "/source"),
        ({"source": "upload:" + "a" * 64}, "/source"),
        ({"command": "x", "timeout": 0}, "/timeout"),
        ({"command": "x", "pool": "../x"}, "/pool"),
        ({"command": "x", "registry": "https://x/y"}, "/registry"),
        ({"content": "steps:\n  - cmd: app\n    timeot: 5\n  - nothing: 1\n"}, "/content"),
    ):
        answer = service.call("POST", "/api/v1/runs", json=body)
        assert answer.status_code == 422, body
        assert place in [error["pointer"] for error in answer.json()["errors"]], answer.text
    assert service.call("GET", "/api/v1/runs").json()["items"] == []


def test_problems_of_a_task_file_have_lines(service: Api) -> None:
    answer = service.call("POST", "/api/v1/runs", json={"content": "steps:\n  - nothing: 1\n"})
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["line"]) == ("/content", 2)


def test_secrets_never_come_back(service: Api) -> None:
    run = start(
        service,
        command="",
        content="steps:\n  - cmd: app {{.Values.token}}\n",
        values=[{"name": "token", "value": "canary-value", "secret": True}],
        credentials=[{"registry": "r:5000", "username": "u", "password": "canary-password"}],
    )
    shown = service.call("GET", f"/api/v1/runs/{run['id']}").text
    listed = service.call("GET", "/api/v1/runs").text
    audit = service.call("GET", "/api/v1/audit").text
    assert "canary" not in shown + listed + audit
    assert {"name": "token", "secret": True} in service.call(
        "GET", f"/api/v1/runs/{run['id']}"
    ).json()["request"]["values"]
    assert service.store.runs.secrets(str(run["id"])).values == ("token=canary-value",)


def test_runs_are_filtered_and_paged(service: Api) -> None:
    ids = [start(service)["id"] for _ in range(5)]
    service.call("POST", f"/api/v1/runs/{ids[0]}/cancel")
    canceled = service.call("GET", "/api/v1/runs?status=canceled").json()["items"]
    assert [run["id"] for run in canceled] == [ids[0]]
    path, seen = "/api/v1/runs?limit=2&status=Queued", []
    while path:
        answer = service.call("GET", path)
        seen += [run["id"] for run in answer.json()["items"]]
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert seen == list(reversed(ids[1:]))


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1000000000",
        "limit=x",
        "cursor=abc",
        "status=Qeued",
        "since=yesterday",
        "since=2026-01-01",
        "task=" + "x" * 600,
    ],
)
def test_a_bad_query_is_told(service: Api, query: str) -> None:
    answer = service.call("GET", f"/api/v1/runs?{query}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"


def test_cancel_rerun_and_archive(service: Api) -> None:
    run = str(start(service)["id"])
    assert service.call("POST", f"/api/v1/runs/{run}/cancel").json()["status"] == "Canceled"
    assert service.call("POST", f"/api/v1/runs/{run}/cancel").json()["status"] == "Canceled"
    again = service.call("POST", f"/api/v1/runs/{run}/rerun").json()
    assert again["cause"] == {"kind": "rerun", "actor": "admin", "detail": {"run": run}}
    kept = service.call("PATCH", f"/api/v1/runs/{run}", json={"archived": True}).json()
    assert kept["archived"]
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/rerun"), ("GET", "/logs")):
        missing = service.call(method, f"/api/v1/runs/nothing{path}")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_a_rerun_whose_secrets_are_gone_says_so(service: Api) -> None:
    values = [{"name": "a", "value": "canary", "secret": True}]
    run = start(service, command="", content="steps:\n  - cmd: app\n", values=values)["id"]
    service.call("POST", f"/api/v1/runs/{run}/cancel")
    answer = service.call("POST", f"/api/v1/runs/{run}/rerun")
    assert (answer.status_code, answer.json()["code"]) == (409, "secrets_erased")


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    with api("sqlite", tmp_path, max_queued=2) as service:
        start(service)
        start(service)
        answer = service.call("POST", "/api/v1/runs", json=RUN)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) > 0


# --- logs ---


def test_logs_as_text_and_json(service: Api) -> None:
    run = start(service)["id"]
    finish(service, b"one\ntwo\n", b"three")
    logs = f"/api/v1/runs/{run}/logs"
    assert service.call("GET", logs).text == "a | one\na | two\na | three\n"
    assert service.call("GET", f"{logs}?step=a").text == "one\ntwo\nthree\n"
    assert service.call("GET", f"{logs}?tail=2&step=a").text == "two\nthree\n"
    assert service.call("GET", f"{logs}?after=1&step=a").text == "three\n"
    timed = service.call("GET", f"{logs}?timestamps=true&step=a").text.splitlines()
    assert timed[0].endswith("Z one")
    lines = service.call("GET", logs, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert len(lines) == 2
    assert '"text": "one\\ntwo\\n"' in lines[0]


def test_a_finished_log_streams_to_its_end_and_resumes(service: Api) -> None:
    run = start(service)["id"]
    finish(service, b"one\n", b"two\n")
    stream = f"/api/v1/runs/{run}/logs/stream"
    text = service.call("GET", stream).text
    assert text.index("one") < text.index("two") < text.index("event: end")
    assert '"status":"Succeeded"' in text
    resumed = service.call("GET", stream, headers={"Last-Event-ID": "1"}).text
    assert "one" not in resumed
    assert "two" in resumed
    bad = service.call("GET", stream, headers={"Last-Event-ID": "x"})
    assert bad.status_code == 422


# --- tasks ---


def test_a_task_lives_with_versions(service: Api) -> None:
    made = service.call("POST", "/api/v1/tasks", json=TASK)
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert service.call("POST", "/api/v1/tasks", json=TASK).status_code == 409
    path = "/api/v1/tasks/app"
    shown = service.call("GET", path).json()
    put = service.call("PUT", path, json=shown, headers={"If-Match": '"1"'})
    assert (put.status_code, put.headers["ETag"]) == (200, '"2"')
    stale = service.call("PUT", path, json=shown, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")
    new_only = service.call("PUT", path, json=shown, headers={"If-None-Match": "*"})
    assert new_only.status_code == 412
    patched = service.call("PATCH", path, json={"timeout": 99, "labels": {"team": "a"}}).json()
    assert (patched["timeout"], patched["labels"], patched["file"]) == (
        99,
        {"team": "a"},
        "acb.yaml",
    )
    assert service.call("PATCH", path, json={"timeout": None}).json()["timeout"] == 3600
    assert service.call("DELETE", path).status_code == 204
    assert service.call("GET", path).status_code == 404


def test_a_patch_keeps_what_it_does_not_name(service: Api) -> None:
    build = {"images": ["app:1"], "push": False, "buildArgs": [{"name": "A", "value": "b"}]}
    task = {"name": "app", "source": "https://h.example/a.git", "build": build}
    assert service.call("POST", "/api/v1/tasks", json=task).status_code == 201
    after = service.call("PATCH", "/api/v1/tasks/app", json={"timeout": 60}).json()
    assert after["build"]["push"] is False
    assert after["build"]["buildArgs"] == [{"name": "A", "value": "b"}]


def test_secrets_of_a_task_are_kept_and_never_shown(service: Api) -> None:
    values = [{"name": "token", "value": "canary-value", "secret": True}]
    service.call("POST", "/api/v1/tasks", json={**TASK, "values": values, "gitToken": "canary-git"})
    service.call(
        "PUT",
        "/api/v1/tasks/app/credentials/reg.example:5000",
        json={"username": "u", "password": "canary-password"},
    )
    shown = service.call("GET", "/api/v1/tasks/app")
    assert "canary" not in shown.text
    assert shown.json()["values"] == [{"name": "token", "secret": True}]
    assert shown.json()["hasGitToken"]
    service.call("PUT", "/api/v1/tasks/app", json=shown.json())
    service.call("PATCH", "/api/v1/tasks/app", json={"timeout": 5})
    kept = service.store.tasks.secrets("app")
    assert kept.values == ("token=canary-value",)
    assert kept.git_token == "canary-git"
    assert kept.credentials[0].password == "canary-password"
    assert "canary" not in service.call("GET", "/api/v1/tasks/app/credentials").text
    run = service.call("POST", "/api/v1/tasks/app/runs").json()
    assert service.store.runs.secrets(run["id"]) == kept
    path = "/api/v1/tasks/app/credentials/reg.example:5000"
    assert service.call("DELETE", path).status_code == 204
    assert service.call("DELETE", path).status_code == 404


def test_a_git_token_stays_with_its_host(service: Api) -> None:
    service.call("POST", "/api/v1/tasks", json={**TASK, "gitToken": "canary-git"})
    moved = service.call(
        "PATCH", "/api/v1/tasks/app", json={"source": "https://evil.example/a.git"}
    )
    assert moved.status_code == 422
    run = service.call(
        "POST", "/api/v1/tasks/app/runs", json={"source": "https://evil.example/a.git"}
    ).json()
    assert service.store.runs.secrets(run["id"]).git_token == ""


def test_a_run_of_a_task_takes_overrides(service: Api) -> None:
    values = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    service.call("POST", "/api/v1/tasks", json={**TASK, "values": values})
    run = service.call(
        "POST",
        "/api/v1/tasks/app/runs",
        json={"values": [{"name": "b", "value": "3"}], "file": "other.yaml"},
    ).json()
    assert (run["task"], run["runType"], run["request"]["file"]) == ("app", "AutoRun", "other.yaml")
    assert run["request"]["values"] == [
        {"name": "a", "value": "1"},
        {"name": "b", "value": "3"},
    ]
    service.call("PATCH", "/api/v1/tasks/app", json={"status": "Disabled"})
    disabled = service.call("POST", "/api/v1/tasks/app/runs")
    assert (disabled.status_code, disabled.json()["code"]) == (409, "task_disabled")


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a b", "x" * 51, "ä", "..", "a\nb"])
def test_an_impossible_name_is_refused(service: Api, name: str) -> None:
    answer = service.call("POST", "/api/v1/tasks", json={**TASK, "name": name})
    assert answer.status_code == 422


def test_tasks_are_paged(service: Api) -> None:
    for number in range(5):
        service.call("POST", "/api/v1/tasks", json={**TASK, "name": f"t{number}"})
    seen, cursor = [], ""
    while True:
        page = service.call("GET", f"/api/v1/tasks?limit=2&cursor={cursor}").json()
        seen += [task["name"] for task in page["items"]]
        if not (cursor := page["cursor"]):
            break
    assert seen == [f"t{number}" for number in range(5)]


# --- uploads ---


def test_an_upload_is_stored_once_and_can_be_run(service: Api) -> None:
    data = gzip.compress(b"archive" * 1000)
    digest = hashlib.sha256(data).hexdigest()
    path = f"/api/v1/uploads/{digest}"
    assert service.call("HEAD", path).status_code == 404
    assert service.call("PUT", path, content=data).status_code == 201
    assert service.call("PUT", path, content=data).status_code == 200
    assert service.call("HEAD", path).status_code == 200
    run = start(service, command="", source=f"upload:{digest}", file="acb.yaml")
    assert run["source"] == {"location": f"upload:{digest}", "commit": "", "branch": ""}


def test_an_upload_with_another_digest_is_refused(service: Api) -> None:
    path = f"/api/v1/uploads/{'a' * 64}"
    answer = service.call("PUT", path, content=b"data")
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    assert service.call("HEAD", path).status_code == 404
    assert service.call("PUT", "/api/v1/uploads/xyz", content=b"data").status_code == 422


def test_a_large_upload_is_refused(tmp_path: Path) -> None:
    with api("sqlite", tmp_path, max_upload=1000) as service:
        data = b"x" * 5000
        path = f"/api/v1/uploads/{hashlib.sha256(data).hexdigest()}"
        answer = service.call("PUT", path, content=data)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

        def blocks() -> Iterator[bytes]:
            yield from (b"x" * 500 for _ in range(10))

        chunked = service.call("PUT", path, content=blocks())
        assert chunked.status_code == 413


# --- the rest ---


def test_tokens_are_shown_once(service: Api) -> None:
    made = service.call("POST", "/api/v1/tokens", json={"name": "ci", "role": "runner"})
    token = made.json()["token"]
    assert service.call("GET", "/api/v1/whoami", token=token).json()["role"] == "runner"
    assert token not in service.call("GET", "/api/v1/tokens").text
    assert service.call("DELETE", f"/api/v1/tokens/{made.json()['id']}").status_code == 204
    assert service.call("GET", "/api/v1/whoami", token=token).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "role": "runner"},
        {"name": "x", "role": "king"},
        {"name": "x", "role": "runner", "expires": "2001-01-01T00:00:00Z"},
        {"name": "x", "role": "runner", "expires": "soon"},
        {"name": "x", "role": "runner", "tasks": ["a/b"]},
        [],
        "x",
    ],
)
def test_impossible_tokens_are_refused(service: Api, body: object) -> None:
    assert service.call("POST", "/api/v1/tokens", json=body).status_code == 422


def test_every_change_is_in_the_audit_log(service: Api) -> None:
    run = start(service)["id"]
    service.call("POST", f"/api/v1/runs/{run}/cancel")
    service.call("POST", "/api/v1/tasks", json=TASK)
    service.call("PATCH", "/api/v1/tasks/app", json={"timeout": 5})
    service.call("DELETE", "/api/v1/tasks/app")
    made = service.call("POST", "/api/v1/tokens", json={"name": "ci", "role": "reader"}).json()
    service.call("DELETE", f"/api/v1/tokens/{made['id']}")
    entries = service.call("GET", "/api/v1/audit").json()["items"]
    assert [entry["action"] for entry in reversed(entries)] == [
        "run.create",
        "run.cancel",
        "task.create",
        "task.update",
        "task.delete",
        "token.create",
        "token.revoke",
    ]
    assert {entry["actor"] for entry in entries} == {"admin"}
    one = service.call("GET", f"/api/v1/audit?object=runs/{run}&limit=1").json()
    assert one["cursor"]
    rest = service.call("GET", f"/api/v1/audit?object=runs/{run}&cursor={one['cursor']}").json()
    assert [entry["action"] for entry in rest["items"]] == ["run.create"]


def test_pools_and_metrics(service: Api) -> None:
    start(service)
    (pool,) = service.call("GET", "/api/v1/pools").json()["items"]
    assert (pool["name"], pool["queued"], pool["workers"]) == ("default", 1, 0)
    assert service.call("GET", "/api/v1/workers").json()["items"] == []
    text = service.client.get("/metrics").text
    assert 'tasks_pool_queued{pool="default"} 1.0' in text
    assert 'tasks_runs{status="Queued"} 1.0' in text


def test_bodies_have_a_limit(service: Api) -> None:
    answer = service.call("POST", "/api/v1/runs", content=b"x" * (5 << 20))
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b"\xff", b'{"a":' * 5000, b"null", b"1e999"])
def test_bodies_that_are_no_object_are_told(service: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for method, path in (
        ("POST", "/api/v1/runs"),
        ("PUT", "/api/v1/tasks/app"),
        ("PATCH", "/api/v1/tasks/app"),
    ):
        answer = service.call(method, path, content=body, headers=headers)
        assert answer.status_code in (400, 404, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_request_keeps_its_id(service: Api) -> None:
    answer = service.call("GET", "/api/v1/runs/none", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["X-Request-Id"] == "abc-1"
    assert answer.json()["requestId"] == "abc-1"
    odd = service.call("GET", "/api/v1/runs", headers={"X-Request-Id": "a b<script>"})
    assert odd.headers["X-Request-Id"] != "a b<script>"


def test_a_database_that_is_away_is_a_503(service: Api) -> None:
    token = service.admin
    service.store.database.engine.dispose()
    with service.store.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE tokens RENAME TO away")
        connection.commit()
    answer = service.call("GET", "/api/v1/runs", token=token)
    assert answer.status_code in (500, 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
