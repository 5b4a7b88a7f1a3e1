"""What is special to Vault and to Azure Key Vault, against real servers on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.model.cancellation import Cancellation
from tasks_service.secrets import resolver
from tasks_service.secrets.base import Access, Provider, parse_location
from tasks_service.secrets.errors import SecretRefused, SecretUnavailable
from tasks_service.secrets.vault import Vault
from tests.contract.secret_places import LOGIN, KeyVaultPlace, VaultPlace
from tests.fakes.json_server import Reply, make_certificate
from tests.fakes.keyvault_server import APPLICATION, IDENTITY


@pytest.fixture
def vault() -> Iterator[VaultPlace]:
    place = VaultPlace()
    yield place
    place.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def keyvault(certificate: Path) -> Iterator[KeyVaultPlace]:
    place = KeyVaultPlace(certificate)
    yield place
    place.close()


def fetch(provider: Provider, location: str, client_id: str = "") -> str:
    try:
        return provider.fetch(parse_location(location, client_id=client_id), Cancellation())
    finally:
        provider.close()


def test_vault_gives_the_asked_version_or_the_latest(vault: VaultPlace) -> None:
    vault.vault.put("db", {"password": "old"})
    vault.vault.put("db", {"password": "new"})
    assert fetch(vault.open(), "vault:secret/db#password") == "new"
    assert fetch(vault.open(), "vault:secret/db?version=1#password") == "old"


def test_vault_says_that_a_version_was_deleted(vault: VaultPlace) -> None:
    vault.vault.put("db", {"password": "old"})
    vault.vault.delete("db", 1)
    with pytest.raises(SecretRefused, match="deleted"):
        fetch(vault.open(), "vault:secret/db#password")


def test_vault_names_a_missing_key_but_not_the_others_values(vault: VaultPlace) -> None:
    vault.vault.put("db", {"user": "somebody"})
    with pytest.raises(SecretRefused, match="no key 'password'") as raised:
        fetch(vault.open(), "vault:secret/db#password")
    assert "somebody" not in str(raised.value)


def test_vault_values_that_are_no_text_come_as_json(vault: VaultPlace) -> None:
    vault.vault.put("db", {"port": 5432, "hosts": ["a", "ü"], "none": None})
    assert fetch(vault.open(), "vault:secret/db#port") == "5432"
    assert fetch(vault.open(), "vault:secret/db#hosts") == '["a","ü"]'
    with pytest.raises(SecretRefused, match="null"):
        fetch(vault.open(), "vault:secret/db#none")


def test_a_vault_mount_may_have_slashes(vault: VaultPlace) -> None:
    vault.vault.mount = "teams/kv"
    vault.vault.put("db", {"password": "deep"})
    assert fetch(vault.open(), "vault:teams%2Fkv/db#password") == "deep"


@pytest.mark.parametrize(
    "path", ["secret/../sys/x", "secret/./x", "secret//x", "%2e%2e/x", "secret/a%2Fb", "secret"]
)
def test_no_path_leaves_the_mount(vault: VaultPlace, path: str) -> None:
    with pytest.raises(SecretRefused, match="path"):
        fetch(vault.open(), f"vault:{path}#password")
    assert vault.vault.requests == []


def test_a_sealed_vault_is_unavailable(vault: VaultPlace) -> None:
    location = vault.put("x")
    vault.vault.sealed = True
    with pytest.raises(SecretUnavailable, match="sealed"):
        fetch(vault.open(), location)


def test_the_token_that_vaults_own_tools_keep_is_taken(vault: VaultPlace, tmp_path: Path) -> None:
    location = vault.put("x")
    (tmp_path / ".vault-token").write_text(f"{LOGIN}\n")
    del vault.environ["VAULT_TOKEN"]
    vault.environ["HOME"] = str(tmp_path)
    assert fetch(vault.open(), location) == "x"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VAULT_ADDR", "", "VAULT_ADDR"),
        ("VAULT_ADDR", "vault.example", "VAULT_ADDR"),
        ("VAULT_ADDR", "https://user:pw@vault.example", "VAULT_ADDR"),
        ("VAULT_TOKEN", "", "VAULT_TOKEN"),
        ("VAULT_TOKEN", "a\nb", "VAULT_TOKEN"),
    ],
)
def test_wrong_vault_settings_are_named(
    vault: VaultPlace, name: str, value: str, said: str
) -> None:
    location = vault.put("x")
    environ = {**vault.environ, name: value}
    with pytest.raises(SecretRefused) as raised:
        fetch(Vault(Access(environ)), location)
    assert said in raised.value.message + raised.value.hint
    assert "user:pw" not in raised.value.message


def test_keyvault_gives_the_asked_version_or_the_latest(keyvault: KeyVaultPlace) -> None:
    first = keyvault.vault.put("db", "old")
    keyvault.vault.put("db", "new")
    url = f"{keyvault.vault.url}/secrets/db"
    assert fetch(keyvault.open(), url) == "new"
    assert fetch(keyvault.open(), f"{url}/") == "new"
    assert fetch(keyvault.open(), f"{url}/{first}") == "old"


def test_one_login_serves_all_secrets_of_a_run(keyvault: KeyVaultPlace) -> None:
    provider = keyvault.open()
    for number in range(3):
        location = parse_location(keyvault.put(str(number)))
        assert provider.fetch(location, Cancellation()) == str(number)
    provider.close()
    assert len(keyvault.login.requests) == 1


def test_workload_identity_logs_in(keyvault: KeyVaultPlace, tmp_path: Path) -> None:
    location = keyvault.put("x")
    keyvault.login.assertion = "signed-by-the-cluster"
    (tmp_path / "token").write_text("signed-by-the-cluster")
    del keyvault.environ["AZURE_CLIENT_SECRET"]
    keyvault.environ["AZURE_FEDERATED_TOKEN_FILE"] = str(tmp_path / "token")
    assert fetch(keyvault.open(), location) == "x"


@pytest.mark.parametrize("client_id", ["", IDENTITY])
def test_a_virtual_machines_identity_logs_in(keyvault: KeyVaultPlace, client_id: str) -> None:
    location = keyvault.put("x")
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        del keyvault.environ[name]
    keyvault.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = keyvault.login.url
    assert fetch(keyvault.open(), location, client_id) == "x"
    assert keyvault.login.requests[0].query.get("client_id", "") == client_id


def test_an_app_services_identity_logs_in(keyvault: KeyVaultPlace) -> None:
    location = keyvault.put("x")
    keyvault.login.header = "only-this-process-knows"
    keyvault.environ = {
        **{name: keyvault.environ[name] for name in ("TASKS_KEYVAULT_HOSTS", "SSL_CERT_FILE")},
        "IDENTITY_ENDPOINT": f"{keyvault.login.url}/msi/token",
        "IDENTITY_HEADER": "only-this-process-knows",
    }
    assert fetch(keyvault.open(), location) == "x"


def test_an_identity_the_machine_lacks_is_refused(keyvault: KeyVaultPlace) -> None:
    location = keyvault.put("x")
    del keyvault.environ["AZURE_CLIENT_SECRET"]
    keyvault.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = keyvault.login.url
    with pytest.raises(SecretRefused, match="managed identity was refused"):
        fetch(keyvault.open(), location, "cccccccc-1111-2222-3333-444444444444")


def test_another_identity_than_the_login_is_refused(keyvault: KeyVaultPlace) -> None:
    location = keyvault.put("x")
    with pytest.raises(SecretRefused, match="asks for the identity"):
        fetch(keyvault.open(), location, IDENTITY)
    assert fetch(keyvault.open(), location, APPLICATION.upper()) == "x"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "vault.azure.net",
        "vault.azure.net.evil.example",
        "x.y.vault.azure.net",
        "xvault.azure.net",
        "a@b.vault.azure.net",
        "127.0.0.1:1",
    ],
)
def test_a_login_goes_to_no_other_host(keyvault: KeyVaultPlace, host: str) -> None:
    with pytest.raises(SecretRefused):
        fetch(keyvault.open(), f"https://{host}/secrets/name")
    assert keyvault.login.requests == []


def test_a_vault_with_an_unknown_certificate_is_refused(keyvault: KeyVaultPlace) -> None:
    location = keyvault.put("x")
    del keyvault.environ["SSL_CERT_FILE"]
    with pytest.raises(SecretRefused, match="not trusted"):
        fetch(keyvault.open(), location)


def test_an_error_tells_the_code_and_no_more(keyvault: KeyVaultPlace) -> None:
    location = keyvault.put("x")
    body = {"error": {"code": "Forbidden", "message": "the-message-of-the-server"}}
    keyvault.vault.override = lambda request: Reply(403, body)
    with pytest.raises(SecretRefused, match="Forbidden") as raised:
        fetch(keyvault.open(), location)
    assert "the-message-of-the-server" not in str(raised.value)


def test_configuration_sends_a_key_vaults_secrets_to_vault(vault: VaultPlace) -> None:
    class Wanted:
        id = "db"
        keyvault = "https://corp.vault.azure.net/secrets/db-password/0123456789abcdef"
        client_id = IDENTITY

    vault.vault.put("azure/db-password", {"value": "moved"})
    vault.environ["TASKS_KEYVAULT_MAP"] = "corp.vault.azure.net=vault:secret/azure/{name}#value"
    resolve = resolver(vault.environ, allow_local=False)
    assert resolve([Wanted()]) == {"db": "moved"}
