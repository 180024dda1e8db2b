"""Mails: how one is built, and how it gets to the mail server."""

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

from services.notifications.domain import NotSentError, Recipient, Wording
from services.notifications.rendering import one_line

PORTS = {"smtp": 25, "smtps": 465}


class Mailer(Protocol):
    """Hands mails to a mail server."""

    def send(self, mail: EmailMessage) -> None:
        """Hand over one mail; NotSentError when it was not accepted."""

    def close(self) -> None:
        """Let go of the mail server until there is more to send."""


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """Where a mail server is, and how to talk to it."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    starttls: bool = False


def parse_smtp_url(url: str) -> SmtpServer:
    """Return the server that smtp[s]://[user:password@]host[:port][?starttls=true] names.

    ValueError, which does not repeat the URL, when it names none.
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
    """Return the address that "Name <user@domain>" tells; ValueError when it is none."""
    name, address = parseaddr(text)
    if "@" not in address:
        raise ValueError("must be Name <user@domain>")
    return Address(display_name=name, addr_spec=address)


def build_mail(
    wording: Wording, *, key: str, sender: Address, recipient: Recipient, now: datetime
) -> EmailMessage:
    """Return a mail in text and HTML; NotSentError when its recipient's address is none.

    The Message-ID follows from `key`: whoever gets one mail twice can tell.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = _address(recipient)
    mail["Subject"] = wording.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{key}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = wording.language
    mail.set_content(wording.text, cte="quoted-printable")
    mail.add_alternative(wording.html, subtype="html", cte="quoted-printable")
    return mail


def _address(recipient: Recipient) -> Address:
    name = one_line(f"{recipient.first_name} {recipient.last_name}")
    try:
        return Address(display_name=name, addr_spec=recipient.email)
    except Exception as error:  # the parser of addresses raises whatever it stumbles over
        raise NotSentError("ADDRESS_INVALID") from error


class SmtpMailer:
    """Sends mails over SMTP, many over one connection while there are many.

    Every step with the server takes at most `timeout_seconds`.
    """

    def __init__(self, *, server: SmtpServer, timeout_seconds: float) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._connection: smtplib.SMTP | None = None

    def send(self, mail: EmailMessage) -> None:
        """Hand over one mail; NotSentError when it was not accepted."""
        try:
            self._connection = self._connection or self._connect()
            self._connection.send_message(mail)
        except (OSError, ValueError) as error:
            self._drop()
            raise NotSentError(_cause(error)) from error

    def close(self) -> None:
        """Take leave of the mail server, if there is a connection."""
        if self._connection:
            with suppress(OSError):
                self._connection.quit()
        self._drop()

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        kind = smtplib.SMTP_SSL if server.tls else smtplib.SMTP
        # Its own name is told as it is: asking the DNS for a better one can take long.
        connection = kind(
            server.host, server.port, socket.gethostname(), timeout=self._timeout_seconds
        )
        try:
            self._introduce(connection)
        except OSError:
            connection.close()
            raise
        return connection

    def _introduce(self, connection: smtplib.SMTP) -> None:
        if self._server.starttls:
            connection.starttls(context=ssl.create_default_context())
        if self._server.user:
            connection.login(self._server.user, self._server.password)


def _cause(error: Exception) -> str:
    """Return why a mail server did not take a mail: its answer's code, or what went wrong."""
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
