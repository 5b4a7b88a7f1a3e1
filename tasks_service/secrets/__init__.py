"""Where secrets come from: a task's ``secrets`` block in, their values out.

Stage 2b of a run: called by ``plans.compile_task`` between its two renderings
(Y-010), through the callable that ``resolver`` returns; the plans themselves
never touch a network, a file or the environment. ``keyvault:`` of a secret
names its place, and the URL scheme chooses the provider:

    https://<vault>/secrets/<name>[/<version>]   Azure Key Vault
    vault:<mount>/<path>[?version=N]#<key>       HashiCorp Vault, KV version 2
    env:<NAME>                                   an environment variable
    file:<path>                                  a file, UTF-8 text

``vault://…``, ``env://…`` and ``file:///…`` mean the same. The setting
``TASKS_KEYVAULT_MAP`` sends the secrets of a key vault to another place, so
that task files written for Azure run unchanged elsewhere. A scheme nobody
serves (``store:`` where no service runs) fails like any other secret.

All secrets of a task are fetched in parallel, at most five at a time, within
two minutes together. One failure fails the run; all failures are told in one
error, by id and reason. Values are never logged and never part of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runners.model.cancellation import Cancellation
from tasks_service.secrets.azure_keyvault import AzureKeyVault
from tasks_service.secrets.base import Access, ProviderKind, WantedSecret
from tasks_service.secrets.environment import Environment
from tasks_service.secrets.file import Files
from tasks_service.secrets.mapping import read_mapping
from tasks_service.secrets.resolve import DEADLINE_S, resolve_all
from tasks_service.secrets.vault import Vault

KINDS: Mapping[str, ProviderKind] = {
    "https": AzureKeyVault,
    "vault": Vault,
    "env": Environment,
    "file": Files,
}
"""Providers by URL scheme; this table is the only place that names them."""

Resolver = Callable[[Sequence[WantedSecret]], Mapping[str, str]]


def resolver(
    environ: Mapping[str, str],
    *,
    allow_local: bool,
    cancel: Cancellation | None = None,
    kinds: Mapping[str, ProviderKind] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Resolver:
    """Return the ``resolve_secrets`` argument of ``plans.compile_task``.

    Args:
        environ: Settings and logins, see ``docs/secrets.md``; pass
            ``os.environ``. Read when secrets are resolved, not before.
        allow_local: True lets the task file name any environment variable
            and file of this machine; right only where the user who starts
            the run chose the file too. With False, what
            ``TASKS_SECRET_ENV`` and ``TASKS_SECRET_DIR`` permit.
        cancel: Ends the wait early with its reason.
        kinds: Providers by scheme, instead of KINDS.
        deadline_s: For all secrets of a task together.

    Returns:
        A callable from requests to values by id. It raises SecretsRefused,
        SecretsUnavailable, or the reason of ``cancel``.
    """

    def resolve(wanted: Sequence[WantedSecret]) -> Mapping[str, str]:
        access = Access(environ, allow_local)
        return resolve_all(
            wanted,
            access=access,
            kinds=KINDS if kinds is None else kinds,
            mapping=read_mapping(access.setting("TASKS_KEYVAULT_MAP")),
            cancel=cancel or Cancellation(),
            deadline_s=deadline_s,
        )

    return resolve
