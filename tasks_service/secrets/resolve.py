"""Fetch all secrets of a task at once: bounded, one deadline, all failures told.

In: what the task file asks for, providers. Out: values by id, or one error.
Called by the callable that ``secrets.resolver`` returns (Y-033).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runners.model.cancellation import Cancellation
from runners.model.errors import RunnerError
from tasks_service.secrets.base import (
    Access,
    Location,
    Provider,
    ProviderKind,
    WantedSecret,
    parse_location,
    shown,
)
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable, gathered
from tasks_service.secrets.mapping import mapped

DEADLINE_S = 120.0
PARALLEL = 5


@dataclass(frozen=True, slots=True)
class _Job:
    id: str
    location: Location
    provider: Provider


@dataclass(frozen=True, slots=True)
class _Result:
    id: str
    outcome: str | RunnerError


def resolve_all(
    wanted: Sequence[WantedSecret],
    *,
    access: Access,
    kinds: Mapping[str, ProviderKind],
    mapping: Mapping[str, str],
    cancel: Cancellation,
    deadline_s: float = DEADLINE_S,
) -> dict[str, str]:
    """Return the value of every secret, by id, in the order asked.

    Up to PARALLEL are fetched at the same time. When the deadline or
    ``cancel`` comes first it returns at once; fetches under way are left to
    their own timeouts, in daemon threads.

    Raises:
        SecretsRefused, SecretsUnavailable: At least one can't be had.
        RunnerError: The reason of ``cancel``.
    """
    outcomes: dict[str, str | RunnerError] = {}
    providers: dict[str, Provider | RunnerError] = {}
    jobs = []
    for secret in wanted:
        try:
            location = mapped(parse_location(secret.keyvault, client_id=secret.client_id), mapping)
            jobs.append(_Job(secret.id, location, _provider(location, providers, kinds, access)))
        except RunnerError as error:
            outcomes[secret.id] = error
    try:
        outcomes |= _fetch(jobs, cancel, deadline_s)
    finally:
        for provider in providers.values():
            if not isinstance(provider, RunnerError):
                provider.close()
    values = {}
    failures: dict[str, RunnerError] = {}
    for secret in wanted:
        outcome = outcomes[secret.id]
        if isinstance(outcome, RunnerError):
            failures[secret.id] = outcome
        else:
            values[secret.id] = outcome
    if failures:
        raise gathered(failures)
    return values


def _provider(
    location: Location,
    opened: dict[str, Provider | RunnerError],
    kinds: Mapping[str, ProviderKind],
    access: Access,
) -> Provider:
    """Return the provider of a location, opened once for a run."""
    kind = kinds.get(location.scheme)
    if kind is None:
        raise SecretRefused(
            f"nothing here serves '{shown(location.scheme)}:' secrets",
            hint=f"use one of {', '.join(f'{scheme}:' for scheme in kinds)}",
        )
    if location.scheme not in opened:
        try:
            opened[location.scheme] = kind(access)
        except RunnerError as error:
            opened[location.scheme] = error
    provider = opened[location.scheme]
    if isinstance(provider, RunnerError):
        raise provider
    return provider


def _fetch(
    jobs: Sequence[_Job], cancel: Cancellation, deadline_s: float
) -> dict[str, str | RunnerError]:
    """Return an outcome for every job; raise only the reason of ``cancel``."""
    outcomes: dict[str, str | RunnerError] = {}
    waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    results: queue.SimpleQueue[_Result | None] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    with cancel.child(deadline_s) as token:
        forget = token.on_cancel(lambda: results.put(None))
        for number in range(min(PARALLEL, len(jobs))):
            threading.Thread(
                target=_work,
                args=(waiting, results, token),
                name=f"secrets-{number}",
                daemon=True,
            ).start()
        while len(outcomes) < len(jobs):
            result = results.get()
            if result is None:
                break
            outcomes[result.id] = result.outcome
        forget()
        cancel.check()
        # Threads that are still busy then stop at their next look at the token.
        token.cancel()
    late = SecretUnavailable(
        f"no answer within {deadline_s:g} seconds",
        hint="check that the secret store can be reached from here",
    )
    return {job.id: outcomes.get(job.id, late) for job in jobs}


def _work(
    waiting: queue.SimpleQueue[_Job],
    results: queue.SimpleQueue[_Result | None],
    cancel: Cancellation,
) -> None:
    """Fetch until nothing waits; every job taken gets a result."""
    while not cancel.cancelled:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            outcome: str | RunnerError = job.provider.fetch(job.location, cancel)
        except RunnerError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - its text may hold the value: only its name is told
            outcome = SecretUnavailable(f"its provider broke ({type(error).__name__})")
        results.put(_Result(job.id, outcome))
