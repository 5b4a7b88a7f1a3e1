"""Put a tag back to what an earlier run pushed, by the record of runs.

In: a reference, and perhaps a digest. Out: a plan, and once it is done a tag
that means the earlier manifest again, byte for byte. Nothing is built; what
the record or the registry does not know is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from runners.model.errors import InvalidInput, RunnerError
from runners.model.image import ImageRef
from tasks_service.config import Settings
from tasks_service.errors import Conflict, NotFound
from tasks_service.registries import RegistryClient
from tasks_service.registries.access import own_login, policy_of
from tasks_service.store import Store
from tasks_service.store.pushes import Push

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{7,64})")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Rollback:
    """What a tag is, and what it shall be.

    Attributes:
        reference: Full name with the tag.
        old: The digest now; empty where the tag is gone.
        target: What was pushed by the earlier run.
    """

    reference: str
    old: str
    target: Push

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.old != self.target.digest


class Rollbacks:
    """For one request: asks the registry of one image. Close it at the end.

    Args:
        store: The record.
        settings: The service's registry and login.
        sees: Whose pushes count, by task name.
    """

    def __init__(self, store: Store, settings: Settings, sees: Callable[[str], bool]) -> None:
        self._store = store
        self._settings = settings
        self._sees = sees
        self._tasks: tuple[str, ...] = ()
        self._registry = RegistryClient(policy_of(settings), self._login)

    def close(self) -> None:
        """Let go of connections."""
        self._registry.close()

    def plan(self, image: str, to: str = "") -> Rollback:
        """Return what would be done.

        Args:
            image: A reference; without a registry the service's own.
            to: A digest, or the beginning of one; else the one before today's.

        Raises:
            InvalidInput: ``image`` or ``to`` can't be, or ``to`` fits several.
            NotFound: No run pushed the image, or ``to``, or anything earlier.
            Conflict: The tag was moved by somebody else, or is gone.
            Denied, Unavailable: The registry can't be asked.
        """
        pushes = self._pushes(image)
        reference = pushes[0].reference
        self._tasks = tuple(dict.fromkeys(push.task for push in pushes if push.task))
        old = self._now(reference)
        if to:
            return Rollback(reference, old, self._named(reference, to))
        return Rollback(reference, old, _before(reference, old, pushes))

    def do(self, rollback: Rollback) -> None:
        """Have the tag mean the target.

        Raises:
            NotFound: The registry does not hold it any more.
            Conflict: The tag was moved since the plan was made.
            Denied, Unavailable: The registry refuses, or does not answer.
        """
        if self._now(rollback.reference) != rollback.old:
            raise Conflict(
                f"{rollback.reference} was moved this moment",
                hint="a run may have pushed it: look at `tasks runs list --image` and try again",
            )
        self._registry.retag(rollback.reference, rollback.target.digest)

    def _pushes(self, image: str) -> tuple[Push, ...]:
        names = _names(image, self._settings.registry)
        found = [push for push in self._store.pushes.of(names) if self._sees(push.task)]
        for name in names:
            mine = tuple(push for push in found if push.reference == name)
            if mine:
                return mine
        raise NotFound(
            f"no run that is still known pushed {names[0]}",
            hint="`tasks runs list --image REPOSITORY` shows what was pushed, and when",
        )

    def _now(self, reference: str) -> str:
        try:
            return self._registry.digest(reference).digest
        except NotFound:
            return ""

    def _named(self, reference: str, to: str) -> Push:
        given = _DIGEST.fullmatch(to.lower())
        if given is None:
            raise InvalidInput(
                f"{to[:80]!r} is not a digest", hint="give sha256:… or its first 7 digits or more"
            )
        repository = ImageRef.parse(reference).repository
        pushes = self._store.pushes.of([repository], all_tags=True)
        fitting = {
            push.digest: push
            for push in reversed(pushes)
            if self._sees(push.task) and push.digest.startswith(f"sha256:{given[1]}")
        }
        if not fitting:
            raise NotFound(f"no run that is still known pushed sha256:{given[1]} to {repository}")
        if len(fitting) > 1:
            raise InvalidInput(
                f"{to[:80]} fits {len(fitting)} digests of {repository}",
                hint=f"give more of it: {', '.join(found[:27] for found in fitting)}",
            )
        return next(iter(fitting.values()))

    def _login(self, host: str) -> tuple[str, str]:
        own = own_login(self._settings, host)
        if own[0]:
            return own
        for task in self._tasks:
            if self._store.tasks.get(task) is None:
                continue
            for found in self._store.tasks.secrets(task).credentials:
                if found.registry == host:
                    return found.username, found.password
        return "", ""


def _names(image: str, registry: str) -> list[str]:
    """Return the full names that a text may mean, the likeliest first."""
    ref = ImageRef.parse(image)
    if ref.digest:
        raise InvalidInput(
            "a rollback moves a tag, and the image has a digest",
            hint="name the tag, and give the digest by --to",
        )
    ref = ref.with_default_tag()
    found = [str(ref), ref.canonical]
    if not ref.registry and registry:
        with suppress(RunnerError):
            found.insert(0, str(ImageRef.parse(f"{registry}/{ref}")))
    return list(dict.fromkeys(found))


def _before(reference: str, old: str, pushes: Sequence[Push]) -> Push:
    """Return the newest good push of another digest before the one the tag means now."""
    place = next((n for n, push in enumerate(pushes) if push.digest == old), None)
    if place is None:
        what = f"is {old} now, which no run pushed" if old else "is not there (any more)"
        raise Conflict(
            f"{reference} {what}: there is no 'before'",
            hint=f"choose what it shall be by --to: {_listed(pushes) or 'no run succeeded'}",
        )
    for push in pushes[place:]:
        if push.good and push.digest != old:
            return push
    raise NotFound(
        f"no run that is still known pushed anything else to {reference} before {old}",
        hint="runs are known for `retention` (30 days), archived ones for ever",
    )


def _listed(pushes: Sequence[Push]) -> str:
    found = {push.digest: push for push in reversed(pushes) if push.good}
    newest = sorted(found.values(), key=lambda push: -push.time)[:_SHOWN]
    return ", ".join(
        f"{push.digest[:19]} (run {push.run_id}, {datetime.fromtimestamp(push.time, UTC):%Y-%m-%d})"
        for push in newest
    )
