"""Azure Key Vault's secrets and the ways to log in, as their public documentation says.

Two servers, as in life: the vault speaks TLS; the login service and the
metadata address of a machine share the other one.
"""

from __future__ import annotations

from pathlib import Path

from tests.fakes.json_server import JSONServer, Reply, Request

TENANT = "0f0f0f0f-1111-2222-3333-444444444444"
APPLICATION = "aaaaaaaa-1111-2222-3333-444444444444"
IDENTITY = "bbbbbbbb-1111-2222-3333-444444444444"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class FakeLogin(JSONServer):
    """Gives ``token-for-<audience>-<client id>`` to those who know the secret."""

    def __init__(self, secret: str, assertion: str = "", header: str = "") -> None:
        self.secret = secret
        self.assertion = assertion
        self.header = header
        super().__init__(self._answer)

    def _answer(self, request: Request) -> Reply:
        if request.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._application(request)
        if request.path == "/metadata/identity/oauth2/token":
            good = request.headers.get("metadata") == "true"
            return self._machine(request, good=good, version="2018-02-01")
        if request.path == "/msi/token":
            good = request.headers.get("x-identity-header") == self.header
            return self._machine(request, good=good, version="2019-08-01")
        return Reply(404, {"error": "not_found"})

    def _application(self, request: Request) -> Reply:
        form = request.form
        by_secret = form.get("client_secret") == self.secret
        by_assertion = (
            form.get("client_assertion") == self.assertion != ""
            and form.get("client_assertion_type") == ASSERTION_TYPE
        )
        if (
            request.method != "POST"
            or form.get("grant_type") != "client_credentials"
            or form.get("client_id") != APPLICATION
            or not (by_secret or by_assertion)
        ):
            said = f"AADSTS7000215: Invalid client secret provided: {form.get('client_secret')}"
            return Reply(401, {"error": "invalid_client", "error_description": said})
        audience = form["scope"].removesuffix("/.default")
        return _token(audience, APPLICATION)

    def _machine(self, request: Request, *, good: bool, version: str) -> Reply:
        client = request.query.get("client_id", "")
        if not good or request.query.get("api-version") != version:
            return Reply(400, {"error": "invalid_request"})
        if client not in {"", IDENTITY}:
            return Reply(400, {"error": "invalid_request", "error_description": "not found"})
        return _token(request.query["resource"], client)


def _token(audience: str, client: str) -> Reply:
    body = {"token_type": "Bearer", "access_token": f"token-for-{audience}-{client}"}
    return Reply(200, body)


class FakeKeyVault(JSONServer):
    """One vault; reads with a token for its own audience only."""

    def __init__(self, certificate: Path) -> None:
        self._secrets: dict[str, dict[str, str]] = {}
        super().__init__(self._answer, certificate)
        self.audience = f"https://{self.host.partition('.')[2]}"

    def put(self, name: str, value: str) -> str:
        versions = self._secrets.setdefault(name, {})
        version = f"{len(versions) + 1:032x}"
        versions[version] = value
        return version

    def _answer(self, request: Request) -> Reply:
        bearer = request.headers.get("authorization", "")
        if not bearer.startswith(f"Bearer token-for-{self.audience}-"):
            return Reply(
                401,
                {"error": {"code": "Unauthorized", "message": f"no: {bearer}"}},
                {"WWW-Authenticate": 'Bearer resource="x"'},
            )
        if request.query.get("api-version") != "7.4":
            return Reply(400, {"error": {"code": "BadParameter", "message": "api-version"}})
        _, kind, name, version = (request.path + "/").split("/")[:4]
        versions = self._secrets.get(name, {})
        version = version or (list(versions)[-1] if versions else "")
        if kind != "secrets" or version not in versions:
            return Reply(404, {"error": {"code": "SecretNotFound", "message": f"no {name}"}})
        url = f"{self.url}/secrets/{name}/{version}"
        return Reply(200, {"value": versions[version], "id": url, "attributes": {"enabled": True}})
