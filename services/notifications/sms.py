"""Who carries the SMS: the provider's interface, and the built-in one, which carries nothing.

Accounts have no telephone number, and no provider was chosen. So the built-in one accepts
every SMS and that is all: its text stands in the send log, which clients and administrators
read through the API, and nothing leaves the house.
"""

from typing import Protocol

import structlog

log = structlog.get_logger()


class SmsProvider(Protocol):
    """Carries short messages."""

    def send(self, key: str, *, user_id: str, text: str) -> None:
        """Hand over one SMS to a client; NotSentError when it was not accepted.

        `key` is the same when one SMS is handed over again, so that it is carried once.
        """


class SendLogSms:
    """Accepts every SMS; the send log is where it ends."""

    def send(self, key: str, *, user_id: str, text: str) -> None:
        """Say that an SMS was written, without what it says."""
        log.info("sms_written", notification_id=key, characters=len(text))
