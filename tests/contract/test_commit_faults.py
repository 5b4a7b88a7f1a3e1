"""Storms of pushes on real stores: each is built once, and a branch ends at its newest commit."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from runners.model.status import RunStatus
from tasks_service.config import Settings
from tasks_service.model.commit import CommitTrigger, Hook, HookSecrets
from tasks_service.model.run import Run, RunFilter, RunRequest, RunSecrets
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
MAIN = "refs/heads/main"
SEED = 20260131


class Announced:
    def announce(self, pool: str, run_id: str) -> None:
        """Nobody works here."""


class Place:
    """A store with one task that any branch starts."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.settings = Settings(state_dir=folder)
        self.life = RunLife(store, Announced(), self.settings)
        request = RunRequest(command="alpine true", source="https://github.com/octo/app.git#main")
        store.tasks.create(TaskDefinition("app", request), RunSecrets())
        trigger = CommitTrigger("push", "github", "octo/app", refs=("**",))
        self.hook: Hook = store.hooks.add("hook", "app", trigger, HookSecrets(SECRET))

    def storm(self, pushes: Sequence[tuple[int, Pushed]]) -> None:
        """Deliver all of them from twenty threads at once, each under its own id."""

        def send(one: tuple[int, Pushed]) -> None:
            number, pushed = one
            sent = push("github", pushed, SECRET, number=str(number))
            headers = {name.lower(): value for name, value in sent.headers.items()}
            Deliveries(self.store, self.life).take(self.hook.id, headers, sent.body)

        with ThreadPoolExecutor(20) as pool:
            for _ in pool.map(send, pushes):
                pass

    def runs(self) -> list[Run]:
        found: list[Run] = []
        page = self.store.runs.list(RunFilter(task="app"), limit=500)
        found.extend(page.runs)
        while page.cursor:
            page = self.store.runs.list(RunFilter(task="app"), limit=500, cursor=page.cursor)
            found.extend(page.runs)
        return found


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(request.param, tmp_path) as store:
        yield Place(store, tmp_path)


def test_five_hundred_pushes_at_once_some_of_them_again_start_five_hundred_runs(
    place: Place,
) -> None:
    pushes = [
        Pushed(ref=f"refs/heads/b{number}", before="0" * 40, after=f"{number + 1:040x}")
        for number in range(500)
    ]
    shuffled = list(enumerate(pushes + pushes[::5]))
    random.Random(SEED).shuffle(shuffled)
    place.storm(shuffled)
    runs = place.runs()
    assert len(runs) == 500
    assert {run.cause.detail["commitId"] for run in runs} == {one.after for one in pushes}
    assert {run.status for run in runs} == {RunStatus.QUEUED}


def test_a_storm_on_one_branch_leaves_one_run_and_a_look_settles_which(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = [f"{number + 1:040x}" for number in range(101)]
    steps = [Pushed(before=old, after=new) for old, new in itertools.pairwise(commits)]
    shuffled = list(enumerate(steps * 2))
    random.Random(SEED).shuffle(shuffled)
    stands = [commits[0]]

    def look(location: GitLocation, settings: SourceSettings, cancel: Cancellation) -> Refs:
        del location, settings, cancel
        return Refs(MAIN, {MAIN: stands[0]}, {MAIN: (stands[0],)})

    monkeypatch.setattr(polling, "look_at", look)
    PollDuty(place.store, place.life, replace(place.settings), {}).look()
    place.storm(shuffled)
    stands[0] = commits[-1]
    PollDuty(place.store, place.life, replace(place.settings), {}).look()
    runs = place.runs()
    waiting = [run for run in runs if run.status is RunStatus.QUEUED]
    assert [run.cause.detail["commitId"] for run in waiting] == [commits[-1]]
    assert {run.status for run in runs} <= {RunStatus.QUEUED, RunStatus.CANCELED}
