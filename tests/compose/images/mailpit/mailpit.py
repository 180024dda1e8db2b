"""A mail server that only stores: SMTP in, a page and Mailpit's HTTP API out."""

import email.policy
import html
import json
import os
import re
import secrets
import signal
import sqlite3
import sys
from datetime import UTC, datetime
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LIMIT = 50
SCHEMA = "CREATE TABLE IF NOT EXISTS mails (id TEXT PRIMARY KEY, received TEXT, raw BLOB)"
DELETE_OLDEST = """\
DELETE FROM mails WHERE rowid IN (SELECT rowid FROM mails ORDER BY rowid DESC LIMIT -1 OFFSET ?)
"""


class Box:
    """The mails in MP_DATABASE, the newest MP_MAX_MESSAGES of them."""

    def __init__(self) -> None:
        path = os.environ.get("MP_DATABASE", "/tmp/mailpit.db")
        self._most = int(os.environ.get("MP_MAX_MESSAGES", "500"))
        # One connection for all threads: SQLite itself is built to be called from any.
        self._mails = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._mails.execute(SCHEMA)

    def add(self, raw: bytes) -> None:
        """Store a mail."""
        row = secrets.token_urlsafe(16), datetime.now(UTC).isoformat(), raw
        self._mails.execute("INSERT INTO mails VALUES (?, ?, ?)", row)
        self._mails.execute(DELETE_OLDEST, (self._most,))

    def all(self) -> list["Mail"]:
        """Return every mail, the newest first."""
        rows = self._mails.execute("SELECT * FROM mails ORDER BY rowid DESC").fetchall()
        return [Mail(*row) for row in rows]

    def get(self, mail_id: str) -> "Mail | None":
        """Return one mail; "latest" is the newest."""
        return next((mail for mail in self.all() if mail_id in (mail.id, "latest")), None)


class Mail:
    """A mail, and how the API shows it."""

    def __init__(self, mail_id: str, received: str, raw: bytes) -> None:
        self.id, self.received, self.raw = mail_id, received, raw
        self.message = email.message_from_bytes(raw, policy=email.policy.default)
        self.subject = str(self.message.get("Subject", ""))

    def is_to(self, address: str) -> bool:
        """Return whether an address is among those that the mail names."""
        return address.lower() in str(self.message.get("To", "")).lower()

    def summary(self) -> dict[str, Any]:
        """Return its entry in a list."""
        return {
            "ID": self.id,
            "MessageID": str(self.message.get("Message-ID", "")).strip("<>"),
            "From": next(iter(_addresses(self.message, "From")), None),
            "To": _addresses(self.message, "To"),
            "Subject": self.subject,
            "Created": self.received,
            "Size": len(self.raw),
        }

    def details(self) -> dict[str, Any]:
        """Return its entry with its text and HTML."""
        parts = {"Text": _body(self.message, "plain"), "HTML": _body(self.message, "html")}
        return self.summary() | {"Date": self.received} | parts


def _addresses(message: EmailMessage, header: str) -> list[dict[str, str]]:
    named = message[header].addresses if message[header] else ()
    return [{"Name": one.display_name, "Address": one.addr_spec} for one in named]


def _body(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    return body.get_content() if body else ""


class StoringHandler:
    """Handler of aiosmtpd that stores mails."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Store a mail to any recipient."""
        assert isinstance(envelope.content, bytes)
        self._box.add(envelope.content)
        return "250 OK"


class Api(BaseHTTPRequestHandler):
    """The page and the API."""

    protocol_version = "HTTP/1.1"
    box: Box

    def do_GET(self) -> None:
        """Answer from the first route that matches."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        for pattern, answer in ROUTES:
            if match := re.fullmatch(pattern, url.path):
                return answer(self, query, *match.groups())
        return self._send(404, "text/plain", b"not found")

    def _health(self, _query: dict[str, str]) -> None:
        self._send(200, "text/plain", b"ok")

    def _page(self, _query: dict[str, str]) -> None:
        lines = (
            f'<li><a href="/api/v1/message/{mail.id}/raw">{html.escape(mail.subject)}</a>'
            for mail in self.box.all()[:LIMIT]
        )
        page = f"<!doctype html><title>Mail</title><ol>{''.join(lines)}</ol>"
        self._send(200, "text/html; charset=utf-8", page.encode())

    def _list(self, query: dict[str, str]) -> None:
        mails = self.box.all()
        wanted = re.fullmatch(r'to:"?([^"\s]+)"?', query.get("query", ""))
        found = [mail for mail in mails if not wanted or mail.is_to(wanted[1])]
        start, limit = int(query.get("start", 0)), int(query.get("limit", LIMIT))
        shown = [mail.summary() for mail in found[start : start + limit]]
        counts = {"total": len(mails), "messages_count": len(found), "count": len(shown)}
        self._json(counts | {"start": start, "messages": shown})

    def _details(self, _query: dict[str, str], mail_id: str) -> None:
        if mail := self.box.get(mail_id):
            return self._json(mail.details())
        return self._send(404, "text/plain", b"not found")

    def _raw(self, _query: dict[str, str], mail_id: str) -> None:
        mail = self.box.get(mail_id)
        self._send(200 if mail else 404, "text/plain", mail.raw if mail else b"not found")

    def _json(self, answer: dict[str, Any]) -> None:
        self._send(200, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


ROUTES = (
    ("/(?:livez|readyz)", Api._health),
    ("/", Api._page),
    ("/api/v1/(?:messages|search)", Api._list),
    ("/api/v1/message/([^/]+)", Api._details),
    ("/api/v1/message/([^/]+)/raw", Api._raw),
)


def serve() -> None:
    """Serve until SIGTERM."""
    Api.box = Box()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Controller(StoringHandler(Api.box), hostname="0.0.0.0", port=1025).start()
    ThreadingHTTPServer(("0.0.0.0", 8025), Api).serve_forever()


if __name__ == "__main__":
    serve()
