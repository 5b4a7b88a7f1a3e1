"""Do the same for several things: all of them are tried, all problems are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runners.model.errors import RunnerError, Unavailable


def for_each(names: Iterable[str], work: Callable[[str], object]) -> None:
    """Call ``work`` for each name, those after one that failed as well.

    Raises:
        RunnerError: The first error, with the messages of all.
        Unavailable: The server does not answer: the rest is not tried.
    """
    errors: list[RunnerError] = []
    for name in names:
        try:
            work(name)
        except Unavailable:
            raise
        except RunnerError as error:
            errors.append(error)
    if not errors:
        return
    first = errors[0]
    first.message = "\n".join(dict.fromkeys(error.message for error in errors))
    raise first
