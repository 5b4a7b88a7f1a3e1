"""What is wrong with a commit trigger: all of it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runners.model.errors import RunnerError
from tasks_service.model.commit import CommitTrigger
from tasks_service.runs.checks import Rules
from tasks_service.runs.fields import FieldError
from tasks_service.triggers.providers import PROVIDERS
from tasks_service.triggers.push import glob_problem

MIN_SECRET = 12
MIN_POLL_S, MAX_POLL_S = 10.0, 30 * 86_400.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,49}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")


def trigger_errors(
    trigger: CommitTrigger, secret: str, token: str, rules: Rules
) -> Iterator[FieldError]:
    """Yield what is wrong with a trigger and its secrets; an empty secret is made up later."""
    if not _NAME.fullmatch(trigger.name):
        yield FieldError("/name", "must be 1 to 50 letters, digits, '-' and '_'")
    if trigger.repository and not _REPOSITORY.fullmatch(trigger.repository):
        yield FieldError("/repository", "must be as the Git server names it, such as owner/name")
    for field, globs in (("refs", trigger.refs), ("paths", trigger.paths)):
        for place, glob in enumerate(globs):
            problem = glob_problem(glob)
            if problem:
                yield FieldError(f"/{field}/{place}", problem)
    yield from _secret_errors(secret)
    if not (trigger.pushes or trigger.pull_requests):
        yield FieldError("/pushes", "pushes, pull requests or both must count")
    if trigger.poll_seconds and not MIN_POLL_S <= trigger.poll_seconds <= MAX_POLL_S:
        yield FieldError("/pollSeconds", "must be 0 (never), or 10 seconds to 30 days")
    if trigger.pull_requests and trigger.provider == "bitbucket":
        yield FieldError(
            "/pullRequests", "Bitbucket tells neither the whole commit nor a ref of pull requests"
        )
    provider = PROVIDERS.get(trigger.provider)
    if provider is None:
        yield FieldError("/provider", f"must be one of {', '.join(PROVIDERS)}")
        return
    yield from _status_errors(trigger, token, provider.API, rules)


def _secret_errors(secret: str) -> Iterator[FieldError]:
    if secret and (len(secret) < MIN_SECRET or not secret.isascii() or not secret.isprintable()):
        yield FieldError("/secret", f"must be at least {MIN_SECRET} printable ASCII characters")


def _status_errors(
    trigger: CommitTrigger, token: str, public: str, rules: Rules
) -> Iterator[FieldError]:
    if token and not (token.isascii() and token.isprintable()):
        yield FieldError("/token", "must be printable ASCII characters")
    if token and not trigger.repository:
        yield FieldError("/repository", "is needed to post statuses")
    if token and not (trigger.api_url or public):
        yield FieldError(
            "/apiUrl", "is needed to post statuses: this provider has no public server"
        )
    if trigger.api_url:
        try:
            rules.policy.check_text(trigger.api_url, what="status API")
        except RunnerError as error:
            yield FieldError("/apiUrl", error.message)
