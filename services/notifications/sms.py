"""The interface of an SMS provider, and the built-in one, which sends nothing.

Accounts have no telephone number, and no provider was chosen. The built-in provider accepts
every SMS; its text is in the send log, which customers and administrators read through the
API.
"""

from typing import Protocol

import structlog
from typing_extensions import override

log = structlog.get_logger()


class SmsProvider(Protocol):
    """Sends text messages."""

    def send(self, key: str, *, user_id: str, text: str) -> None:
        """Send one SMS to a customer; NotSentError when it was not accepted.

        `key` is an idempotency key: a retry of the same SMS has the same one.
        """


class SendLogSms(SmsProvider):
    """Accepts every SMS without sending it."""

    @override
    def send(self, key: str, *, user_id: str, text: str) -> None:
        log.info("sms_accepted", notification_id=key, characters=len(text))
