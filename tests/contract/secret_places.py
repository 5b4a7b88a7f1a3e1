"""What the secret providers' contract needs of each kind: a place that can be filled."""

from __future__ import annotations

import itertools
from pathlib import Path

from tasks_service.secrets import KINDS
from tasks_service.secrets.base import Access, Provider
from tests.fakes.json_server import JSONServer
from tests.fakes.keyvault_server import APPLICATION, TENANT, FakeKeyVault, FakeLogin
from tests.fakes.vault_server import FakeVault

LOGIN = "the-login-that-nobody-may-see"


class Place:
    """A place that keeps secrets, and the settings to read it.

    ``server`` is the server behind it, or None for places of this machine.
    """

    kind = ""
    server: JSONServer | None = None

    def __init__(self) -> None:
        self.environ: dict[str, str] = {}
        self._numbers = itertools.count()

    def put(self, value: str) -> str:
        """Keep a value; return its location."""
        raise NotImplementedError

    def missing(self) -> str:
        """Return a location that is right but empty."""
        raise NotImplementedError

    def lock(self) -> None:
        """Take away the right to read."""
        raise NotImplementedError

    def open(self, *, allow_local: bool = True) -> Provider:
        return KINDS[self.kind](Access(self.environ, allow_local))

    def close(self) -> None:
        if self.server is not None:
            self.server.close()


class EnvironmentPlace(Place):
    kind = "env"
    _locked = False

    def put(self, value: str) -> str:
        name = f"SECRET_{next(self._numbers)}"
        self.environ[name] = value
        return f"env:{name}"

    def missing(self) -> str:
        return "env:NOBODY_SET_THIS"

    def lock(self) -> None:
        self._locked = True

    def open(self, *, allow_local: bool = True) -> Provider:
        return super().open(allow_local=allow_local and not self._locked)


class FilePlace(Place):
    kind = "file"
    _locked = False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def put(self, value: str) -> str:
        path = self._folder / f"secret {next(self._numbers)}%.txt"
        path.write_bytes(value.encode() + b"\n")
        return f"file://{path}".replace("%", "%25").replace(" ", "%20")

    def missing(self) -> str:
        return f"file:{self._folder}/nothing"

    def lock(self) -> None:
        self._locked = True

    def open(self, *, allow_local: bool = True) -> Provider:
        return super().open(allow_local=allow_local and not self._locked)


class VaultPlace(Place):
    kind = "vault"

    def __init__(self) -> None:
        super().__init__()
        self.server = self.vault = FakeVault(LOGIN, "team/a")
        self.environ = {
            "VAULT_ADDR": f"{self.vault.url}/",
            "VAULT_TOKEN": LOGIN,
            "VAULT_NAMESPACE": "team/a",
        }

    def put(self, value: str) -> str:
        path = f"apps/number {next(self._numbers)}"
        self.vault.put(path, {"password": value, "other": "x"})
        return f"vault:secret/{path.replace(' ', '%20')}#password"

    def missing(self) -> str:
        return "vault://secret/apps/nothing#password"

    def lock(self) -> None:
        self.vault.token = "another"


class KeyVaultPlace(Place):
    kind = "https"

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        self.server = self.vault = FakeKeyVault(certificate)
        self.login = FakeLogin(LOGIN)
        self.environ = {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": APPLICATION,
            "AZURE_CLIENT_SECRET": LOGIN,
            "AZURE_AUTHORITY_HOST": self.login.url,
            "TASKS_KEYVAULT_HOSTS": f"example.vault.azure.net, {self.vault.host}",
            "SSL_CERT_FILE": str(certificate),
        }

    def put(self, value: str) -> str:
        name = f"secret-{next(self._numbers)}"
        self.vault.put(name, value)
        return f"{self.vault.url}/secrets/{name}"

    def missing(self) -> str:
        return f"{self.vault.url}/secrets/nothing"

    def lock(self) -> None:
        self.login.secret = "another"

    def close(self) -> None:
        super().close()
        self.login.close()


def make_place(kind: str, folder: Path, certificate: Path) -> Place:
    """Return the place of a kind; a new kind needs its line here."""
    makers = {
        "env": EnvironmentPlace,
        "file": lambda: FilePlace(folder),
        "vault": VaultPlace,
        "https": lambda: KeyVaultPlace(certificate),
    }
    return makers[kind]()
