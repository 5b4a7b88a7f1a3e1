"""Deliveries of enemies and of broken servers, at the door, over HTTP, for every provider.

Nobody without the secret is heard; what is signed but makes no sense is refused
with a reason; nothing of it is an error of ours, and nothing of it is half stored.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks_service.model.run import RunFilter
from tests.contract.api_server import Api, api
from tests.contract.stores import KINDS
from tests.deliveries import BUILDERS, PULLERS, Delivery, Opened, Pushed, pull, push, signed

SECRET = "a-secret-of-the-webhook"
JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, "", "x", "0" * 40, "'; DROP TABLE runs; --", "../../etc/passwd",
    "\x00", "\ud800", "x" * 100_000, [], {}, [None] * 50, [[[[]]]], {"sha": {"sha": {}}},
)  # fmt: skip
NAMES = (
    "refs/heads/a'b", 'refs/heads/a"b', "refs/heads/$(id)", "refs/heads/`id`", "refs/heads/a;b",
    "refs/heads/-rf", "refs/heads/--upload-pack=id", "refs/heads/a b", "refs/heads/../main",
    "refs/heads/feature/x/y", "refs/heads/übel", "refs/heads/{{.Run.ID}}", "refs/heads/%2e%2e",
    "refs/heads/a|b", "refs/heads/a>b", "refs/heads/a\\b", "refs/heads/main#:x", "refs/tags/-v",
)  # fmt: skip
NO_NAMES = (
    "refs/heads/a\nb", "refs/heads/a\r\nSet-Cookie: x", "refs/heads/a\x1b[2J", "refs/heads/a\x00b",
    "refs/heads/übel\u202egnp", "refs/heads/a\u2028b", "main", "HEAD", "heads/main",
    "refs/heads/" + "x" * 600, "-refs/heads/main",
)  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("attacks")
    with api(request.param, folder, max_queued=100_000) as found:
        for provider in BUILDERS:
            found.call(
                "POST",
                "/api/v1/tasks",
                json={"name": provider, "source": "https://github.com/octo/app.git#main"},
            )
            trigger = {
                "name": "push",
                "provider": provider,
                "repository": "app" if provider == "azure" else "octo/app",
                "refs": ["**", "refs/tags/**"],
                "pullRequests": provider in PULLERS,
                "secret": SECRET,
            }
            answer = found.call("POST", f"/api/v1/tasks/{provider}/triggers", json=trigger)
            assert answer.status_code == 201, answer.text
        yield found


def url(served: Api, provider: str) -> str:
    (one,) = served.call("GET", f"/api/v1/tasks/{provider}/triggers").json()["items"]
    return str(one["url"])


def send(served: Api, provider: str, headers: Mapping[str, str], body: bytes) -> Any:
    # Header values as raw bytes: no client of ours stands between an enemy and the door.
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return served.client.post(url(served, provider), content=body, headers=raw)


def runs(served: Api, provider: str) -> int:
    return len(served.store.runs.list(RunFilter(task=provider), limit=500).runs)


def enemies(provider: str, sent: Delivery) -> Iterator[tuple[str, Mapping[str, str], bytes]]:
    """Yield what people send who don't know the secret, or changed what was signed."""
    proof = {
        "github": "X-Hub-Signature-256", "gitlab": "X-Gitlab-Token",
        "gitea": "X-Gitea-Signature", "forgejo": "X-Forgejo-Signature",
        "bitbucket": "X-Hub-Signature", "azure": "Authorization",
    }[provider]  # fmt: skip
    rest = {name: value for name, value in sent.headers.items() if name != proof}
    good = sent.headers[proof]
    yield "none", rest, sent.body
    sha1 = hmac.new(SECRET.encode(), sent.body, hashlib.sha1).hexdigest()
    empty = hmac.new(b"", sent.body, hashlib.sha256).hexdigest()
    forged = {
        "empty": "", "space": " ", "prefix": "sha256=", "half": good[: len(good) // 2],
        "more": good + "0", "zeros": "sha256=" + "0" * 64, "sha1": f"sha1={sha1}",
        "key of nothing": f"sha256={empty}", "bare key of nothing": empty, "long": "a" * 6000,
        "letters": "sha256=" + "é" * 64, "Basic": "Basic", "no base64": "Basic !!!",
        "no colon": "Basic " + base64.b64encode(SECRET.encode()).decode(),
        "not UTF-8": "Basic " + base64.b64encode(b"x:\xff\xfe").decode(),
        "bearer": f"Bearer {SECRET}", "null": "null", "undefined": "undefined",
    }  # fmt: skip
    for why, value in forged.items():
        yield why, {**rest, proof: value}, sent.body
    other = push(provider, Pushed(), "another-secret-of-somebody")
    yield "another's", other.headers, sent.body
    if provider not in ("gitlab", "azure"):
        # The two that sign nothing can't know what was changed.
        yield "changed", sent.headers, sent.body.replace(b"2" * 40, b"3" * 40)
        yield "longer", sent.headers, sent.body + b" "
        yield "nothing", sent.headers, b""


@pytest.mark.parametrize("provider", BUILDERS)
def test_nobody_without_the_secret_is_heard(served: Api, provider: str) -> None:
    before = runs(served, provider)
    sent = push(provider, Pushed(), SECRET)
    for why, headers, body in enemies(provider, sent):
        answer = send(served, provider, headers, body)
        assert answer.status_code == 403, (why, answer.text)
        assert answer.json()["code"] == "forged_delivery"
        assert SECRET not in answer.text
    for path in ("x", "x" * 5000, "..%2f..%2fapi", "%00", "'--", "💣"):
        answer = served.client.post(f"/hooks/{path}", content=sent.body, headers=dict(sent.headers))
        assert answer.status_code in (403, 404), answer.text
    assert runs(served, provider) == before


@pytest.mark.parametrize("text", ["%00", "%0a", "a%00b", "%ff", "%ed%a0%80", "%e2%80%ae"])
def test_no_text_of_a_url_breaks_anything(served: Api, text: str) -> None:
    for path in (
        f"tasks/{text}", f"runs/{text}", f"tasks/{text}/triggers", f"runs/{text}/logs",
        f"tasks/github/triggers/{text}/deliveries", f"runs?task={text}", f"runs?image={text}",
        f"runs?commit={text}", f"runs?cursor={text}", f"graph?image={text}", f"why?image={text}",
    ):  # fmt: skip
        answer = served.call("GET", f"/api/v1/{path}")
        assert answer.status_code < 500, (path, answer.text)


@pytest.mark.parametrize("provider", BUILDERS)
def test_one_provider_takes_no_proof_of_another(served: Api, provider: str) -> None:
    for other in BUILDERS:
        sent = push(other, Pushed(after="4" * 40), "another-secret-of-somebody")
        assert send(served, provider, sent.headers, sent.body).status_code == 403


@pytest.mark.parametrize("provider", BUILDERS)
def test_what_is_signed_but_is_no_delivery_is_refused_with_a_reason(
    served: Api, provider: str
) -> None:
    before = runs(served, provider)
    whole = push(provider, Pushed(), SECRET).body
    bodies = (
        b"", b" ", b"{", whole[:-1], whole[: len(whole) // 2], b"\xff\xfe", b"nonsense",
        b"payload=%7B%7D", b"[" * 100_000, b'{"a":' * 50_000, whole + whole, b"\xef\xbb\xbf{}x",
        b"NaN", b"1" * 5000,
    )  # fmt: skip
    for body in bodies:
        sent = signed(provider, body, SECRET)
        if provider == "gitlab":
            sent = signed(provider, body, SECRET, event="Push Hook")
        answer = send(served, provider, sent.headers, sent.body)
        assert answer.status_code in (202, 422), (body[:40], answer.text)
        if answer.status_code == 202:
            assert answer.json() == {"items": []}
        else:
            assert answer.json()["code"] == "invalid_payload"
    huge = signed(provider, b'{"a": "' + b"x" * (5 << 20) + b'"}', SECRET)
    assert send(served, provider, huge.headers, huge.body).status_code == 413
    assert runs(served, provider) == before


def leaves(payload: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value, of lists and objects too."""
    if path:
        yield path
    inner = payload.items() if isinstance(payload, dict) else ()
    if isinstance(payload, list):
        inner = enumerate(payload)
    for key, value in inner:
        yield from leaves(value, (*path, key))


def changed(payload: Any, path: tuple[Any, ...], value: Any) -> Any:
    found = copy.deepcopy(payload)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return found


def kinds_of(provider: str) -> Iterator[tuple[str, Any]]:
    """Yield event and payload of each kind of delivery that a provider sends."""
    for sent in (
        push(provider, Pushed(), SECRET),
        *([pull(provider, Opened(before="1" * 40), SECRET)] if provider in PULLERS else ()),
    ):
        names = ("X-GitHub-Event", "X-Gitlab-Event", "X-Gitea-Event", "X-Forgejo-Event")
        event = next((sent.headers[name] for name in names if name in sent.headers), "push")
        yield event, json.loads(sent.body)


@pytest.mark.parametrize("provider", BUILDERS)
def test_any_value_of_a_payload_may_be_anything(served: Api, provider: str) -> None:
    places = [
        (event, payload, path) for event, payload in kinds_of(provider) for path in leaves(payload)
    ]
    # Each place with a junk value of its turn, and each junk value many times.
    for number, (event, payload, path) in enumerate(places * 2):
        value = JUNK[(number * 7 + number // len(places)) % len(JUNK)]
        body = json.dumps(changed(payload, path, value)).encode()
        sent = signed(provider, body, SECRET, event=event)
        answer = send(served, provider, sent.headers, sent.body)
        assert answer.status_code in (202, 422, 429), (path, repr(value)[:60], answer.text)
    for run in served.store.runs.list(RunFilter(task=provider), limit=500).runs:
        commit = run.cause.detail["commitId"]
        assert len(commit) == 40
        assert set(commit) <= set("0123456789abcdef")
        assert run.request.source == f"https://github.com/octo/app.git#{commit}"


@pytest.mark.parametrize("provider", BUILDERS)
def test_names_of_refs_are_data(served: Api, provider: str) -> None:
    for number, name in enumerate(NAMES):
        if provider == "bitbucket" and name.startswith("refs/tags/"):
            continue
        commit = f"{number + 10}" * 20
        sent = push(provider, Pushed(ref=name, after=commit), SECRET)
        answer = send(served, provider, sent.headers, sent.body)
        assert answer.status_code == 202, (name, answer.text)
        (item,) = answer.json()["items"]
        run = served.store.runs.get(item["runId"])
        assert run is not None
        assert run.cause.detail["ref"] == name
        told = run.cause.detail["branchName"] + run.cause.detail["tagName"]
        plain = {"refs/heads/../main": "../main", "refs/heads/feature/x/y": "feature/x/y"}
        assert told in ("", plain.get(name, ""), "übel", "main#:x")
        assert not set(told) & set("'\"$`;| <>\\{}%-\n")
        assert run.request.source == f"https://github.com/octo/app.git#{commit}"
    if provider == "bitbucket":
        # It tells names without refs/heads/, and what is no name is one of a branch.
        return
    for name in NO_NAMES:
        sent = push(provider, Pushed(ref=name, after="5" * 40), SECRET)
        answer = send(served, provider, sent.headers, sent.body)
        assert answer.status_code == 422, (name, answer.text)


@pytest.mark.parametrize("provider", BUILDERS)
def test_a_replay_under_another_id_or_event_starts_nothing_more(served: Api, provider: str) -> None:
    pushed = Pushed(ref="refs/heads/replayed", before="6" * 40, after="7" * 40)
    first = push(provider, pushed, SECRET, number="1")
    ids = set()
    for number in ("1", "1", "2", "x" * 500, ""):
        again = push(provider, pushed, SECRET, number=number)
        answer = send(served, provider, again.headers, first.body)
        ids.add(answer.json()["items"][0]["runId"])
    assert len(ids) == 1
    if provider in PULLERS and provider != "azure":
        # Its event is told by a header that nobody signed.
        as_pull = pull(provider, Opened(), SECRET)
        headers = {**as_pull.headers, **{k: v for k, v in first.headers.items() if "ign" in k}}
        answer = send(served, provider, headers, first.body)
        assert answer.status_code in (202, 422), answer.text
        assert {one["runId"] for one in answer.json().get("items", [])} <= {""}
