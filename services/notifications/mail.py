"""Builds mails, and sends them to a mail server over SMTP.

Mails are built with the classes of `email.mime`: those of EmailMessage parse each header that they
get, and fold all of them again, for several times the CPU.
"""

import quopri
import re
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, parseaddr, quote
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from services.common import email_addresses
from services.notifications.domain import Content, NotSentError, Recipient
from services.notifications.rendering import one_line

PORTS = {"smtp": 25, "smtps": 465}
POLICY = compat32.clone(linesep="\r\n", mangle_from_=False)
PLAIN_ADDRESS = re.compile(
    r"[\w+-]+(\.[\w+-]+)*@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII | re.IGNORECASE
)
"""Matches nearly all addresses; they need no parser."""


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail as it is sent: the addresses of its envelope, and headers and body as bytes."""

    sender: str
    recipient: str
    content: bytes


class Mailer(Protocol):
    """Sends mails."""

    def send(self, mail: Mail) -> None:
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
) -> Mail:
    """Build a mail in text and HTML; NotSentError when the recipient's address is invalid.

    The Message-ID follows from `key`, so that a receiver can drop a duplicate.
    """
    email = _parse(recipient.email)
    # Quoted-printable text has no "=_", so no part can contain the boundary.
    mail = MIMEMultipart("alternative", boundary=f"=_{key}")
    mail["From"] = _mailbox(sender.display_name, sender.addr_spec)
    mail["To"] = _mailbox(one_line(f"{recipient.first_name} {recipient.last_name}"), email)
    mail["Subject"] = _encode(content.subject, "Subject")
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{key}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = content.language
    mail.attach(_part("plain", content.text))
    mail.attach(_part("html", content.html))
    return Mail(sender=sender.addr_spec, recipient=email, content=mail.as_bytes(policy=POLICY))


def _part(subtype: str, text: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", subtype, charset="utf-8")
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(quopri.encodestring(text.encode()))
    return part


def _mailbox(name: str, address: str) -> str:
    if not name:
        return address
    quoted = f'"{quote(name)}"' if _is_plain(name) else _encode(name, "To")
    return f"{quoted} <{address}>"


def _encode(text: str, header: str) -> str:
    """Encode and fold the text of a header."""
    charset = "us-ascii" if _is_plain(text) else "utf-8"
    return Header(text, charset, header_name=header).encode(linesep=POLICY.linesep)


def _is_plain(text: str) -> bool:
    """Return whether a text needs no encoding. What looks encoded already needs another one."""
    return text.isascii() and "=?" not in text


def _parse(text: str) -> str:
    """Return an address in ASCII."""
    try:
        address = email_addresses.parse(text)
        if not PLAIN_ADDRESS.fullmatch(address):
            Address(addr_spec=address)
    except Exception as error:  # the parser of addresses raises errors of many types
        raise NotSentError("ADDRESS_INVALID") from error
    return address


class SmtpMailer(Mailer):
    """Sends mails over SMTP, and keeps the connection open until `close`.

    Each step of the protocol takes at most `timeout_seconds`.
    """

    def __init__(self, *, server: SmtpServer, timeout_seconds: float) -> None:
        self._server = server
        self._timeout_seconds = timeout_seconds
        self._connection: smtplib.SMTP | None = None

    @override
    def send(self, mail: Mail) -> None:
        try:
            self._connection = self._connection or self._connect()
            self._connection.sendmail(mail.sender, [mail.recipient], mail.content)
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
