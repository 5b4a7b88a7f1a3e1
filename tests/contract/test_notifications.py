"""Notifications on real stores and over real HTTP: receivers that take, fail, hang, redirect."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runners.model.status import RunStatus
from tasks_service.config import Settings
from tasks_service.model.notification import Delivery, Notification, Receiver
from tasks_service.model.run import Cause, NewRun, RunEnd, RunRequest
from tasks_service.notifiers import post as posting
from tasks_service.scheduler import notices
from tasks_service.scheduler.notices import NoticeDuty
from tasks_service.store import Store
from tests.contract.api_server import api
from tests.contract.stores import KINDS, opened

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Sink:
    """A real receiver: answers as it is told, and keeps what it got."""

    host: str = "127.0.0.1"
    port: int = 0
    code: int = 200
    location: str = ""
    hang: threading.Event = field(default_factory=threading.Event)
    hangs: bool = False
    drips: bool = False
    got: list[tuple[dict[str, str], str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/hook"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with receiving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Sink]:
    with receiving() as found:
        yield found


@contextmanager
def receiving(host: str = "127.0.0.1", port: int = 0) -> Iterator[Sink]:
    found = Sink(host)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.got.append((headers, body))
            if found.hangs:
                found.hang.wait(20)
            while found.drips and not found.hang.wait(0.05):
                try:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                except OSError:
                    return
            self.send_response(found.code)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name http.server calls

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield found
    finally:
        found.hang.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path) as found:
        yield found


def duty(store: Store, folder: Path, *hosts: str, networks: tuple[str, ...] = ()) -> NoticeDuty:
    return NoticeDuty(store, Settings(state_dir=folder, allow_hosts=hosts, allow_networks=networks))


def told(store: Store, sink: Sink, *events: str, kind: str = "webhook", tasks: str = "") -> None:
    globs = (tasks,) if tasks else ()
    store.notifications.create(
        Notification(
            "ops", kind, "127.0.0.1", events or ("finished", "failed", "recovered"), globs
        ),
        Receiver(sink.url, SECRET if kind == "webhook" else ""),
    )


def ended(store: Store, run_id: str, status: RunStatus, task: str = "app") -> None:
    new = NewRun(RunRequest(command="x"), cause=Cause(), task=task)
    store.runs.accept(new, run_id=run_id)
    claim = store.leases.claim("default", owner="w", lease_s=60)
    assert claim is not None
    code = "" if status == RunStatus.SUCCEEDED else "step_failed"
    end = RunEnd(status, {"steps": []}, error_code=code, error="<broken>" if code else "")
    store.leases.finish(claim.run.id, claim.fence, end)


def deliveries(store: Store) -> list[Delivery]:
    return list(store.notifications.deliveries("ops"))


def work(one: NoticeDuty) -> None:
    while one.plan():
        pass
    while one.deliver() or one.rest(30):
        pass


def test_a_failure_and_its_recovery_are_told_once_and_signed(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    told(store, sink, "failed", "recovered")
    one = duty(store, tmp_path, "127.0.0.1")
    for number, status in enumerate(
        (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.SUCCEEDED)
    ):
        ended(store, f"r{number}", status)
    work(one)
    work(duty(store, tmp_path, "127.0.0.1"))
    bodies = {json.loads(body)["data"]["run"]: (headers, body) for headers, body in sink.got}
    assert len(sink.got) == len(bodies) == 2
    events = {run: json.loads(body)["type"] for run, (_, body) in bodies.items()}
    assert events == {"r1": "tasks-service.run.failed", "r2": "tasks-service.run.recovered"}
    headers, body = bodies["r1"]
    event = json.loads(body)
    assert event["specversion"] == "1.0"
    assert (event["id"], event["subject"]) == (headers["webhook-id"], "runs/r1")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    wanted = base64.b64encode(hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert [one.status for one in deliveries(store)] == ["delivered"] * 2


def test_a_run_that_waits_for_approval_is_told_and_so_is_its_end(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    told(store, sink, "finished", "approval")
    one = duty(store, tmp_path, "127.0.0.1")
    for run_id in ("waits", "approved", "gone"):
        store.runs.accept(NewRun(RunRequest(command="x"), task="app", held=True), run_id=run_id)
    # Nobody need be told of what was approved meanwhile, or is over.
    store.hooks.approve("approved")
    store.runs.request_cancel("gone", reason="enough")
    work(one)
    work(duty(store, tmp_path, "127.0.0.1"))
    bodies = [json.loads(body) for _, body in sink.got]
    found = sorted((body["data"]["run"], body["type"].rpartition(".")[2]) for body in bodies)
    assert found == [("gone", "finished"), ("waits", "approval")]
    store.hooks.approve("waits")
    for _ in range(2):
        claim = store.leases.claim("default", owner="w", lease_s=60)
        assert claim is not None
        end = RunEnd(RunStatus.SUCCEEDED, {"steps": []})
        store.leases.finish(claim.run.id, claim.fence, end)
    work(one)
    bodies = [json.loads(body) for _, body in sink.got][2:]
    found = sorted((body["data"]["run"], body["type"].rpartition(".")[2]) for body in bodies)
    assert found == [("approved", "finished"), ("waits", "finished")]


def test_two_schedulers_at_once_plan_each_receiver_once(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    told(store, sink)
    ended(store, "r1", RunStatus.FAILED)
    store.notifications.plan("r1", [("msg_1", "ops", "failed", "{}")])
    store.notifications.plan("r1", [("msg_2", "ops", "failed", "{}")])
    assert [one.id for one in deliveries(store)] == ["msg_1"]
    taken = store.notifications.take(hold_s=60)
    assert len(taken) == 1
    assert store.notifications.take(hold_s=60) == ()


def test_a_canceled_and_a_lost_run_are_told_too(store: Store, tmp_path: Path, sink: Sink) -> None:
    told(store, sink, "finished")
    store.runs.accept(NewRun(RunRequest(command="x")), run_id="r1")
    store.runs.request_cancel("r1", reason="enough")
    store.runs.accept(NewRun(RunRequest(command="x")), run_id="r2")
    store.leases.claim("default", owner="w", lease_s=-1)
    store.recovery.reap("r2", retries=0)
    work(duty(store, tmp_path, "127.0.0.1"))
    found = {json.loads(body)["data"]["run"]: json.loads(body)["data"]["status"]
             for _, body in sink.got}  # fmt: skip
    assert found == {"r1": "Canceled", "r2": "Error"}


def test_slack_gets_one_sentence_that_means_nothing_else(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    told(store, sink, "failed", kind="slack", tasks="app-*")
    ended(store, "r1", RunStatus.FAILED, "app-one")
    ended(store, "r2", RunStatus.FAILED, "other")
    work(duty(store, tmp_path, "127.0.0.1"))
    ((headers, body),) = sink.got
    assert "webhook-signature" not in headers
    assert json.loads(body) == {
        "text": "task app-one failed (run r1) - step_failed: &lt;broken&gt;"
    }


def test_a_receiver_that_fails_is_asked_again_and_then_dead_until_somebody_redelivers(
    store: Store, tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "BACK_OFF_S", (0.0, 0.0))
    told(store, sink)
    ended(store, "r1", RunStatus.FAILED)
    sink.code = 503
    one = duty(store, tmp_path, "127.0.0.1")
    work(one)
    (dead,) = deliveries(store)
    assert (dead.status, dead.attempts, dead.code) == ("dead", 3, 503)
    assert "answered 503" in dead.problem
    assert len({headers["webhook-id"] for headers, _ in sink.got}) == 1
    sink.code = 204
    work(one)
    assert deliveries(store)[0].status == "dead"
    store.notifications.redeliver("ops", dead.id)
    work(one)
    assert (deliveries(store)[0].status, deliveries(store)[0].attempts) == ("delivered", 1)


def test_a_receiver_that_hangs_is_left_for_later(
    store: Store, tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.3)
    told(store, sink)
    ended(store, "r1", RunStatus.FAILED)
    sink.hangs = True
    work(duty(store, tmp_path, "127.0.0.1"))
    (waiting,) = deliveries(store)
    assert (waiting.status, waiting.attempts) == ("waiting", 1)
    assert "did not answer" in waiting.problem
    assert waiting.at > waiting.created + 3


def test_a_receiver_that_drips_is_left_for_later_all_the_same(
    store: Store, tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT_S", 0.5)
    told(store, sink)
    ended(store, "r1", RunStatus.FAILED)
    sink.drips = True
    began = time.monotonic()
    work(duty(store, tmp_path, "127.0.0.1"))
    assert time.monotonic() - began < 10
    (waiting,) = deliveries(store)
    assert (waiting.status, waiting.attempts) == ("waiting", 1)
    assert "did not answer" in waiting.problem


def test_a_receiver_that_hangs_holds_up_no_other(
    store: Store, tmp_path: Path, sink: Sink, other: Sink
) -> None:
    told(store, sink, "failed")
    store.notifications.create(
        Notification("good", "webhook", "127.0.0.1", ("failed",)), Receiver(other.url, SECRET)
    )
    sink.hangs = True
    for number in range(30):
        ended(store, f"r{number}", RunStatus.FAILED)
    one = duty(store, tmp_path, "127.0.0.1")
    while one.plan():
        pass
    deadline = time.monotonic() + 8
    while len(other.got) < 30:
        one.deliver()
        assert time.monotonic() < deadline, "the good receiver waits for the one that hangs"
    assert 0 < len(sink.got) <= 4
    sink.hang.set()
    work(one)
    assert {found.status for found in store.notifications.deliveries("good")} == {"delivered"}


def test_a_redirect_inward_is_not_followed(store: Store, tmp_path: Path, sink: Sink) -> None:
    told(store, sink)
    ended(store, "r1", RunStatus.FAILED)
    sink.code, sink.location = 307, f"http://localhost:{sink.port}/inside"
    work(duty(store, tmp_path, "127.0.0.1"))
    assert len(sink.got) == 1
    assert "redirects" in deliveries(store)[0].problem


def test_nothing_inside_is_reached_by_a_name_that_leads_there(
    store: Store, tmp_path: Path, sink: Sink
) -> None:
    told(store, sink)
    ended(store, "r1", RunStatus.FAILED)
    work(duty(store, tmp_path))
    assert sink.got == []
    (dead,) = deliveries(store)
    assert dead.status == "dead"
    assert "not allowed" in dead.problem


def test_over_the_api_secrets_are_shown_once_and_bad_receivers_refused(tmp_path: Path) -> None:
    with api("sqlite", tmp_path) as service:
        path = "/api/v1/notifications/ops"
        made = service.call(
            "PUT", path, json={"kind": "webhook", "url": "https://ops.example/hook?key=canary"}
        )
        assert made.status_code == 201, made.text
        assert made.json()["secret"].startswith("whsec_")
        assert made.json()["events"] == ["failed", "recovered"]
        again = service.call("PUT", path, json={"kind": "slack", "url": "https://ops.example/"})
        assert again.status_code == 409
        listed = service.call("GET", "/api/v1/notifications")
        assert "canary" not in listed.text
        assert "whsec_" not in listed.text
        for body, pointer in (
            ({"kind": "webhook", "url": "https://127.0.0.1/x"}, "/url"),
            ({"kind": "webhook", "url": "http://169.254.169.254/latest"}, "/url"),
            ({"kind": "webhook", "url": "ssh://ops.example/x"}, "/url"),
            ({"kind": "webhook", "url": "https://ops.example/", "secret": "short"}, "/secret"),
        ):
            refused = service.call("PUT", "/api/v1/notifications/other", json=body)
            assert refused.status_code == 422, body
            assert pointer in [error["pointer"] for error in refused.json()["errors"]]
        assert service.call("GET", f"{path}/deliveries").json()["items"] == []
        assert service.call("POST", f"{path}/deliveries/msg_x/redeliver").status_code == 404
        assert service.call("DELETE", path).status_code == 204
        assert service.call("DELETE", path).status_code == 404
