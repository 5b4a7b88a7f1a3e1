"""What can go wrong with secrets. Messages name ids and places, never values.

A provider raises the first two for one secret; resolve.py gathers all of a
task's failures in one of the last two, which is what a run ends with.
"""

from __future__ import annotations

from collections.abc import Mapping

from runners.model.errors import InvalidInput, RunnerError, Unavailable


class SecretRefused(InvalidInput):
    """A location that can't be, isn't there, or may not be read: trying again won't help."""


class SecretUnavailable(Unavailable):
    """A secret store that doesn't answer, or not in time: the same may succeed later."""


class SecretsRefused(InvalidInput):
    """At least one secret of the task can't be had by trying again."""

    code = "invalid_input"

    def __init__(self, failures: Mapping[str, RunnerError]) -> None:
        super().__init__(_message(failures), hint=_hint(failures), detail=_detail(failures))
        self.ids = tuple(failures)


class SecretsUnavailable(Unavailable):
    """Secrets could not be fetched because their store didn't answer."""

    code = "unavailable"

    def __init__(self, failures: Mapping[str, RunnerError]) -> None:
        super().__init__(_message(failures), hint=_hint(failures), detail=_detail(failures))
        self.ids = tuple(failures)


def gathered(failures: Mapping[str, RunnerError]) -> RunnerError:
    """Return the one error for all failed secrets of a task, in file order.

    ``failures`` maps secret ids to what happened; it is not empty.
    """
    if all(isinstance(error, SecretUnavailable) for error in failures.values()):
        return SecretsUnavailable(failures)
    return SecretsRefused(failures)


def _message(failures: Mapping[str, RunnerError]) -> str:
    ((first, error), *others) = failures.items()
    if not others:
        return f"the secret '{first}' can't be had: {error.message}"
    return f"{len(failures)} secrets can't be had: {', '.join(failures)}"


def _detail(failures: Mapping[str, RunnerError]) -> str:
    if len(failures) == 1:
        return ""
    return "\n".join(f"{secret}: {error.message}" for secret, error in failures.items())


def _hint(failures: Mapping[str, RunnerError]) -> str:
    hints = dict.fromkeys(error.hint for error in failures.values() if error.hint)
    return "; ".join(hints) or "docs/secrets.md tells what each provider needs"
