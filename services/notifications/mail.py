"""Builds mails, and sends them to a mail server over SMTP."""

import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from services.common import email_addresses
from services.notifications.domain import Content, NotSentError, Recipient
from services.notifications.rendering import one_line

PORTS = {"smtp": 25, "smtps": 465}


class Mailer(Protocol):
    """Sends mails."""

    def send(self, mail: EmailMessage) -> None:
        """Send one mail; NotSentError when it was not accepted."""

    def close(self) -> None:
        """Close the connection, if there is one, until there is more to send."""


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """Address, credentials and encryption of a mail server."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    starttls: bool = False


def parse_smtp_url(url: str) -> SmtpServer:
    """Parse smtp[s]://[user:password@]host[:port][?starttls=true].

    ValueError, without the URL and its password, when it is not one.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("must be smtp://host:port or smtps://host:port")
    options = parse_qs(parts.query)
    if options.keys() - {"starttls"}:
        raise ValueError("starttls=true is the only option")
    return SmtpServer(
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "smtps",
        starttls=options.get("starttls") == ["true"],
    )


def parse_sender(text: str) -> Address:
    """Parse "Name <user@domain>"; ValueError when it is not an address."""
    name, address = parseaddr(text)
    if "@" not in address:
        raise ValueError("must be Name <user@domain>")
    return Address(display_name=name, addr_spec=email_addresses.parse(address))


def build_mail(
    content: Content, *, key: str, sender: Address, recipient: Recipient, now: datetime
) -> EmailMessage:
    """Build a mail in text and HTML; NotSentError when the recipient's address is invalid.

    The Message-ID follows from `key`, so that a receiver can drop a duplicate.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = _address(recipient)
    mail["Subject"] = content.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{key}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = content.language
    mail.set_content(content.text, cte="quoted-printable")
    mail.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return mail


def _address(recipient: Recipient) -> Address:
    name = one_line(f"{recipient.first_name} {recipient.last_name}")
    try:
        return Address(display_name=name, addr_spec=email_addresses.parse(recipient.email))
    except Exception as error:  # the parser of addresses raises errors of many types
        raise NotSentError("ADDRESS_INVALID") from error


class SmtpMailer(Mailer):
    """Sends mails over SMTP, and keeps the connection open until `close`.

    Each step of the protocol takes at most `timeout_seconds`.
    """

    def __init__(self, *, server: SmtpServer, timeout_seconds: float) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._connection: smtplib.SMTP | None = None

    @override
    def send(self, mail: EmailMessage) -> None:
        try:
            self._connection = self._connection or self._connect()
            self._connection.send_message(mail)
        except (OSError, ValueError) as error:
            self._disconnect()
            raise NotSentError(_failure_cause(error)) from error

    @override
    def close(self) -> None:
        if self._connection:
            with suppress(OSError):
                self._connection.quit()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        kind = smtplib.SMTP_SSL if server.tls else smtplib.SMTP
        # The plain host name for EHLO: a DNS lookup of the full one can take long.
        connection = kind(
            server.host, server.port, socket.gethostname(), timeout=self._timeout_seconds
        )
        try:
            self._authenticate(connection)
        except OSError:
            connection.close()
            raise
        return connection

    def _authenticate(self, connection: smtplib.SMTP) -> None:
        if self._server.starttls:
            connection.starttls(context=ssl.create_default_context())
        if self._server.user:
            connection.login(self._server.user, self._server.password)


def _failure_cause(error: Exception) -> str:
    """Return the error code of a failed mail: the server's reply code, if it sent one."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            return f"SMTP_{next(iter(refused.values()))[0]}"
        case smtplib.SMTPResponseException(smtp_code=code):
            return f"SMTP_{code}"
        case smtplib.SMTPServerDisconnected():
            return "SMTP_UNREACHABLE"
        case smtplib.SMTPException() | ValueError():
            return "SMTP_FAILED"
    return "SMTP_UNREACHABLE"
