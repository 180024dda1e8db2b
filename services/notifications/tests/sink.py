"""A real SMTP server in the test's own process."""

import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


class Sink:
    """Records the mails, and the recipients of each as their envelopes name them.

    `rejections` are the replies to give instead, by command.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.rejections: dict[str, str] = {}
        self._servers: list[Any] = []
        self._port = _free_port()
        self._controller = _Controller(self, hostname="127.0.0.1", port=self._port)

    def __enter__(self) -> "Sink":
        self._controller.start()
        self._servers.clear()  # starting it opens a connection
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        """Return the URL of the server."""
        return f"smtp://127.0.0.1:{self._port}"

    @property
    def sessions(self) -> int:
        """Return the number of connections."""
        return len(self._servers)

    def add(self, server: SMTP) -> SMTP:
        """Record the server of one more connection."""
        self._servers.append(server)
        return server

    def close_connections(self) -> None:
        """Close every connection, as a restart of the server does."""
        for server in self._servers:
            if server.transport:
                self._controller.loop.call_soon_threadsafe(server.transport.close)

    async def handle_MAIL(self, _server, _session, envelope, address, _options):
        envelope.mail_from = address
        return self.rejections.get("MAIL", "250 OK")

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if "RCPT" not in self.rejections:
            envelope.rcpt_tos.append(address)
        return self.rejections.get("RCPT", "250 OK")

    async def handle_DATA(self, _server, _session, envelope):
        if "DATA" not in self.rejections:
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.mails.append(mail)
            self.recipients.append(envelope.rcpt_tos)
        return self.rejections.get("DATA", "250 OK")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class _Controller(Controller):
    def __init__(self, sink: Sink, **options) -> None:
        super().__init__(sink, **options)
        self._sink = sink

    def factory(self) -> SMTP:
        return self._sink.add(super().factory())
