"""Where a repository is hosted, by its URL: what a commit trigger needs not be told.

In: the location of a task's source. Out: provider, repository and status API,
as far as they can be known. Pure; nothing is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from tasks_service.model.commit import CommitTrigger
from tasks_service.sources.location import GitLocation

_HOSTS: Mapping[str, str] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket",
    "codeberg.org": "forgejo",
    "dev.azure.com": "azure",
    "ssh.dev.azure.com": "azure",
}
_API_PATHS: Mapping[str, str] = {
    "github": "/api/v3",
    "gitlab": "/api/v4",
    "gitea": "/api/v1",
    "forgejo": "/api/v1",
}
_PUBLIC = frozenset({"github.com", "gitlab.com", "bitbucket.org"})
"""Their APIs are known by the providers' modules."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository as its provider names it; empty is what can't be known."""

    provider: str
    repository: str
    api_url: str


def origin_of(location: GitLocation, provider: str = "") -> Origin:
    """Return what is known of a repository; ``provider`` is what the author said."""
    parts = urlsplit(location.url)
    host = (parts.hostname or "").lower()
    path = unquote(parts.path).strip("/").removesuffix(".git")
    if not provider:
        azure = host.endswith(".visualstudio.com")
        provider = "azure" if azure else _HOSTS.get(host, "")
    if provider == "azure":
        return _azure(host, path)
    api = ""
    if provider in _API_PATHS and host not in _PUBLIC:
        # A repository reached by SSH has its API at the same host.
        web = parts.scheme in ("http", "https")
        address = parts.netloc.rpartition("@")[2] if web else host
        api = f"{parts.scheme if web else 'https'}://{address}{_API_PATHS[provider]}"
    return Origin(provider, path, api)


def _azure(host: str, path: str) -> Origin:
    project, mark, repository = path.partition("_git/")
    if not mark:
        # git@ssh.dev.azure.com:v3/organization/project/repository
        words = path.split("/")
        if len(words) != 4 or words[0] != "v3":
            return Origin("azure", path.rpartition("/")[2], "")
        project, repository = "/".join(words[1:3]), words[3]
        host = "dev.azure.com"
    base = "/".join(part for part in (host, project.strip("/")) if part)
    return Origin("azure", repository, f"https://{base}" if "/" in base else "")


def completed(trigger: CommitTrigger, location: GitLocation) -> CommitTrigger:
    """Return a trigger with what its author left to the source's URL."""
    known = origin_of(location, trigger.provider)
    return replace(
        trigger,
        provider=trigger.provider or known.provider,
        repository=trigger.repository or known.repository,
        api_url=trigger.api_url or known.api_url,
    )
