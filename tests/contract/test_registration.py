"""Webhooks made at Git servers: by the API of each provider, over HTTP, once and for good."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.contract.api_server import Api, api
from tests.deliveries import BUILDERS, PULLERS

SECRET, TOKEN = "a-secret-of-the-webhook", "a-token-of-the-forge"
PUBLIC = "https://tasks.example"
LISTS = {
    "github": "/repos/octo/app/hooks",
    "gitlab": "/projects/octo/app/hooks",
    "gitea": "/repos/octo/app/hooks",
    "forgejo": "/repos/octo/app/hooks",
    "bitbucket": "/repositories/octo/app/hooks",
    "azure": "/_apis/hooks/subscriptions",
}
LOGINS = {
    "github": ("Authorization", f"Bearer {TOKEN}"),
    "gitlab": ("Private-Token", TOKEN),
    "gitea": ("Authorization", f"token {TOKEN}"),
    "forgejo": ("Authorization", f"token {TOKEN}"),
    "bitbucket": ("Authorization", f"Bearer {TOKEN}"),
    "azure": ("Authorization", "Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()),
}


class Forge:
    """Keeps webhooks as the providers' servers do; ``broken`` is what it answers instead."""

    def __init__(self) -> None:
        self.hooks: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.broken: tuple[int, bytes] | None = None
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                status, answer = forge.answer(self.command, unquote(self.path), self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do  # noqa: N815 - http.server's

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, method: str, path: str, headers: Any, body: Any) -> tuple[int, bytes]:
        provider, _, rest = path.lstrip("/").partition("/")
        place = "/" + urlsplit(rest).path
        self.asked.append((provider, method, place))
        name, login = LOGINS[provider]
        if self.broken is not None:
            return self.broken
        if headers[name] != login:
            return 401, b"{}"
        if place.startswith("/project/_apis/git/repositories/app"):
            return 200, json.dumps({"id": "r-1", "project": {"id": "p-1"}}).encode()
        listed = LISTS[provider]
        if not place.startswith(listed):
            return 404, b"{}"
        one = place.removeprefix(listed).strip("/")
        if method == "GET":
            mine = [hook for key, hook in self.hooks.items() if key.startswith(f"{provider} ")]
            whole = {"bitbucket": {"values": mine}, "azure": {"value": mine}}
            return 200, json.dumps(whole.get(provider, mine)).encode()
        if method == "POST":
            one = {"bitbucket": f"{{u-{len(self.hooks)}}}", "azure": f"s-{len(self.hooks)}"}.get(
                provider, str(len(self.hooks))
            )
            key = "uuid" if provider == "bitbucket" else "id"
            given = one if provider in ("bitbucket", "azure") else int(one)
            self.hooks[f"{provider} {one}"] = body | {key: given}
            return 201, b"{}"
        found = self.hooks[f"{provider} {one}"]
        if method == "DELETE":
            del self.hooks[f"{provider} {one}"]
            return 204, b""
        wanted = "PUT" if provider in ("gitlab", "bitbucket") else "PATCH"
        assert (method, provider != "azure") == (wanted, True)
        found.update(body)
        return 200, b"{}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)


@pytest.fixture
def forge() -> Iterator[Forge]:
    found = Forge()
    yield found
    found.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Api]:
    more = {"allow_hosts": ("127.0.0.1",), "allow_http_sources": True, "public_url": PUBLIC}
    with api("sqlite", tmp_path, **more) as found:
        source = "https://github.com/octo/app.git#main"
        found.call("POST", "/api/v1/tasks", json={"name": "app", "source": source})
        yield found


def trigger(forge: Forge, provider: str, **more: Any) -> dict[str, Any]:
    place = "/azure/project" if provider == "azure" else f"/{provider}"
    return {
        "name": provider,
        "provider": provider,
        "repository": "app" if provider == "azure" else "octo/app",
        "apiUrl": forge.url + place,
        "pullRequests": provider in PULLERS,
        "secret": SECRET,
        "token": TOKEN,
        "registerWebhook": True,
        **more,
    }


def told(hook: dict[str, Any]) -> tuple[str, str]:
    """Return URL and secret of a webhook, wherever its provider has them."""
    inputs = hook.get("consumerInputs")
    if inputs:
        return inputs["url"], inputs["basicAuthPassword"]
    where = hook.get("config", hook)
    return where["url"], where.get("secret") or where["token"]


@pytest.mark.parametrize("provider", BUILDERS)
def test_a_webhook_is_made_once_mended_and_taken_away(
    served: Api, forge: Forge, provider: str
) -> None:
    answer = served.call("POST", "/api/v1/tasks/app/triggers", json=trigger(forge, provider))
    assert answer.status_code == 201, answer.text
    hook = answer.json()
    assert hook["registration"] == {"registered": True, "problem": ""}
    count = 3 if provider == "azure" else 1
    assert {told(one) for one in forge.hooks.values()} == {(hook["url"], SECRET)}
    assert len(forge.hooks) == count
    assert hook["url"].startswith(f"{PUBLIC}/hooks/")
    if provider == "azure":
        events = {one["eventType"] for one in forge.hooks.values()}
        assert events == {"git.push", "git.pullrequest.created", "git.pullrequest.updated"}
        assert {one["publisherInputs"]["repository"] for one in forge.hooks.values()} == {"r-1"}

    # A person broke it at the server; another's webhook is nobody's business.
    for one in forge.hooks.values():
        one.get("config", one)["token" if provider == "gitlab" else "secret"] = "wrong"
    other = {"url": "https://other.example", "config": {"url": "https://other.example"}, "id": 99}
    forge.hooks[f"{provider} 99"] = other | {"uuid": "99"}
    path = f"/api/v1/tasks/app/triggers/{provider}"
    assert served.call("POST", f"{path}/register").json() == {"registered": True, "problem": ""}
    mine = [one for one in forge.hooks.values() if one.get("id") != 99]
    assert {told(one) for one in mine} == {(hook["url"], SECRET)}
    assert len(mine) == count

    assert served.call("DELETE", path).status_code == 204
    assert list(forge.hooks) == [f"{provider} 99"]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ((401, b""), "401: it does not know the token"),
        ((403, b""), "403: the token may not administer webhooks"),
        ((404, b""), "404: there is no such repository, or the token"),
        (
            (422, b'{"message": "url is not reachable ' + TOKEN.encode() + b'\x1b"}'),
            "not reachable",
        ),
        ((302, b""), "302"),
        ((500, b""), "500"),
        ((200, b"<html>"), "something else than JSON"),
        ((200, b"[" * 100_000), "something else than JSON"),
        ((200, b"[" + b" " * (5 << 20) + b"]"), "more than 4 MiB"),
        ((200, b'[{"id": "../../x", "config": {"url": 7}}, 5, null]'), ""),
    ],
)
def test_a_server_that_refuses_or_talks_nonsense_costs_the_webhook_not_the_trigger(
    served: Api, forge: Forge, broken: tuple[int, bytes], words: str
) -> None:
    forge.broken = broken
    answer = served.call("POST", "/api/v1/tasks/app/triggers", json=trigger(forge, "github"))
    assert answer.status_code == 201, answer.text
    registration = answer.json()["registration"]
    assert registration["registered"] == (not words)
    assert words in registration["problem"]
    assert bool(registration["problem"]) == bool(words)
    assert TOKEN not in answer.text
    assert "\x1b" not in registration["problem"]
    assert served.call("DELETE", "/api/v1/tasks/app/triggers/github").status_code == 204


def test_nothing_inside_is_asked_and_nothing_without_a_token_or_address(
    served: Api, forge: Forge, tmp_path: Path
) -> None:
    body = trigger(forge, "github", name="inside", apiUrl="https://169.254.169.254/")
    answer = served.call("POST", "/api/v1/tasks/app/triggers", json=body)
    assert answer.status_code == 422, answer.text
    body = trigger(forge, "github", name="bare", token="")
    answer = served.call("POST", "/api/v1/tasks/app/triggers", json=body)
    assert "has no token" in answer.json()["registration"]["problem"]
    body = trigger(forge, "github", name="quiet", registerWebhook=False)
    answer = served.call("POST", "/api/v1/tasks/app/triggers", json=body)
    assert answer.json()["registration"] == {"registered": False, "problem": ""}
    assert forge.asked == []
    folder = tmp_path / "other"
    folder.mkdir()
    more = {"allow_hosts": ("127.0.0.1",), "allow_http_sources": True}
    with api("sqlite", folder, **more) as found:
        source = "https://github.com/octo/app.git#main"
        found.call("POST", "/api/v1/tasks", json={"name": "app", "source": source})
        answer = found.call("POST", "/api/v1/tasks/app/triggers", json=trigger(forge, "github"))
        assert "public_url is not set" in answer.json()["registration"]["problem"]
    assert forge.asked == []
