"""A real SMTP server (aiosmtpd) on loopback: keeps what it got, refuses what it is told to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.faults.parts import quiet_port

LOGIN = (b"tasks", b"canary-of-mail")


@dataclass(frozen=True)
class Got:
    """One message as it came in."""

    sender: str
    to: list[str]
    mail: EmailMessage
    secure: bool
    login: str


@dataclass
class MailServer:
    """Answers as it is told."""

    url: str = ""
    answer: str = "250 OK"
    refused: list[str] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    logins: list[bytes] = field(default_factory=list)


class _Handler:
    def __init__(self, found: MailServer, *, secure: bool) -> None:
        self._found = found
        self._secure = secure

    async def handle_EHLO(  # noqa: N802 - the name aiosmtpd calls
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self._found.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self._found.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self._found.answer.startswith("250"):
            login = session.auth_data.decode() if session.authenticated else ""
            mail = message_from_bytes(envelope.content, policy=default)
            assert isinstance(mail, EmailMessage)
            secure = self._secure or session.ssl is not None
            one = Got(envelope.mail_from, list(envelope.rcpt_tos), mail, secure, login)
            self._found.got.append(one)
        return self._found.answer


@contextmanager
def mail_server(
    *,
    certificate: Path | None = None,
    implicit: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[MailServer]:
    """Yield a server.

    Args:
        certificate: Of its TLS; without one it offers none, and takes logins in the open.
        implicit: TLS from the first byte, not by STARTTLS.
    """
    found = MailServer()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def authenticate(
        server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        found.logins.append(data.password)
        good = (data.login, data.password) == LOGIN
        return AuthResult(success=good, auth_data=data.login, handled=False)

    port = port or quiet_port()
    controller = Controller(
        _Handler(found, secure=implicit),
        hostname=host,
        port=port,
        ssl_context=context if implicit else None,
        tls_context=None if implicit else context,
        authenticator=authenticate,
        auth_require_tls=context is not None and not implicit,
    )
    controller.start()
    found.url = f"{'smtps' if implicit else 'smtp'}://{host}:{port}"
    found.connections = 0
    try:
        yield found
    finally:
        controller.stop()
