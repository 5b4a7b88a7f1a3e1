"""Tokens of Microsoft Entra ID for one resource, for one run.

In: settings in the environment, a resource, a client id. Out: a bearer token.
Called by azure_keyvault.py. Ways to log in, the first that is set wins:

1. service principal: ``AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET``
2. workload identity: ``AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_FEDERATED_TOKEN_FILE``
3. managed identity of App Service and alike: ``IDENTITY_ENDPOINT IDENTITY_HEADER``
4. managed identity of a virtual machine: the metadata address
"""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from runners.model.cancellation import Cancellation
from tasks_service.secrets.base import Access, shown
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable
from tasks_service.secrets.http_client import Answer, HTTPClient

METADATA_URL = "http://169.254.169.254"
PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HINT = (
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run where there is a "
    "managed identity"
)


class AzureIdentity:
    """Logs in once per resource and client id. Thread-safe."""

    def __init__(self, access: Access, http: HTTPClient) -> None:
        self._access = access
        self._http = http
        # Endpoints of managed identities are on the machine itself.
        self._direct = HTTPClient(direct=True)
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        """Let go of connections and tokens."""
        self._direct.close()
        self._tokens.clear()

    def token(self, resource: str, client_id: str, cancel: Cancellation) -> str:
        """Return a token for a resource such as ``https://vault.azure.net``.

        Args:
            resource: The audience, without a trailing slash.
            client_id: A user-assigned identity (Y-032), or empty.

        Raises:
            SecretRefused: Nothing to log in with, or it was refused.
            SecretUnavailable: The login service doesn't answer.
        """
        with self._lock:
            key = (resource, client_id)
            if key not in self._tokens:
                self._tokens[key] = self._log_in(resource, client_id, cancel)
            return self._tokens[key]

    def _log_in(self, resource: str, client_id: str, cancel: Cancellation) -> str:
        setting = self._access.setting
        if setting("AZURE_CLIENT_SECRET") or setting("AZURE_FEDERATED_TOKEN_FILE"):
            return self._as_application(resource, client_id, cancel)
        return self._as_machine(resource, client_id, cancel)

    def _as_application(self, resource: str, client_id: str, cancel: Cancellation) -> str:
        setting = self._access.setting
        tenant, application = setting("AZURE_TENANT_ID"), setting("AZURE_CLIENT_ID")
        if not tenant or not application:
            raise SecretRefused("the Azure login in the environment is not complete", hint=_HINT)
        if client_id and client_id.lower() != application.lower():
            raise SecretRefused(
                f"the secret asks for the identity {client_id}, but the login is {application}",
                hint="leave clientID out, or log in as that identity",
            )
        form = {
            "grant_type": "client_credentials",
            "client_id": application,
            "scope": f"{resource}/.default",
        }
        if setting("AZURE_CLIENT_SECRET"):
            form["client_secret"] = setting("AZURE_CLIENT_SECRET")
        else:
            form["client_assertion_type"] = _ASSERTION
            form["client_assertion"] = _file(setting("AZURE_FEDERATED_TOKEN_FILE"))
        if not all(c.isalnum() or c in "-." for c in tenant):
            raise SecretRefused("AZURE_TENANT_ID is not a tenant's id or domain")
        url = f"{_authority(setting('AZURE_AUTHORITY_HOST'))}/{tenant}/oauth2/v2.0/token"
        answer = self._http.request("POST", url, form=form, cancel=cancel)
        return _token(answer, "the Azure login", "check AZURE_CLIENT_ID and its secret")

    def _as_machine(self, resource: str, client_id: str, cancel: Cancellation) -> str:
        setting = self._access.setting
        query = {"resource": resource}
        wanted = client_id or setting("AZURE_CLIENT_ID")
        if wanted:
            query["client_id"] = wanted
        endpoint = setting("IDENTITY_ENDPOINT")
        if endpoint:
            query["api-version"] = "2019-08-01"
            headers = {"X-IDENTITY-HEADER": setting("IDENTITY_HEADER")}
            url = endpoint
        else:
            query["api-version"] = "2018-02-01"
            headers = {"Metadata": "true"}
            base = setting("AZURE_POD_IDENTITY_AUTHORITY_HOST") or METADATA_URL
            url = f"{base.rstrip('/')}/metadata/identity/oauth2/token"
        try:
            answer = self._direct.request(
                "GET", f"{url}?{urlencode(query)}", headers=headers, cancel=cancel, attempts=2
            )
        except SecretUnavailable:
            raise SecretRefused("there is no login for Azure here", hint=_HINT) from None
        return _token(
            answer, "the managed identity", "check that the machine has this identity (clientID)"
        )


def _authority(text: str) -> str:
    authority = (text or PUBLIC_AUTHORITY).rstrip("/")
    parts = urlsplit(authority if "://" in authority else f"https://{authority}")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise SecretRefused("AZURE_AUTHORITY_HOST must be an https address")
    return parts.geturl()


def _file(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SecretRefused("the file AZURE_FEDERATED_TOKEN_FILE can't be read") from None


def _token(answer: Answer, who: str, hint: str) -> str:
    token = answer.at("access_token")
    if answer.status == 200 and isinstance(token, str) and token.isascii() and token.isprintable():
        return token
    if answer.status >= 500 or answer.status == 429:
        raise SecretUnavailable(f"{who} answers {answer.status}")
    # Only the code: a description can repeat what was sent.
    code = answer.at("error")
    reason = f" ({shown(code, 60)})" if isinstance(code, str) else ""
    raise SecretRefused(f"{who} was refused with {answer.status}{reason}", hint=hint)
