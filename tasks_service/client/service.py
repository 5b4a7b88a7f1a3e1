"""Every call of the REST API that the command line makes, one method each.

In: plain values. Out: checked answers. Calls that may be sent twice without
harm are; ``start_run`` and the like carry an idempotency key for that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from tasks_service.client.answers import JSON, Page, RunAnswer, read_object
from tasks_service.client.calls import API, quoted
from tasks_service.client.following import Follower, LogEvent
from tasks_service.client.notifications import NotificationCalls
from tasks_service.client.transport import decoded
from tasks_service.errors import NotFound


class ServiceClient(NotificationCalls):
    """A client of one server; a context manager that closes its connections."""

    # --- the server ---

    def version(self) -> JSON:
        """Return the server's version."""
        return self._get("/version", "a version")

    def whoami(self) -> JSON:
        """Return name and role of the token."""
        return self._get("/whoami", "a token")

    # --- uploads ---

    def has_upload(self, digest: str) -> bool:
        """Return whether the server holds an archive of this SHA-256 (hex)."""
        try:
            self._http.request("HEAD", f"{API}/uploads/{digest}")
        except NotFound:
            return False
        return True

    def upload(
        self, digest: str, stream: IO[bytes], length: int, told: Callable[[int], object]
    ) -> None:
        """Store an archive; ``told`` gets the bytes sent so far."""
        self._http.send_file(f"{API}/uploads/{digest}", stream, length, told)

    # --- runs ---

    def start_run(self, request: JSON, *, key: str = "") -> RunAnswer:
        """Start a quick run. The same ``key`` twice starts one run."""
        return self._start(f"{API}/runs", request, key)

    def start_task(self, name: str, overrides: JSON, *, key: str = "") -> RunAnswer:
        """Start a run of a stored task, parts of it replaced."""
        return self._start(f"{API}/tasks/{quoted(name)}/runs", overrides, key)

    def _start(self, path: str, body: JSON, key: str) -> RunAnswer:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return RunAnswer.of(
            self._http.request("POST", path, body=dict(body), headers=headers, repeat=True).body
        )

    def run(self, run_id: str) -> RunAnswer:
        """Return a run."""
        return RunAnswer.of(self._get(f"/runs/{quoted(run_id)}", "a run"))

    def runs(self, filters: Mapping[str, str], *, limit: int) -> Iterator[JSON]:
        """Yield at most ``limit`` runs, newest first, page by page."""
        return self._items("/runs", filters, limit)

    def cancel_run(self, run_id: str) -> RunAnswer:
        """Ask for a run's end; one that has ended stays as it is."""
        path = f"{API}/runs/{quoted(run_id)}/cancel"
        return RunAnswer.of(self._http.request("POST", path, repeat=True).body)

    def approve_run(self, run_id: str, commit: str) -> RunAnswer:
        """Let a run of a fork's pull request be taken; ``commit`` is what was looked at."""
        path = f"{API}/runs/{quoted(run_id)}/approve"
        return RunAnswer.of(self._http.request("POST", path, body={"commit": commit}).body)

    def rerun(self, run_id: str, *, key: str = "") -> RunAnswer:
        """Start the same once more."""
        return self._start(f"{API}/runs/{quoted(run_id)}/rerun", {}, key)

    def archive_run(self, run_id: str, archived: bool) -> RunAnswer:
        """Keep a run and its log beyond the usual time, or no longer."""
        path = f"{API}/runs/{quoted(run_id)}"
        body = {"archived": archived}
        return RunAnswer.of(self._http.request("PATCH", path, body=body, repeat=True).body)

    def follow(
        self, run_id: str, *, step: str = "", after: int = 0, tail: str = "", since: str = ""
    ) -> Follower:
        """Return the live log of a run."""
        return Follower(
            self._http,
            run_id,
            step=step,
            after=after,
            tail=tail,
            since=since,
            sleep=self._sleep,
        )

    def log_events(self, run_id: str, filters: Mapping[str, str]) -> Iterator[LogEvent]:
        """Yield the stored log so far, chunk by chunk.

        Raises:
            StrangeAnswer: It is no log.
        """
        path = f"{API}/runs/{quoted(run_id)}/logs"
        headers = {"Accept": "application/x-ndjson"}
        with self._http.stream("GET", path, query=filters, headers=headers) as response:
            if response.status_code >= 300:
                raise self._http.refusal(response)
            for line in response.iter_lines():
                if line.strip():
                    yield LogEvent.of(read_object(decoded(line.encode()), "a log"))

    # --- tasks ---

    def tasks(self, filters: Mapping[str, str] | None = None) -> Iterator[JSON]:
        """Yield all stored tasks by name."""
        return self._items("/tasks", filters or {}, limit=100_000)

    def task(self, name: str) -> tuple[JSON, str]:
        """Return a task and its ETag."""
        answer = self._http.request("GET", f"{API}/tasks/{quoted(name)}")
        return read_object(answer.body, "a task"), answer.headers.get("etag", "")

    def put_task(self, name: str, body: JSON, *, match: str = "", new: bool = False) -> JSON:
        """Create or replace a task.

        Args:
            name: The task's.
            body: The whole definition.
            match: ETag that must still be the task's.
            new: It must not be there yet.

        Raises:
            VersionMismatch: The task is not as ``match`` or ``new`` say.
        """
        headers = {"If-Match": match} if match else {}
        if new:
            headers["If-None-Match"] = "*"
        # Only a plain PUT may be sent twice: with a condition, the second
        # would be refused because of the first.
        answer = self._http.request(
            "PUT",
            f"{API}/tasks/{quoted(name)}",
            body=dict(body),
            headers=headers,
            repeat=not headers,
        )
        return read_object(answer.body, "a task")

    def patch_task(self, name: str, changes: JSON, *, match: str = "") -> JSON:
        """Change parts of a task; the others stay."""
        answer = self._http.request(
            "PATCH",
            f"{API}/tasks/{quoted(name)}",
            body=dict(changes),
            headers={"If-Match": match} if match else {},
        )
        return read_object(answer.body, "a task")

    def delete_task(self, name: str) -> None:
        """Delete a task; its runs stay."""
        self._http.request("DELETE", f"{API}/tasks/{quoted(name)}", repeat=False)

    def credentials(self, task: str) -> Iterator[JSON]:
        """Yield the registries a task has logins for, never passwords."""
        return self._items(f"/tasks/{quoted(task)}/credentials", {}, limit=10_000)

    def put_credential(self, task: str, registry: str, username: str, password: str) -> None:
        """Set a task's login of a registry."""
        path = f"{API}/tasks/{quoted(task)}/credentials/{quoted(registry)}"
        self._http.request("PUT", path, body={"username": username, "password": password})

    def delete_credential(self, task: str, registry: str) -> None:
        """Remove a task's login of a registry."""
        path = f"{API}/tasks/{quoted(task)}/credentials/{quoted(registry)}"
        self._http.request("DELETE", path, repeat=False)

    # --- timers ---

    def timers(self, task: str) -> Iterator[JSON]:
        """Yield the timers of a task."""
        return self._items(f"/tasks/{quoted(task)}/timers", {}, limit=1000)

    def timer(self, task: str, name: str) -> JSON:
        """Return one timer."""
        return self._get(f"/tasks/{quoted(task)}/timers/{quoted(name)}", "a timer")

    def put_timer(self, task: str, name: str, body: JSON, *, new: bool = False) -> JSON:
        """Create or replace a timer; ``new`` refuses one that is there."""
        answer = self._http.request(
            "PUT",
            f"{API}/tasks/{quoted(task)}/timers/{quoted(name)}",
            body=dict(body),
            headers={"If-None-Match": "*"} if new else {},
            repeat=not new,
        )
        return read_object(answer.body, "a timer")

    def delete_timer(self, task: str, name: str) -> None:
        """Remove a timer."""
        path = f"{API}/tasks/{quoted(task)}/timers/{quoted(name)}"
        self._http.request("DELETE", path, repeat=False)

    def next_times(self, task: str, name: str, count: int) -> JSON:
        """Return when a timer fires next."""
        path = f"{API}/tasks/{quoted(task)}/timers/{quoted(name)}/next"
        answer = self._http.request("GET", path, query={"count": str(count)})
        return read_object(answer.body, "fire times")

    # --- commit triggers ---

    def triggers(self, task: str) -> Iterator[JSON]:
        """Yield the commit triggers of a task."""
        return self._items(f"/tasks/{quoted(task)}/triggers", {}, limit=1000)

    def add_trigger(self, task: str, body: JSON) -> JSON:
        """Add a commit trigger; the answer holds the webhook's secret, this once."""
        path = f"{API}/tasks/{quoted(task)}/triggers"
        return read_object(self._http.request("POST", path, body=dict(body)).body, "a trigger")

    def change_trigger(self, task: str, name: str, changes: JSON) -> JSON:
        """Change parts of a commit trigger."""
        path = f"{API}/tasks/{quoted(task)}/triggers/{quoted(name)}"
        answer = self._http.request("PATCH", path, body=dict(changes), repeat=True)
        return read_object(answer.body, "a trigger")

    def delete_trigger(self, task: str, name: str) -> None:
        """Remove a commit trigger and its deliveries."""
        path = f"{API}/tasks/{quoted(task)}/triggers/{quoted(name)}"
        self._http.request("DELETE", path, repeat=False)

    def register_webhook(self, task: str, name: str) -> JSON:
        """Have the webhook of a trigger made at its Git server; return whether it was."""
        path = f"{API}/tasks/{quoted(task)}/triggers/{quoted(name)}/register"
        answer = self._http.request("POST", path, body={}, repeat=True)
        return read_object(answer.body, "an answer")

    def try_trigger(self, task: str, name: str, push: JSON) -> JSON:
        """Return whether a push would start a run."""
        path = f"{API}/tasks/{quoted(task)}/triggers/{quoted(name)}/test"
        answer = self._http.request("POST", path, body=dict(push), repeat=True)
        return read_object(answer.body, "an answer")

    def pushes(self, task: str, name: str, limit: int) -> Iterator[JSON]:
        """Yield what arrived at a commit trigger, newest first."""
        path = f"{API}/tasks/{quoted(task)}/triggers/{quoted(name)}/deliveries"
        answer = self._http.request("GET", path, query={"limit": str(limit)})
        return iter(Page.of(answer.body).items)

    def redeliver_push(self, task: str, name: str, delivery: str) -> JSON:
        """Have a delivery judged again; return the new one."""
        path = f"{API}/tasks/{quoted(task)}/triggers/{quoted(name)}/deliveries"
        answer = self._http.request("POST", f"{path}/{quoted(delivery)}/redeliver")
        return read_object(answer.body, "a delivery")

    # --- access and machines ---

    def create_token(self, body: JSON) -> JSON:
        """Create a token; the answer holds its text, this once."""
        return read_object(
            self._http.request("POST", f"{API}/tokens", body=dict(body)).body, "a token"
        )

    def tokens(self) -> Iterator[JSON]:
        """Yield all tokens, without their secrets."""
        return self._items("/tokens", {}, limit=100_000)

    def revoke_token(self, token_id: str) -> None:
        """End a token."""
        self._http.request("DELETE", f"{API}/tokens/{quoted(token_id)}", repeat=False)

    def audit(self, filters: Mapping[str, str]) -> Iterator[JSON]:
        """Yield audit entries, newest first, page by page as they are taken."""
        return self._items("/audit", filters, limit=10_000_000)

    def workers(self) -> Iterator[JSON]:
        """Yield the workers that were seen lately."""
        return self._items("/workers", {}, limit=10_000)

    def pools(self) -> Iterator[JSON]:
        """Yield the pools with workers and queue."""
        return self._items("/pools", {}, limit=10_000)

    # --- base images ---

    def watches(self) -> Iterator[JSON]:
        """Yield the references that are looked after."""
        return iter(self._get("/watches", "a list of watches")["items"])

    def sweep(self) -> None:
        """Have every watched reference asked for now."""
        self._http.request("POST", f"{API}/watches/sweep")

    def stale(self) -> Iterator[JSON]:
        """Yield the tasks that stand on something older than there is."""
        return iter(self._get("/stale", "a list of stale tasks")["items"])

    def about_image(self, what: str, image: str) -> JSON:
        """Return ``graph``, ``impact`` or ``why`` of an image."""
        query = {"image": image} if image else {}
        return read_object(self._http.request("GET", f"{API}/{what}", query=query).body, what)

    def roll_back(self, body: JSON) -> JSON:
        """Have a tag mean again what an earlier run pushed; return what was done."""
        answer = self._http.request("POST", f"{API}/rollbacks", body=dict(body), repeat=False)
        return read_object(answer.body, "a rollback")

    def waves(self, limit: int) -> Iterator[JSON]:
        """Yield waves, newest first."""
        return self._items("/waves", {}, limit=limit)

    def wave(self, number: int) -> JSON:
        """Return a wave."""
        return self._get(f"/waves/{number}", "a wave")

    def set_wave(self, number: int, verb: str) -> JSON:
        """``pause``, ``resume`` or ``cancel`` a wave; return it."""
        return read_object(
            self._http.request("POST", f"{API}/waves/{number}/{verb}").body, "a wave"
        )
