"""Secrets from Azure Key Vault: ``https://<vault>/secrets/<name>[/<version>]`` (Y-030 to Y-033).

How to log in is told in azure_identity.py. Tokens go only to hosts of Azure's
clouds and to those that ``TASKS_KEYVAULT_HOSTS`` names: a task file must not
be able to send a login anywhere else.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from runners.model.cancellation import Cancellation
from tasks_service.secrets.azure_identity import AzureIdentity
from tasks_service.secrets.base import Access, Location, checked_value, shown
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable
from tasks_service.secrets.http_client import Answer, HTTPClient
from tasks_service.secrets.mapping import keyvault_name

API_VERSION = "7.4"
CLOUDS = (
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
    "vault.microsoftazure.de",
)
"""Domains of key vaults; also what a token for them is issued for."""


class AzureKeyVault:
    """Key vaults, read by one login."""

    def __init__(self, access: Access) -> None:
        self._http = HTTPClient(ca_file=access.setting("SSL_CERT_FILE"))
        self._identity = AzureIdentity(access, self._http)
        hosts = access.setting("TASKS_KEYVAULT_HOSTS").replace(",", " ").lower().split()
        self._hosts = frozenset(hosts)

    def fetch(self, location: Location, cancel: Cancellation) -> str:
        """See Provider."""
        host, resource, name, version = self._parts(location)
        token = self._identity.token(resource, location.client_id, cancel)
        answer = self._http.request(
            "GET",
            f"https://{host}/secrets/{name}/{version}?api-version={API_VERSION}",
            headers={"Authorization": f"Bearer {token}"},
            cancel=cancel,
        )
        value = answer.at("value")
        if answer.status == 200 and isinstance(value, str):
            return checked_value(value)
        raise _refusal(answer, host, name)

    def close(self) -> None:
        """See Provider."""
        self._identity.close()
        self._http.close()

    def _parts(self, location: Location) -> tuple[str, str, str, str]:
        """Return host, token audience, name and version."""
        try:
            parts = urlsplit(location.text)
            plain = parts.username is None and not parts.query and not parts.fragment
        except ValueError:
            plain = False
        if not plain:
            raise SecretRefused(
                "its keyvault is not a key vault's URL",
                hint="write keyvault: https://<vault>/secrets/<name>[/<version>]",
            )
        name, version = keyvault_name(parts.path)
        host = parts.netloc.lower()
        if host in self._hosts:
            # The audience of a vault is its domain: the host without its first label.
            return host, f"https://{host.partition('.')[2]}", name, version
        for domain in CLOUDS:
            label = host.removesuffix(f".{domain}")
            if label != host and label.replace("-", "").isalnum():
                return host, f"https://{domain}", name, version
        raise SecretRefused(
            f"'{shown(host)}' is not an Azure key vault's host",
            hint=f"if it is one, name it in TASKS_KEYVAULT_HOSTS; to read its secrets elsewhere, "
            f"TASKS_KEYVAULT_MAP (known: {', '.join(CLOUDS)})",
        )


def _refusal(answer: Answer, host: str, name: str) -> SecretRefused | SecretUnavailable:
    code = answer.at("error", "code")
    inner = answer.at("error", "innererror", "code")
    reason = inner if isinstance(inner, str) else code if isinstance(code, str) else ""
    said = f" ({shown(reason, 60)})" if reason else ""
    if answer.status == 404:
        return SecretRefused(f"{host} has no secret '{name}' (of this version){said}")
    if answer.status in {401, 403}:
        return SecretRefused(
            f"{host} refused to read the secret '{name}'{said}",
            hint="give the identity the right to get secrets; a disabled or expired secret "
            "can't be read either",
        )
    if answer.status == 200:
        return SecretRefused(f"{host} answered without a value for '{name}'")
    if answer.status < 500 and answer.status != 429:
        return SecretRefused(f"{host} answers {answer.status} for the secret '{name}'{said}")
    return SecretUnavailable(f"{host} answers {answer.status}{said}")
