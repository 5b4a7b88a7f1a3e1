"""Looks at repositories on real stores: what nobody told is found, once; nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.clock import ManualClock
from runners.model.errors import Unavailable
from tasks_service.config import Settings
from tasks_service.model.commit import POLL, WEBHOOK, CommitTrigger, Delivery, Hook, HookSecrets
from tasks_service.model.run import RunFilter, RunRequest, RunSecrets
from tasks_service.model.task import TaskDefinition
from tasks_service.runs.commits import Deliveries
from tasks_service.runs.lifecycle import RunLife
from tasks_service.scheduler import polling
from tasks_service.scheduler.polling import PollDuty
from tasks_service.sources.location import GitLocation
from tasks_service.sources.look import Refs
from tasks_service.sources.settings import SourceSettings
from tasks_service.store import Store
from tests.contract.stores import KINDS, opened
from tests.deliveries import Pushed, push

SECRET = "a-secret-of-the-webhook"
URL = "https://git.example/octo/app.git"
MAIN, NEXT, TAG = "refs/heads/main", "refs/heads/next", "refs/tags/v1"
A, B, C, D = (digit * 40 for digit in "abcd")
HOUR = 3600.0


class Announced:
    def announce(self, pool: str, run_id: str) -> None:
        """Nobody works here."""


class Remote:
    """A Git server, as ``look_at`` tells of it."""

    def __init__(self) -> None:
        self.refs: dict[str, tuple[str, ...]] = {}
        self.logins: list[str] = []
        self.down = False
        self.during: list[object] = []

    def look(self, location: GitLocation, settings: SourceSettings, _: Cancellation) -> Refs:
        self.logins.append(settings.login.password if settings.login else "")
        assert (location.url, location.ref) == (URL, "")
        if self.down:
            raise Unavailable("host git.example cannot be reached")
        found = Refs(MAIN, {ref: ids[-1] for ref, ids in self.refs.items()}, dict(self.refs))
        for work in self.during:
            assert callable(work)
            work()
        return found


class Place:
    """A store with one task, a duty, and a Git server."""

    def __init__(self, store: Store, folder: Path, remote: Remote, clock: ManualClock) -> None:
        self.store, self.remote, self.clock = store, remote, clock
        settings = replace(Settings(state_dir=folder), allow_hosts=("git.example",))
        self._settings = settings
        self.life = RunLife(store, Announced(), settings)
        self.task("app")

    def task(self, name: str, source: str = URL, token: str = "a-token") -> None:
        request = RunRequest(command="alpine true", source=source)
        self.store.tasks.create(TaskDefinition(name, request), RunSecrets(git_token=token))

    def hook(self, task: str = "app", **more: object) -> Hook:
        trigger = CommitTrigger("push", "github", "octo/app", **more)  # type: ignore[arg-type]
        return self.store.hooks.add(f"hook-of-{task}", task, trigger, HookSecrets(SECRET))

    def duty(self) -> PollDuty:
        return PollDuty(self.store, self.life, self._settings, {}, spread=lambda: 0.5)

    def told(self, hook: Hook, before: str, after: str, ref: str = MAIN) -> Delivery:
        sent = push("github", Pushed(before=before, after=after, ref=ref), SECRET)
        headers = {name.lower(): value for name, value in sent.headers.items()}
        return Deliveries(self.store, self.life).take(hook.id, headers, sent.body)[0]

    def again(self, duty: PollDuty, hook: Hook) -> Hook:
        """Look as if the time had come, and return the trigger."""
        trigger = replace(hook.trigger)
        self.store.hooks.change(hook, trigger, hook.secrets)
        duty.look()
        found = self.store.hooks.get(hook.id)
        assert found is not None
        return found

    def commits(self, task: str = "app") -> list[tuple[str, str]]:
        """Return ref and commit of all runs, oldest first."""
        found = self.store.runs.list(RunFilter(task=task), limit=500).runs
        return [(run.cause.detail["ref"], run.cause.detail["commitId"]) for run in reversed(found)]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    found = Remote()
    monkeypatch.setattr(polling, "look_at", found.look)
    return found


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, remote: Remote) -> Iterator[Place]:
    clock = ManualClock()
    with opened(request.param, tmp_path, clock) as store:
        yield Place(store, tmp_path, remote, clock)


def via(place: Place, hook: Hook) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for one in place.store.hooks.deliveries(hook.id, limit=500):
        found[one.via] = found.get(one.via, 0) + 1
    return found


def test_what_is_there_at_first_is_no_news_and_what_moves_later_is_found_once(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,), NEXT: (A,), "refs/heads/other": (A,)}
    hook = place.hook(refs=("main", "next", "new/*", "refs/tags/v*"))
    duty = place.duty()
    assert not duty.look()
    assert place.commits() == []
    remote.refs |= {MAIN: (B,), "refs/heads/new/one": (C,), "refs/heads/other": (D,), TAG: (D, A)}
    found = place.again(duty, hook)
    assert place.commits() == [(MAIN, B), ("refs/heads/new/one", C), (TAG, A)]
    assert found.polled is not None
    assert found.poll_problem == ""
    place.again(duty, hook)
    place.again(place.duty(), hook)
    assert len(place.commits()) == 3
    deliveries = {one.ref: one for one in place.store.hooks.deliveries(hook.id)}
    assert {one.via for one in deliveries.values()} == {POLL}
    assert (deliveries[MAIN].before, deliveries[TAG].before) == (A, "")
    assert set(remote.logins) == {"a-token"}


def test_what_a_webhook_told_is_no_news_and_the_other_way_round(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook(refs=("main", "refs/tags/*"))
    duty = place.duty()
    duty.look()
    place.told(hook, A, B)
    # Servers tell the object of an annotated tag, or the commit behind it.
    place.told(hook, "0" * 40, D, TAG)
    remote.refs = {MAIN: (B,), TAG: (D, B)}
    place.again(duty, hook)
    assert place.commits() == [(MAIN, B), (TAG, D)]
    remote.refs[MAIN] = (C,)
    place.again(duty, hook)
    (first, *_) = place.store.hooks.deliveries(hook.id)
    assert place.told(hook, B, C).run_id == first.run_id
    assert place.commits()[2:] == [(MAIN, C)]
    assert via(place, hook) == {WEBHOOK: 2, POLL: 1}


def test_a_webhook_during_a_look_is_not_overtaken_by_what_the_look_saw_before(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    remote.refs[MAIN] = (B,)
    remote.during = [lambda: (place.told(hook, A, B), place.told(hook, B, C))]
    place.again(duty, hook)
    assert place.commits() == [(MAIN, B), (MAIN, C)]
    remote.during, remote.refs[MAIN] = [], (C,)
    place.again(duty, hook)
    assert len(place.commits()) == 2


def test_steps_that_a_look_skipped_start_nothing_when_they_are_told_late(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    remote.refs[MAIN] = (D,)
    place.again(duty, hook)
    for before, after in ((A, B), (B, C), (C, D)):
        place.told(hook, before, after)
    assert place.commits() == [(MAIN, D)]
    # Back to a commit of before: that is news.
    place.told(hook, D, B)
    place.told(hook, B, "e" * 40)
    assert place.commits()[1:] == [(MAIN, B), (MAIN, "e" * 40)]


def test_a_branch_that_flaps_between_two_looks_is_found_each_time(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    for commit in (B, A, B, A):
        remote.refs[MAIN] = (commit,)
        place.again(duty, hook)
    assert [commit for _, commit in place.commits()] == [B, A, B, A]


def test_a_server_that_is_away_is_asked_again_with_pauses_and_nothing_is_lost(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    remote.down = True
    remote.refs[MAIN] = (B,)
    for failures in range(3):
        found = place.again(duty, hook)
        assert "cannot be reached" in found.poll_problem
        duty.look()
        assert len(remote.logins) == failures + 2
    remote.down = False
    found = place.again(duty, hook)
    assert found.poll_problem == ""
    assert place.commits() == [(MAIN, B)]


def test_other_patterns_or_another_source_are_a_new_beginning(place: Place, remote: Remote) -> None:
    remote.refs = {MAIN: (A,), NEXT: (B,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    changed = replace(hook.trigger, refs=("main", "next"))
    hook = place.store.hooks.change(hook, changed, hook.secrets)
    duty.look()
    assert place.commits() == []
    remote.refs[NEXT] = (C,)
    place.again(duty, hook)
    assert place.commits() == [(NEXT, C)]


def test_who_wants_no_looks_is_left_alone(place: Place, remote: Remote) -> None:
    more = ({"poll_seconds": 0.0}, {"enabled": False}, {"pushes": False, "pull_requests": True})
    for number, one in enumerate(more):
        place.task(f"task-{number}")
        place.hook(f"task-{number}", **one)
    duty = place.duty()
    duty.look()
    assert remote.logins == []
    hook = place.store.hooks.find("task-0", "push")
    changed = replace(hook.trigger, poll_seconds=600.0)
    place.store.hooks.change(hook, changed, hook.secrets)
    duty.look()
    assert len(remote.logins) == 1


def test_a_source_that_is_no_repository_is_told_and_others_are_looked_at(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    place.task("archive", "https://git.example/app.tar.gz")
    place.hook("archive")
    place.hook()
    place.duty().look()
    assert "not a Git repository" in place.store.hooks.find("archive", "push").poll_problem
    assert place.store.hooks.find("app", "push").polled is not None


def test_tasks_of_one_repository_ask_once_and_each_login_for_itself(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    for name, token in (("web", "a-token"), ("api", "a-token"), ("docs", "another")):
        place.task(name, token=token)
        place.hook(name)
    place.hook()
    place.duty().look()
    assert sorted(remote.logins) == ["a-token", "another"]


def test_a_thousand_new_branches_come_in_portions_and_none_is_left_out(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook(refs=("**",))
    duty = place.duty()
    duty.look()
    remote.refs |= {f"refs/heads/b{number:03}": (B,) for number in range(230)}
    place.again(duty, hook)
    assert len(place.commits()) == 100
    duty.look()
    duty.look()
    assert len(place.commits()) == 230
    duty.look()
    assert len(set(place.commits())) == 230


def test_two_schedulers_at_once_find_each_push_once(place: Place, remote: Remote) -> None:
    remote.refs = {MAIN: (A,)}
    names = [f"task-{number}" for number in range(6)]
    for name in names:
        place.task(name)
        place.hook(name)
    duties = [place.duty(), place.duty()]
    for duty in duties:
        duty.look()
    remote.refs = {MAIN: (B,)}
    place.store.polls.sweep()
    start = threading.Barrier(2)

    def work(duty: PollDuty) -> None:
        start.wait()
        duty.look()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, duty) for duty in duties]:
            done.result()
    place.store.polls.sweep()
    duties[0].look()
    assert [place.commits(name) for name in names] == [[(MAIN, B)]] * 6


def test_a_scheduler_looks_everywhere_when_it_starts(place: Place, remote: Remote) -> None:
    remote.refs = {MAIN: (A,)}
    place.hook()
    place.duty().look()
    remote.refs = {MAIN: (B,)}
    place.duty().look()
    assert place.commits() == [(MAIN, B)]


def test_a_push_of_another_repository_tells_nothing_of_ours(place: Place, remote: Remote) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    sent = push("github", Pushed(repository="octo/other", before=B, after=C), SECRET)
    headers = {name.lower(): value for name, value in sent.headers.items()}
    Deliveries(place.store, place.life).take(hook.id, headers, sent.body)
    place.again(duty, hook)
    assert place.commits() == []


def test_what_happened_while_a_trigger_was_off_is_no_news(place: Place, remote: Remote) -> None:
    remote.refs = {MAIN: (A,)}
    hook = place.hook()
    duty = place.duty()
    duty.look()
    off = place.store.hooks.change(hook, replace(hook.trigger, enabled=False), hook.secrets)
    duty.look()
    remote.refs = {MAIN: (B,)}
    on = place.store.hooks.change(off, replace(off.trigger, enabled=True), hook.secrets)
    duty.look()
    assert place.commits() == []
    remote.refs = {MAIN: (C,)}
    place.again(duty, on)
    assert place.commits() == [(MAIN, C)]


def test_a_trigger_that_is_changed_during_a_look_is_looked_at_again(
    place: Place, remote: Remote
) -> None:
    remote.refs = {MAIN: (A,), NEXT: (A,)}
    hook = place.hook()
    wider = replace(hook.trigger, refs=("main", "next"))
    remote.during = [lambda: place.store.hooks.change(hook, wider, hook.secrets)]
    duty = place.duty()
    duty.look()
    remote.during = []
    duty.look()
    remote.refs = {MAIN: (A,), NEXT: (B,)}
    place.again(duty, replace(hook, trigger=wider))
    assert place.commits() == [(NEXT, B)]
