"""A registry (CNCF Distribution) of a test's own that wants a login: basic, or tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tasks_service.devstack.registry import program
from tests.fakes.json_server import JSONServer, Reply, Request, make_certificate
from tests.faults.parts import await_that, quiet_port

USER, PASSWORD = "robot", "canary-login"
# The same password, by bcrypt.
_HASHED = "$2b$04$nA0lG3IPTdDbGty2Kb1YA.e1ld7irY66dUm.jAaleYSjUkqMN4iMa"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Tokens:
    """A token server: signs what is asked for, for whoever has the login."""

    def __init__(self, folder: Path) -> None:
        self.certificate = make_certificate(folder)
        pem = self.certificate.read_bytes()
        key = load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        found = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERT") :])
        self._chain = [base64.b64encode(found.public_bytes(Encoding.DER)).decode()]
        self.server = JSONServer(self._answer)
        self.scopes: list[str] = []

    def _answer(self, request: Request) -> Reply:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != wanted:
            return Reply(401, {})
        self.scopes.append(request.query["scope"])
        kind, name, actions = request.query["scope"].split(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        return Reply(200, {"token": self._sign(access, request.query["service"])})

    def _sign(self, access: list[dict[str, Any]], service: str) -> str:
        now = int(time.time())
        head = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        body = {"iss": "issuer", "sub": USER, "aud": service, "iat": now, "nbf": now - 5,
                "exp": now + 300, "jti": "1", "access": access}  # fmt: skip
        text = ".".join(_b64(json.dumps(part).encode()) for part in (head, body))
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64(r.to_bytes(32) + s.to_bytes(32))}"


@dataclass(frozen=True)
class OwnRegistry:
    """Its address, and the token server if it has one."""

    host: str
    tokens: Tokens | None

    def authorization(self, scope: str) -> str:
        """Return the header for a request of the test itself."""
        if self.tokens is None:
            return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        kind, name, actions = scope.split(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        return "Bearer " + self.tokens._sign(access, "registry")

    def push(self, name: str, tag: str, text: str, *, index: bool = False) -> str:
        """Push a tiny image, or an index of it, and return its digest."""
        with httpx2.Client(
            base_url=f"http://{self.host}",
            headers={"Authorization": self.authorization(f"repository:{name}:pull,push")},
        ) as client:
            config = json.dumps({"architecture": "amd64", "os": "linux", "text": text}).encode()
            begun = client.post(f"/v2/{name}/blobs/uploads/")
            assert begun.status_code == 202, begun.text
            place = begun.headers["location"]
            mark = "&" if "?" in place else "?"
            done = client.put(f"{place}{mark}digest={_digest(config)}", content=config)
            assert done.status_code == 201, done.text
            kind = "application/vnd.oci.image.manifest.v1+json"
            found = {"schemaVersion": 2, "mediaType": kind, "layers": [],
                     "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                                "digest": _digest(config), "size": len(config)}}  # fmt: skip
            # Odd blanks: whoever writes it anew changes its digest.
            manifest = json.dumps(found, indent=5).encode() + b"\n"
            if index:
                self._put(client, name, _digest(manifest), kind, manifest)
                entry = {"mediaType": kind, "digest": _digest(manifest), "size": len(manifest)}
                kind = "application/vnd.oci.image.index.v1+json"
                body = {"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}
                manifest = json.dumps(body, indent=7).encode()
            self._put(client, name, tag, kind, manifest)
        return _digest(manifest)

    def push_index(self, name: str, tag: str, images: Mapping[str, str], note: str = "") -> str:
        """Push an index of one tiny image a platform, told apart by text; return its digest."""
        entries: list[dict[str, Any]] = []
        kind = "application/vnd.oci.image.manifest.v1+json"
        with httpx2.Client(
            base_url=f"http://{self.host}",
            headers={"Authorization": self.authorization(f"repository:{name}:pull,push")},
        ) as client:
            for platform, text in images.items():
                digest = self.push(name, "part", text)
                size = len(
                    client.get(f"/v2/{name}/manifests/part", headers={"Accept": kind}).content
                )
                os, architecture, *variant = platform.split("/")
                about = {"os": os, "architecture": architecture}
                about |= {"variant": variant[0]} if variant else {}
                entry = {"mediaType": kind, "digest": digest, "size": size, "platform": about}
                entries.append(entry)
            of = "application/vnd.oci.image.index.v1+json"
            body = {"schemaVersion": 2, "mediaType": of, "manifests": entries}
            manifest = json.dumps(body | {"annotations": {"note": note}}).encode()
            self._put(client, name, tag, of, manifest)
        return _digest(manifest)

    def push_artifact(self, name: str, tag: str, *layers: tuple[bytes, str, dict[str, str]]) -> str:
        """Push files as an artifact: content, media type and annotations of each; its digest."""
        with httpx2.Client(
            base_url=f"http://{self.host}",
            headers={"Authorization": self.authorization(f"repository:{name}:pull,push")},
        ) as client:
            for data in (b"{}", *(layer[0] for layer in layers)):
                place = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
                mark = "&" if "?" in place else "?"
                done = client.put(f"{place}{mark}digest={_digest(data)}", content=data)
                assert done.status_code == 201, done.text
            kind = "application/vnd.oci.image.manifest.v1+json"
            empty = {"mediaType": "application/vnd.oci.empty.v1+json",
                     "digest": _digest(b"{}"), "size": 2}  # fmt: skip
            body = {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": empty,
                "layers": [
                    {
                        "mediaType": of,
                        "digest": _digest(data),
                        "size": len(data),
                        "annotations": notes,
                    }
                    for data, of, notes in layers
                ],
            }
            manifest = json.dumps(body).encode()
            self._put(client, name, tag, kind, manifest)
        return _digest(manifest)

    def _put(self, client: Any, name: str, tag: str, kind: str, manifest: bytes) -> None:
        done = client.put(
            f"/v2/{name}/manifests/{tag}", content=manifest, headers={"Content-Type": kind}
        )
        assert done.status_code == 201, done.text


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@contextmanager
def own_registry(folder: Path, *, tokens: bool) -> Iterator[OwnRegistry]:
    """Yield a registry that lets nobody in without a login."""
    issuer = Tokens(folder) if tokens else None
    users = folder / "users"
    users.write_text(f"{USER}:{_HASHED}\n")
    auth: dict[str, Any] = {"htpasswd": {"realm": "test", "path": str(users)}}
    if issuer is not None:
        auth = {
            "token": {
                "realm": f"{issuer.server.url}/token",
                "service": "registry",
                "issuer": "issuer",
                "rootcertbundle": str(issuer.certificate),
            }
        }
    port = quiet_port()
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"inmemory": {}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": auth,
    }
    path = folder / "registry.yml"
    path.write_text(json.dumps(config))
    argv0 = program()
    assert argv0 is not None
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([argv0, "serve", str(path)], stdout=log, stderr=log)
    found = OwnRegistry(f"127.0.0.1:{port}", issuer)
    try:
        await_that(lambda: _status(found.host) == 401)
        yield found
    finally:
        process.kill()
        process.wait()
        if issuer is not None:
            issuer.server.close()


def _status(host: str) -> int:
    try:
        return httpx2.get(f"http://{host}/v2/").status_code
    except httpx2.HTTPError:
        return 0
