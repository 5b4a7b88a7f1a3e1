"""Deliveries of Git servers: bytes and headers in, runs of exactly the pushed commits out.

Called by the API. A delivery is judged by its signature before it is read,
and a push starts its run once, whatever its id and however often it comes.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping
from typing import Any

from runners.model.errors import Denied, InvalidInput
from tasks_service.errors import Conflict
from tasks_service.model.commit import BY_HAND, POLL, WEBHOOK, CommitTrigger, Delivery, Hook
from tasks_service.model.run import FORK, PULL, TRUSTED, BuildRequest, Cause, NewRun, RunSecrets
from tasks_service.model.task import Task
from tasks_service.runs.ids import new_run_id
from tasks_service.runs.lifecycle import RunLife, new_of_task
from tasks_service.sources.location import GitLocation, parse_location
from tasks_service.store import Store
from tasks_service.store.hooks import place_of
from tasks_service.triggers.provider import same
from tasks_service.triggers.providers import PROVIDERS
from tasks_service.triggers.push import (
    BRANCH,
    TAG,
    InvalidPayload,
    Push,
    dump_push,
    load_push,
    plain_name,
    unwanted,
)


class Forged(Denied):
    """Nobody who knows a trigger's secret sent this."""

    code = "forged_delivery"


class Deliveries:
    """Takes what Git servers send. Thread-safe."""

    def __init__(self, store: Store, life: RunLife) -> None:
        self._store = store
        self._life = life

    def take(self, hook_id: str, headers: Mapping[str, str], body: bytes) -> tuple[Delivery, ...]:
        """Store a delivery's pushes, start their runs, and return them as stored.

        All triggers of the same repository hear it that share the secret: a
        repository of many tasks needs one webhook.

        Args:
            hook_id: The last part of the URL.
            headers: By lower-case name.
            body: As it was sent.

        Raises:
            Forged: There is no such trigger, or the signature is wrong: told alike.
            InvalidPayload: It is signed, but not what the provider sends.
            Busy, Unavailable: Not all of it was stored; it must be sent again.
        """
        hook = self._store.hooks.get(hook_id[:64])
        if hook is None or not PROVIDERS[hook.trigger.provider].genuine(
            headers, body, hook.secrets.secret
        ):
            raise Forged(
                "the delivery is not signed with the secret of a commit trigger",
                hint="compare URL and secret at the Git server with `tasks trigger list`",
            )
        pushes = PROVIDERS[hook.trigger.provider].pushes(headers, _json(body))
        hooks = self._listeners(hook) if pushes else ()
        return tuple(self._push(one, push) for one in hooks for push in pushes)

    def again(self, hook: Hook, delivery: Delivery) -> Delivery:
        """Judge a stored delivery once more, as if it were new; return the new one."""
        push = load_push(delivery.event)
        return self._push(hook, push, meaning=secrets.token_hex(32), via=BY_HAND)

    def found(self, hook: Hook, push: Push) -> Delivery:
        """Take a push that nobody told, but a look at the repository saw.

        Args:
            hook: Whose repository it is.
            push: ``before`` is what was known of the ref before the look.

        Returns:
            The delivery as it is stored, or what was told of the ref meanwhile.

        Raises:
            Busy: Too many runs wait; nothing was written.
        """
        return self._push(hook, push, meaning=secrets.token_hex(32), via=POLL)

    def judge(self, hook: Hook, push: Push) -> str:
        """Return why a push would start no run, or an empty text; nothing is stored."""
        return self._run(self._store.tasks.find(hook.task), hook.trigger, push)[1]

    def _listeners(self, hook: Hook) -> tuple[Hook, ...]:
        place = place_of(hook.trigger)
        others = self._store.hooks.at(place) if place else ()
        secret = hook.secrets.secret
        return (
            hook,
            *(o for o in others if o.id != hook.id and same(o.secrets.secret, secret)),
        )

    def _push(self, hook: Hook, push: Push, *, meaning: str = "", via: str = WEBHOOK) -> Delivery:
        task = self._store.tasks.find(hook.task)
        new, note = self._run(task, hook.trigger, push)
        delivery = Delivery(
            hook=hook.id,
            meaning=meaning or push.meaning,
            received=0.0,
            ref=push.ref,
            before=push.before,
            commit=push.commit,
            run_id=new_run_id() if new is not None else "",
            note=note,
            event=dump_push(push),
            via=via,
        )
        stored, run = self._store.hooks.deliver(
            delivery, new, report=bool(hook.secrets.token), max_queued=self._life.max_queued
        )
        if run is not None:
            self._life.announcer.announce(run.request.pool, run.id)
        return stored

    def _run(self, task: Task, trigger: CommitTrigger, push: Push) -> tuple[NewRun | None, str]:
        """Return the run to start, or why there is none."""
        try:
            location = git_location(task)
            why = unwanted(trigger, push, location.ref)
            if why:
                return None, why
            pull = push.pull
            trust = TRUSTED if pull is None else FORK if pull.fork else PULL
            request = dataclasses.replace(
                task.definition.request,
                source=_at(task.definition.request.source, push.commit),
                trust=trust,
            )
            if pull is not None and request.build is not None:
                request = dataclasses.replace(request, build=_unpublished(request.build))
            kept = self._store.tasks.secrets(task.name)
            new = new_of_task(
                task,
                request,
                # The token fetches the source; no step sees it.
                kept if pull is None else RunSecrets(git_token=kept.git_token),
                cause=Cause(
                    "commit" if pull is None else "pullrequest",
                    trigger.name,
                    _detail(trigger, push, task),
                ),
                lane="push",
            )
            # The newest push of a branch or pull request is worth building; tags are all wanted.
            newest = push.ref.startswith(BRANCH) or pull is not None
            key = f"{trigger.name}:{push.ref}" if newest else ""
            held = pull is not None and pull.fork
            new = dataclasses.replace(new, supersede_key=key, held=held)
            return self._life.checked(new), ""
        except (InvalidInput, Conflict) as error:
            return None, error.message


def git_location(task: Task) -> GitLocation:
    """Return the Git repository of a task's source.

    Raises:
        InvalidInput: It has none.
    """
    # http:// was judged when the task was stored, and is again by the run's checks.
    location = parse_location(task.definition.request.source, allow_http=True)
    if not isinstance(location, GitLocation):
        raise InvalidInput(
            f"the source of task '{task.name}' is not a Git repository",
            hint="a commit trigger needs one: https://host/owner/name.git#branch",
        )
    return location


def _at(source: str, commit: str) -> str:
    base, _, fragment = source.partition("#")
    _, mark, directory = fragment.partition(":")
    return f"{base}#{commit}{mark}{directory}"


def _unpublished(build: BuildRequest) -> BuildRequest:
    """Return a build without push and secrets; its secret arguments are gone already."""
    return dataclasses.replace(build, push=False, secret_ids=())


def _detail(trigger: CommitTrigger, push: Push, task: Task) -> dict[str, str]:
    found = {
        "commitId": push.commit,
        "ref": push.ref,
        "branchName": plain_name(push.ref, BRANCH),
        "tagName": plain_name(push.ref, TAG),
        "repository": push.repository,
        "provider": trigger.provider,
    }
    if push.pull is not None:
        found |= {
            "pullRequestId": str(push.pull.number),
            "baseRef": push.pull.base_ref,
            "fork": "true" if push.pull.fork else "false",
            # What is approved is this definition at this commit.
            "taskVersion": str(task.version),
        }
    return found


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(
            "the delivery is not JSON", hint="choose the content type application/json"
        ) from error
