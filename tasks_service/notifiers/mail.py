"""E-mail by SMTP: TLS always, but for relays that the operator listed; under the egress rules.

A login is sent over TLS only. Nothing of a run can add a header or a
recipient: names and messages are the run's, addresses the admin's.
"""

from __future__ import annotations

import json
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from urllib.parse import urlsplit

from runners.model.errors import RunnerError, Unavailable
from tasks_service.egress.deadline import Deadline
from tasks_service.egress.policy import EgressPolicy, Target
from tasks_service.model.notification import Receiver
from tasks_service.model.run import Run
from tasks_service.notifiers.base import Sent
from tasks_service.notifiers.message import headline, link

TIMEOUT_S = 20.0
"""For the whole conversation."""
MAX_RECIPIENTS = 50
_PORTS = frozenset({25, 465, 587, 2525})
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]{1,64}@" + _LABEL + r"(?:\." + _LABEL + r")*"
)
_UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class _Connection(smtplib.SMTP):
    """Connects to addresses that were judged, never to the name again."""

    _host: str
    target: Target
    deadline: Deadline

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        del host, timeout
        refused: OSError = ConnectionRefusedError()
        for address in self.target.addresses:
            try:
                found = socket.create_connection((address, port), min(5.0, self.deadline.left_s))
            except OSError as error:
                refused = error
                continue
            found.settimeout(self.deadline.left_s)
            self.deadline.watch(found)
            return found
        raise refused


class _TLSConnection(smtplib.SMTP_SSL, _Connection):
    """The same with TLS from the first byte."""


class Mail:
    """See ``Notifier``."""

    key = "email"
    signed = False

    def problems(self, receiver: Receiver, policy: EgressPolicy) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with a receiver."""
        yield from _url_problems(receiver.url, _for_mail(policy))
        if receiver.secret:
            yield "/secret", "only webhooks are signed"
        yield from _address_problems(receiver)
        if bool(receiver.username) != bool(receiver.password):
            yield "/username", "a user name and a password go together"
        for name, text in (("username", receiver.username), ("password", receiver.password)):
            if not (text.isascii() and text.isprintable()):
                yield f"/{name}", "holds a letter that no mail server takes"

    def place(self, receiver: Receiver) -> str:
        """Return the recipients and the server."""
        return f"{', '.join(receiver.to)} by {urlsplit(receiver.url).hostname}"

    def body(self, event: str, run: Run, *, message: str, public_url: str) -> str:
        """Return subject and text, as JSON."""
        del message
        subject = headline(event, run)
        facts = {
            "Status": str(run.status),
            "Error": f"{run.error_code}: {run.error}" if run.error_code else "",
            "Hint": run.hint,
            "Cause": " ".join(word for word in (run.cause.kind, run.cause.actor) if word),
            "Branch": run.branch,
            "Commit": run.commit,
            "Images": "\n          ".join(run.images),
            "Run": link(run, public_url) or f"tasks runs show {run.id}",
        }
        lines = [f"{name + ':':<9} {value[:4000]}" for name, value in facts.items() if value]
        return json.dumps({"subject": subject, "text": "\n".join([subject, "", *lines, ""])})

    def send(self, receiver: Receiver, message: str, body: str, policy: EgressPolicy) -> Sent:
        """Hand it to the mail server. Its own bounces later are not seen."""
        rules = _for_mail(policy)
        try:
            target = rules.check(receiver.url, what="mail server")
        except Unavailable as error:
            return Sent(False, 0, error.message)
        except RunnerError as error:
            return Sent(False, 0, error.message, final=True)
        content = _written(receiver, message, body)
        with Deadline(TIMEOUT_S) as deadline:
            try:
                return _spoken(receiver, target, content, deadline, rules)
            except smtplib.SMTPException as error:
                if deadline.over:
                    return _late()
                return _refused(error)
            except ssl.SSLError as error:
                reason = getattr(error, "verify_message", "") or "TLS failed"
                return _late() if deadline.over else Sent(False, 0, f"mail server: {reason}")
            except (OSError, ValueError) as error:
                if deadline.over or isinstance(error, TimeoutError):
                    return _late()
                return Sent(False, 0, f"mail server can't be reached: {type(error).__name__}")


def _for_mail(policy: EgressPolicy) -> EgressPolicy:
    return replace(policy, schemes=("smtps", "smtp"), ports=_PORTS)


def _url_problems(url: str, policy: EgressPolicy) -> Iterator[tuple[str, str]]:
    try:
        policy.check_text(url, what="mail server")
    except RunnerError as error:
        yield "/url", error.message
        return
    parts = urlsplit(url)
    if "@" in parts.netloc:
        yield "/url", "holds a login, which would be shown: give 'username' and 'password'"
    if parts.path.strip("/") or parts.query or parts.fragment:
        yield "/url", "a mail server is smtps://host or smtp://host, with a port if need be"


def _address_problems(receiver: Receiver) -> Iterator[tuple[str, str]]:
    if not receiver.sender:
        yield "/from", "e-mail needs the address it is from"
    elif not _is_address(receiver.sender):
        yield "/from", "is not an e-mail address"
    if not receiver.to:
        yield "/to", "e-mail needs somebody it is to"
    if len(receiver.to) > MAX_RECIPIENTS:
        yield "/to", f"has more than {MAX_RECIPIENTS} addresses"
    for number, address in enumerate(receiver.to):
        if not _is_address(address):
            yield f"/to/{number}", "is not an e-mail address"


def _is_address(text: str) -> bool:
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def _written(receiver: Receiver, message: str, body: str) -> bytes:
    content = json.loads(body)
    # Seven bits: not every server says that it takes eight.
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    mail["From"] = receiver.sender
    mail["To"] = ", ".join(receiver.to)
    mail["Subject"] = _clean(content["subject"]).replace("\n", " ")[:250]
    mail["Date"] = formatdate()
    # The same at every attempt: a mail program shows a repetition once.
    mail["Message-ID"] = f"<{message}@{receiver.sender.rpartition('@')[2]}>"
    # Nobody's holiday greeting shall answer.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_clean(content["text"]))
    return mail.as_bytes()


def _clean(text: object) -> str:
    return _UNSAFE.sub(" ", str(text)).encode(errors="replace").decode()


def _spoken(
    receiver: Receiver, target: Target, content: bytes, deadline: Deadline, rules: EgressPolicy
) -> Sent:
    context = ssl.create_default_context()
    secure = target.scheme == "smtps"
    found = _opened(target, deadline, context)
    try:
        found.ehlo_or_helo_if_needed()
        if not secure and found.has_extn("starttls"):
            found.starttls(context=context)
            found.ehlo()
            secure = True
        if not secure and (receiver.password or not rules.lists(target.host, target.port)):
            problem = "the mail server offers no STARTTLS, and without TLS nothing is sent"
            return Sent(False, 0, problem, final=True)
        if receiver.password:
            found.login(receiver.username, receiver.password)
        refused = found.sendmail(receiver.sender, list(receiver.to), content)
        with suppress(OSError, smtplib.SMTPException):
            found.quit()
    finally:
        found.close()
    problem = f"refused for {', '.join(sorted(refused))}" if refused else ""
    return Sent(True, 250, problem)


def _opened(target: Target, deadline: Deadline, context: ssl.SSLContext) -> _Connection:
    # A name for ourselves is given: looking for one could take long.
    ours, most = socket.gethostname(), deadline.left_s
    found = (
        _TLSConnection(local_hostname=ours, timeout=most, context=context)
        if target.scheme == "smtps"
        else _Connection(local_hostname=ours, timeout=most)
    )
    found.target, found.deadline = target, deadline
    # Whom the certificate must name.
    found._host = target.host  # noqa: SLF001 - only the constructor sets it, and connects at once
    try:
        code, words = found.connect(target.host, target.port)
    except BaseException:
        found.close()
        raise
    if code != 220:
        found.close()
        raise smtplib.SMTPConnectError(code, words)
    return found


def _refused(error: smtplib.SMTPException) -> Sent:
    """Tell what went wrong by its code: a server's own words could be anything."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        # Passwords are changed on both sides, one after the other.
        return Sent(False, error.smtp_code, "the mail server refused the login")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        final = all(500 <= code < 600 for code in codes)
        return Sent(False, max(codes, default=0), "the mail server refused all recipients",
                    final=final)  # fmt: skip
    if isinstance(error, smtplib.SMTPResponseException):
        code = error.smtp_code
        what = "the sender" if isinstance(error, smtplib.SMTPSenderRefused) else "the message"
        if isinstance(error, smtplib.SMTPConnectError | smtplib.SMTPHeloError):
            what = "the connection"
        return Sent(False, code, f"the mail server refused {what}", final=500 <= code < 600)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Sent(False, 0, "the mail server takes no login", final=True)
    return Sent(False, 0, "the mail server broke off")


def _late() -> Sent:
    return Sent(False, 0, f"the mail server did not take it within {TIMEOUT_S:.0f} s")


MAIL = Mail()
