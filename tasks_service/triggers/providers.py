"""All providers, by the name a trigger writes."""

from __future__ import annotations

from collections.abc import Mapping

from tasks_service.triggers import azure, bitbucket, gitea, github, gitlab
from tasks_service.triggers.provider import Provider

PROVIDERS: Mapping[str, Provider] = {
    "github": github,
    "gitlab": gitlab,
    "gitea": gitea,
    "forgejo": gitea,
    "bitbucket": bitbucket,
    "azure": azure,
}
