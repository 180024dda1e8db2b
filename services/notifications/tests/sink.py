"""A real SMTP server in the test's own process, which refuses when told to."""

import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


class Sink:
    """Keeps the mails that it gets; `refusals` are answers to give instead, by step."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusals: dict[str, str] = {}
        self._servers: list[Any] = []
        self._port = _free_port()
        self._controller = _Controller(self, hostname="127.0.0.1", port=self._port)

    def __enter__(self) -> "Sink":
        self._controller.start()
        self._servers.clear()  # starting it has made a connection
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        """Return where the server is."""
        return f"smtp://127.0.0.1:{self._port}"

    @property
    def sessions(self) -> int:
        """Return how many connections there were."""
        return len(self._servers)

    def add(self, server: SMTP) -> SMTP:
        """Note the server of one more connection."""
        self._servers.append(server)
        return server

    def hang_up(self) -> None:
        """Close every connection, as a server does that was restarted."""
        for server in self._servers:
            if server.transport:
                self._controller.loop.call_soon_threadsafe(server.transport.close)

    async def handle_MAIL(self, _server, _session, envelope, address, _options):
        envelope.mail_from = address
        return self.refusals.get("MAIL", "250 OK")

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if "RCPT" not in self.refusals:
            envelope.rcpt_tos.append(address)
        return self.refusals.get("RCPT", "250 OK")

    async def handle_DATA(self, _server, _session, envelope):
        if "DATA" not in self.refusals:
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.mails.append(mail)
        return self.refusals.get("DATA", "250 OK")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class _Controller(Controller):
    def __init__(self, sink: Sink, **options) -> None:
        super().__init__(sink, **options)
        self._sink = sink

    def factory(self) -> SMTP:
        return self._sink.add(super().factory())
